// Numbers of sixteen points at a time, in clang's vectors: what a CPU shades and draws in. Narrower processors take two
// or four instructions where the widest takes one.
typedef float F __attribute__((ext_vector_type(16)));
typedef int I __attribute__((ext_vector_type(16)));
typedef unsigned int U __attribute__((ext_vector_type(16)));
constexpr int LANES = 16;
const auto to_int = [&](F x) -> I { return __builtin_convertvector(x, I); };
const auto to_float = [&](I x) -> F { return __builtin_convertvector(x, F); };
const auto root = [&](F x) -> F { return __builtin_elementwise_sqrt(x); };
const auto down = [&](F x) -> F { return __builtin_elementwise_floor(x); };
const auto whole_power = [&](I x) -> F { return __builtin_bit_cast(F, (x + 127) << 23); };  // 2 to the x
typedef bool B __attribute__((ext_vector_type(16)));
const auto bits = [&](I mask) -> unsigned int {  // of masks, whose numbers are 0 or -1
    return __builtin_bit_cast(unsigned short, __builtin_convertvector(mask, B));
};
const auto any = [&](I mask) -> bool { return bits(mask) != 0; };
const auto lane = [&](I x, int k) -> int { return x[k]; };
const auto set_lane = [&](I& x, int k, int value) { x[k] = value; };
const auto take = [&](const float* table, I at) -> F {
    F out;
    for (int k = 0; k < LANES; ++k)
        out[k] = table[at[k]];
    return out;
};
const auto take_int = [&](const auto* table, I at) -> I {
    I out;
    for (int k = 0; k < LANES; ++k)
        out[k] = (int) table[at[k]];
    return out;
};
