const auto beam = [&](V p, V n) -> F {  // head lights: wide and low, cut off above the horizon
    const V r = p - all(light.beam_from);
    const F far = root(dot(r, r));
    const V d = r * (1.0f / most(far, F(0.1f)));
    const F cut = clamp(1.0f - (d.z - light.beam_ahead[2] + 0.01f) * 25.0f, 0.04f, 1.0f);
    const F spread = clamp((dot(d, all(light.beam_ahead)) - 0.72f) / 0.28f, 0.0f, 1.0f);
    const F facing = clamp(0.25f - dot(n, d) * 1.5f, 0.0f, 1.0f);
    return spread * spread * cut * facing * 60.0f / (60.0f + far * far) * 1.4f;
};
const auto own_light = [&](int kind, I param, I actor) -> V {  // what a face shines by itself
    const auto lamp = [&](int state, V lit) -> V {
        return lit * (take_int(g.signal.data, param) == I(state) ? F(LAMP) : F(0.0f));
    };
    if (kind == LAMP_RED)
        return lamp(3, rgb(1.0f, 0.005f, 0.004f));
    if (kind == LAMP_YELLOW)
        return lamp(2, rgb(1.0f, 0.13f, 0.001f));
    if (kind == LAMP_GREEN)
        return lamp(1, rgb(0.004f, 1.0f, 0.16f));
    if (kind == HEAD_LIGHT)
        return rgb(1.0f, 0.95f, 0.8f) * F(3.0f * light.night);
    if (kind == STREET_LAMP)
        return rgb(1.0f, 0.8f, 0.5f) * F(light.night > 0.2f ? 5.0f * (light.night - 0.2f) : 0.0f);
    if (kind == TAIL_LIGHT) {
        const I known = actor >= I(0);
        const I brakes = known & (take(g.brake.data, known ? actor : I(0)) > F(0.08f));
        return rgb(1.0f, 0.012f, 0.008f) * (0.25f * light.night + (brakes ? F(2.2f) : F(0.0f)));
    }
    if (kind == BLUE_LAMP) {
        const I known = actor >= I(0);
        const I lit = known & (take_int(g.blue.data, known ? actor : I(0)) == param);
        return rgb(0.004f, 0.035f, 1.0f) * (lit ? F(LAMP) : F(0.0f));
    }
    return rgb(0.0f, 0.0f, 0.0f);
};

const auto face_light = [&](int kind, V base, I param, I actor, V n, V eye, V d, F depth, float pixel_rad) -> V {
    // from `depth` m along the optical axis, where d (world) is 1 long, towards the eye
    const F length = root(dot(d, d)), far = length * depth;
    const V ray = d * (1.0f / length), p = eye + d * depth;
    if (kind == LAMP_RED || kind == LAMP_YELLOW || kind == LAMP_GREEN)
        base = kind == LAMP_RED ? rgb(0.05f, 0.008f, 0.006f)
            : kind == LAMP_YELLOW ? rgb(0.05f, 0.03f, 0.005f) : rgb(0.006f, 0.035f, 0.02f);
    const F slope = dot(ray, n);
    const Surface face = surface(kind, base, param, p, n, pixel_rad * far / root(most(-slope, F(0.03f))));
    F direct = dot(n, all(light.to_sun));
    if (kind == FOLIAGE)  // light seeps through leaves
        direct = most(direct, F(0.0f)) * 0.7f + 0.25f;
    direct = most(direct, F(0.0f));
    const Past past = past_actors(p, actor);
    if (any(direct > F(0.0f)))
        direct = direct * sunlight(p, n) * past.sun;
    const F up = 0.5f + 0.5f * n.z, gloom = past.sky * clamp(0.75f + 0.25f * up, 0.0f, 1.0f);
    const V incoming = all(light.sun) * direct + all(light.ambient) * ((0.35f + 0.65f * up) * gloom);
    V albedo = face.albedo;
    F gloss = face.gloss, mirrored = F(1.0f);
    if ((kind == ASPHALT || kind == PAINT) && light.wet > 0.0f) {
        albedo = albedo * F(1.0f - 0.5f * light.wet);
        const F puddle = clamp(0.5f + 0.8f * noise(p.x * 0.03f, p.y * 0.03f), 0.05f, 1.0f);
        gloss = F(0.02f * light.wet);
        mirrored = light.wet * puddle * 0.5f;  // a rough film of water
    } else if (kind == GLASS) {
        gloss = F(0.08f);
    } else if (kind == CAR_PAINT) {
        gloss = F(0.04f);
    }
    V out = albedo * incoming;
    if (light.night > 0.0f) {
        const float bright = kind == SIGN || kind == PAINT ? 2.0f : 1.0f;
        out = out + albedo * rgb(1.0f, 0.93f, 0.8f) * (light.night * bright * beam(p, n));
        out = out + rgb(0.9f, 0.62f, 0.3f) * (face.glow * light.night * light.night * 0.5f);
    }
    if (any(gloss > F(0.0f))) {
        const F k = 1.0f + most(slope, F(-1.0f)), fifth = k * k * k * k * k;
        const F fresnel = gloss > F(0.0f) ? (gloss + (1.0f - gloss) * fifth) * mirrored : F(0.0f);
        const V mirror = ray - n * (2.0f * slope);
        F glance = most(dot(mirror, all(light.to_sun)), F(0.0f));
        glance = glance * glance;
        glance = glance * glance;
        glance = glance * glance;
        const F spark = glance * glance * glance * glance * direct * 2.0f * least(gloss * 12.0f, F(1.0f));
        const V seen = sky({mirror.x, mirror.y, size(mirror.z)});
        const F dim = mirror.z < F(0.05f) ? F(0.35f) : F(0.8f);
        out = out * (1.0f - fresnel) + seen * (fresnel * dim) + all(light.sun) * spark;
    }
    out = out + own_light(kind, param, actor);
    return blend(out, all(light.horizon), 1.0f - decay(far * light.fog_per_m));
};
