// Vectors of F and I, numbers of LANES points at once (lane.h, lanes.h). What is written in them works on all points of
// a call alike. A branch that asks any() of them changes nothing for the others, so that a point looks the same whoever
// its neighbours are.
struct V {
    F x, y, z;
    CUDA_CALLABLE V operator+(V o) const { return {x + o.x, y + o.y, z + o.z}; }
    CUDA_CALLABLE V operator-(V o) const { return {x - o.x, y - o.y, z - o.z}; }
    CUDA_CALLABLE V operator*(V o) const { return {x * o.x, y * o.y, z * o.z}; }
    CUDA_CALLABLE V operator*(F k) const { return {x * k, y * k, z * k}; }
};
const auto all = [&](wp::vec3 v) -> V { return {F(v[0]), F(v[1]), F(v[2])}; };
const auto rgb = [&](float r, float g, float b) -> V { return {F(r), F(g), F(b)}; };
const auto dot = [&](V a, V b) -> F { return a.x * b.x + a.y * b.y + a.z * b.z; };
const auto least = [&](F a, F b) -> F { return a < b ? a : b; };
const auto most = [&](F a, F b) -> F { return a > b ? a : b; };
const auto size = [&](F a) -> F { return a < F(0.0f) ? -a : a; };
const auto clamp = [&](F x, float low, float high) -> F {
    x = x > F(low) ? x : F(low);
    return x < F(high) ? x : F(high);
};
const auto blend = [&](V a, V b, F share) -> V { return a * (F(1.0f) - share) + b * share; };
const auto decay = [&](F x) -> F {  // e to the -x: the series of 2 to the power of a fraction, to 3e-6
    const F y = most(x * -1.44269504f, F(-126.0f)), n = down(y + 0.5f), f = y - n;
    const F cubic = 0.05550411f + f * (0.00961813f + f * 0.00133336f);
    return (1.0f + f * (0.69314718f + f * (0.24022651f + f * cubic))) * whole_power(to_int(n));
};
const auto mix = [&](U x) -> U {  // as stack/seeds.py
    x = x ^ (x >> 16);
    x = x * 0x7FEB352Du;
    x = x ^ (x >> 15);
    x = x * 0x846CA68Bu;
    return x ^ (x >> 16);
};
const auto chance = [&](I a, I b, I c) -> F {
    const U h = mix((U) a ^ mix((U) b ^ mix((U) c)));
    return to_float((I) (h >> 8)) * 5.9604644775390625e-08f;
};
