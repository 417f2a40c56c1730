const auto sunlight = [&](V p, V n) -> F {  // share of the sun that passes the scenery, softened over one texel
    const auto& turn = s.sun_from_world.data;
    const V o = p + n * F(0.15f);
    const F a = turn[0][0] * o.x + turn[0][1] * o.y + turn[0][2] * o.z;
    const F b = turn[1][0] * o.x + turn[1][1] * o.y + turn[1][2] * o.z;
    const F c = turn[2][0] * o.x + turn[2][1] * o.y + turn[2][2] * o.z;
    const F fx = (a - s.origin[0]) / s.texel_m - 0.5f, fy = (b - s.origin[1]) / s.texel_m - 0.5f;
    const F left = down(fx), low = down(fy), u = fx - left, v = fy - low;
    const I known = (left >= F(0.0f)) & (low >= F(0.0f)) & (left < F(s.columns - 1.0f)) & (low < F(s.rows - 1.0f));
    const I x = to_int(known ? left : F(0.0f)), y = to_int(known ? low : F(0.0f)), z = to_int((c + 0.25f) * 50.0f);
    const auto place = [&](I x, I y) -> I {
        return ((((y >> 2) * ((s.columns + 7) >> 3) + (x >> 3)) << 5) + ((y & 3) << 3)) + (x & 7);
    };
    const I span = take_int(s.span.data, place(x, y));  // most points need no other look
    const I lit = !known | ((span >> 16) <= z), dark = known & ((span << 16 >> 16) > z);
    F out = lit ? F(1.0f) : F(0.0f);
    if (any(!lit & !dark)) {
        const auto texel = [&](I x, I y) -> F { return take_int(s.height.data, place(x, y)) > z ? F(0.0f) : F(1.0f); };
        const F near = texel(x, y) * (1.0f - u) + texel(x + 1, y) * u;
        const F far = texel(x, y + 1) * (1.0f - u) + texel(x + 1, y + 1) * u;
        out = lit | dark ? out : near * (1.0f - v) + far * v;
    }
    return out;
};

struct Past {  // shares that reach a point
    F sun, sky;
};
const auto past_actor = [&](int actor, V p) -> Past {
    // a body box and, on long ones, a narrower cabin for the sun; distance from the footprint for the sky
    const auto base = g.base.data[actor], box = g.size.data[actor];
    const auto heading = g.heading.data[actor];
    const V r = p - all(base);
    const F ox = r.x * heading[0] + r.y * heading[1], oy = r.y * heading[0] - r.x * heading[1];
    const float dx = light.to_sun[0] * heading[0] + light.to_sun[1] * heading[1];
    const float dy = light.to_sun[1] * heading[0] - light.to_sun[0] * heading[1];
    const auto inverse = [&](float d) -> float { return 1.0f / (d < 1.0e-6f && d > -1.0e-6f ? 1.0e-6f : d); };
    const float ix = inverse(dx), iy = inverse(dy), iz = inverse(light.to_sun[2]);
    const auto blocks = [&](float x0, float x1, float half, float z0, float z1) -> I {
        const F ax = (x0 - ox) * ix, bx = (x1 - ox) * ix, ay = (-half - oy) * iy, by = (half - oy) * iy;
        const F az = (z0 - r.z) * iz, bz = (z1 - r.z) * iz;
        const F enter = most(least(ax, bx), most(least(ay, by), least(az, bz)));
        const F leave = least(most(ax, bx), least(most(ay, by), most(az, bz)));
        return (enter < leave) & (leave > F(0.0f));
    };
    const float a = 0.5f * box[0], b = 0.5f * box[1], h = box[2];
    I blocked;
    if (h < 1.9f && box[0] > 3.0f)
        blocked = blocks(-0.98f * a, 0.98f * a, 0.97f * b, 0.25f, 0.6f * h)
            | blocks(-0.75f * a, 0.4f * a, 0.8f * b, 0.5f * h, 0.97f * h);
    else
        blocked = blocks(-0.9f * a, 0.9f * a, 0.8f * b, 0.1f, 0.97f * h);
    const F gap_x = most(size(ox) - 0.95f * a, F(0.0f)), gap_y = most(size(oy) - 0.92f * b, F(0.0f));
    const F gap = root(gap_x * gap_x + gap_y * gap_y) + 0.6f * size(r.z);
    const F open = clamp(0.25f + gap / 0.8f, 0.0f, 1.0f);
    return {blocked ? F(0.0f) : F(1.0f), r.z < F(0.7f * h) ? open : F(1.0f)};
};
const auto past_actors = [&](V p, I own) -> Past {  // own: the actor that a point is on, -1 none
    const I cx = to_int(down((p.x - s.corner[0]) / CELL_M)), cy = to_int(down((p.y - s.corner[1]) / CELL_M));
    const I known = (cx >= I(0)) & (cy >= I(0)) & (cx < I(CELLS)) & (cy < I(CELLS));
    const I cell = known ? cy * CELLS + cx : I(-1);
    const int first = lane(cell, 0);
    wp::uint64 left = first < 0 ? 0 : s.cells.data[first];
    I low = I((int) left), high = I((int) (left >> 32));
    if (any(cell != I(first)))
        for (int k = 1; k < LANES; ++k) {
            const wp::uint64 mask = lane(cell, k) < 0 ? 0 : s.cells.data[lane(cell, k)];
            set_lane(low, k, (int) mask);
            set_lane(high, k, (int) (mask >> 32));
            left |= mask;
        }
    Past out = {F(1.0f), F(1.0f)};
    for (int actor = 0; left != 0; ++actor, left >>= 1) {
        if ((left & 1) == 0)
            continue;
        const I mine = (((actor < 32 ? low : high) >> (actor & 31)) & 1) != 0;
        const Past one = past_actor(actor, p);
        const I counts = mine & (own != I(actor));
        out.sun = out.sun * (counts ? one.sun : F(1.0f));
        out.sky = out.sky * (counts ? one.sky : F(1.0f));
    }
    return out;
};
