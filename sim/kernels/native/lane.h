// Numbers of one point at a time: what light.h is written in, for one thread of a GPU or a pixel of its own.
typedef float F;
typedef int I;
typedef unsigned int U;
constexpr int LANES = 1;
const auto to_int = [&](F x) -> I { return (int) x; };
const auto to_float = [&](I x) -> F { return (float) x; };
const auto root = [&](F x) -> F { return ::sqrtf(x); };
const auto down = [&](F x) -> F { return ::floorf(x); };
const auto whole_power = [&](I x) -> F { return ::ldexpf(1.0f, x); };  // 2 to the x
const auto any = [&](bool x) -> bool { return x; };
const auto lane = [&](I x, int) -> int { return x; };
const auto set_lane = [&](I& x, int, int value) { x = value; };
const auto take = [&](const auto* table, I at) { return table[at]; };
const auto take_int = [&](const auto* table, I at) -> I { return (int) table[at]; };
