struct Surface {  // gloss: mirrored share at normal incidence; glow: share of the albedo that shines by itself at night
    V albedo;
    F gloss, glow;
};
const auto facade = [&](V base, I row, V p, V n, F pixel) -> Surface {
    // storeys of windows with frames and sills, a shop front below on some; all from the building's row and a hash
    const float* info = (const float*) t.facades.data;
    const F ground = take(info, row * 4), storey = take(info, row * 4 + 1);
    const F pitch = take(info, row * 4 + 2), style = take(info, row * 4 + 3);
    const F along = n.x * p.y - n.y * p.x, u = along / pitch, v = (p.z - ground) / storey;
    const F cell_u = down(u), cell_v = down(v), fu = u - cell_u, fv = v - cell_v;
    const F fine = fine_noise(along * 0.9f, p.z * 0.9f, clamp(1.0f - pixel * 8.0f, 0.0f, 1.0f));
    F wall = 1.0f + 0.10f * noise(along * 0.11f, p.z * 0.11f) + 0.08f * fine;
    const I brick = style > F(0.6f), banded = style > F(0.4f);
    if (any(brick))
        wall = wall * (brick ? 1.0f - 0.22f * line(p.z / 0.16f, 0.09f, pixel / 0.16f) : F(1.0f));
    if (any(banded & !brick))  // a band between storeys
        wall = wall * ((banded & !brick) ? 1.0f - 0.25f * line(v, 0.03f, pixel / storey) : F(1.0f));
    const I shop = (cell_v == F(0.0f)) & (style < F(0.35f));
    const F half = shop ? F(0.44f) : 0.22f + 0.13f * style, top = shop ? F(0.78f) : F(0.82f);
    const F bottom = shop ? F(0.08f) : 0.3f - 0.12f * down(style * 3.0f);
    const F edge_u = size(fu - 0.5f) - half, edge_v = most(bottom - fv, fv - top);
    F inside = clamp(0.5f - edge_u * pitch / pixel, 0.0f, 1.0f) * clamp(0.5f - edge_v * storey / pixel, 0.0f, 1.0f);
    inside = ((p.z < ground - 0.1f) | (cell_v < F(0.0f))) ? F(0.0f) : inside;
    const F sill = most((edge_u + 0.04f) * pitch, (edge_v + 0.03f) * storey) / most(pixel, F(0.02f));
    const F frame = least(clamp(0.5f + sill, 0.0f, 1.0f) + line(fu, 0.02f, pixel / pitch), F(1.0f));
    const F pane = chance(to_int(cell_u), to_int(cell_v), row);
    const V glass = rgb(0.03f, 0.035f, 0.04f) + rgb(0.22f, 0.2f, 0.17f) * most(pane - 0.72f, F(0.0f));
    const V window = blend(glass, rgb(0.5f, 0.49f, 0.46f), frame * 0.8f);
    const F glow = pane < F(0.3f) ? inside * 0.9f : F(0.0f);
    return {blend(base * wall, window, inside), 0.10f * inside * (1.0f - frame), glow};
};
const auto surface = [&](int kind, V base, I param, V p, V n, F pixel) -> Surface {  // pixel: its width on the face, m
    const F fine = clamp(1.0f - pixel * 12.0f, 0.0f, 1.0f);
    V albedo = base;
    if (kind == ASPHALT) {
        const F wide = noise(p.x * 0.013f, p.y * 0.013f), middle = noise(p.x * 0.09f + 0.3f, p.y * 0.09f);
        F rough = F(0.0f);
        if (any(fine > F(0.0f))) {  // most of a road is too far away for it
            const F crack = clamp(1.0f - size(noise(p.x * 0.021f, p.y * 0.021f + 0.5f)) * 60.0f, 0.0f, 1.0f);
            rough = (0.22f * noise(p.x * 0.7f, p.y * 0.7f) - 0.45f * t.wear * crack) * fine;
        }
        const F patch = clamp((size(noise(p.x * 0.007f + 0.2f, p.y * 0.007f)) - 0.62f) * 30.0f, 0.0f, 1.0f) * t.wear;
        albedo = base * (1.0f + 0.28f * wide + 0.16f * middle + rough - 0.3f * patch);
    } else if (kind == PAINT) {
        const F worn = noise(p.x * 0.06f, p.y * 0.06f) + 0.7f * fine_noise(p.x * 0.6f, p.y * 0.6f, fine);
        const F gone = clamp((worn + 1.3f * t.wear - 1.15f) * 2.0f, 0.0f, 0.85f);
        albedo = blend(base * (1.0f + 0.06f * worn), all(t.palette.data[14] * 1.2f), gone);
    } else if (kind == SIDEWALK) {
        const F tone = chance(to_int(down(p.x)), to_int(down(p.y)), I(7));
        const F joint = most(line(p.x, 0.012f, pixel), line(p.y, 0.012f, pixel));
        const F stain = noise(p.x * 0.05f, p.y * 0.05f), grain = fine_noise(p.x * 0.8f, p.y * 0.8f, fine);
        const F near = clamp(1.2f - pixel * 4.0f, 0.0f, 1.0f);
        albedo = base * (1.0f + 0.2f * (tone - 0.5f) * near + 0.14f * stain + 0.1f * grain - 0.5f * joint);
    } else if (kind == GRASS) {
        const F dry = clamp(0.35f + 0.8f * noise(p.x * 0.011f, p.y * 0.011f), 0.0f, 1.0f);
        const F middle = noise(p.x * 0.1f, p.y * 0.1f), grain = fine_noise(p.x * 0.9f, p.y * 0.9f, fine);
        albedo = blend(base, base * rgb(1.7f, 1.15f, 1.3f), dry) * (1.0f + 0.25f * middle + 0.4f * grain);
    } else if (kind == FACADE) {
        return facade(base, param, p, n, pixel);
    } else if (kind == ROOF) {
        const F rows = n.z < F(0.98f) ? line(p.z / 0.3f, 0.12f, pixel / 0.3f) : F(0.0f);
        albedo = base * (1.0f + 0.3f * noise(p.x * 0.07f, p.y * 0.07f + p.z * 0.05f) - 0.3f * rows);
    } else if (kind == FOLIAGE) {
        const F leaves = noise((p.x + 0.7f * p.z) * 0.23f, (p.y - 0.6f * p.z) * 0.23f);
        const F small = fine_noise((p.x - p.z) * 0.9f, (p.y + p.z) * 0.9f, clamp(1.0f - pixel * 6.0f, 0.0f, 1.0f));
        albedo = base * most(1.0f + 0.75f * leaves + 0.7f * small, F(0.15f));
    } else if (kind == BARK || kind == KERB) {
        albedo = base * (1.0f + 0.3f * noise((p.x + p.y) * 0.3f, p.z * 0.1f + p.x * 0.2f));
    } else if (kind == FENCE) {
        const F along = n.x * p.y - n.y * p.x;
        const F rails = line(along / 0.14f, 0.12f, pixel / 0.14f);
        albedo = base * (1.0f - 0.6f * rails + 0.2f * noise(along * 0.3f, p.z * 0.3f));
    }
    return {albedo, F(0.0f), F(0.0f)};
};
