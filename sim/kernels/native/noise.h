const auto noise = [&](F x, F y) -> F {  // bilinear; one tile spans one unit
    const F u = x * 256.0f, v = y * 256.0f, left = down(u), low = down(v), fu = u - left, fv = v - low;
    const I four = take_int(t.noise.data, (to_int(low) & 255) * 256 + (to_int(left) & 255));
    const F a = to_float(four << 24 >> 24), b = to_float(four << 16 >> 24);
    const F c = to_float(four << 8 >> 24), d = to_float(four >> 24);
    const F near = a + (b - a) * fu, far = c + (d - c) * fu;
    return (near + (far - near) * fv) * (1.0f / 127.0f);
};
const auto fine_noise = [&](F x, F y, F share) -> F {  // not looked up where there is none
    return any(share > F(0.0f)) ? noise(x, y) * share : F(0.0f);
};
const auto line = [&](F x, float half, F pixel) -> F {  // how much of a pixel joints at whole numbers of x cover
    const F wide = most(pixel, F(0.5f * half));
    const F share = clamp((half + 0.5f * wide - size(x - down(x + 0.5f))) / wide, 0.0f, 1.0f);
    return share * least(F(1.0f), 2.0f * half / pixel);
};
