const auto sky = [&](V d) -> V {  // gradient, clouds, glow round the sun
    const F up = most(d.z, F(0.0f)), under = 1.0f - up;
    V out = blend(all(light.horizon), all(light.zenith), least((1.0f - under * under * under) * 1.15f, F(1.0f)));
    if (light.clouds > 0.0f && any(d.z > F(0.02f))) {
        const F inv = 1.0f / (most(d.z, F(0.02f)) + 0.15f), u = d.x * inv, v = d.y * inv;
        const F thick = noise(u * 0.09f, v * 0.09f) + 0.5f * noise(u * 0.31f + 0.4f, v * 0.31f);
        const F share = clamp((thick + 2.2f * light.clouds - 1.1f) * 1.4f, 0.0f, 1.0f) * least(d.z * 8.0f, F(1.0f));
        const V white = all(light.horizon * 0.75f + light.sun * 0.35f + light.ambient * 0.2f);
        out = blend(out, white * (0.9f + 0.14f * thick), d.z > F(0.02f) ? share * 0.9f : F(0.0f));
    }
    F glow = most(dot(d, all(light.to_sun)), F(0.0f));
    glow = glow * glow;
    glow = glow * glow;
    return out + all(light.sun) * (0.25f * glow * glow * (1.0f - 0.7f * light.clouds));
};
