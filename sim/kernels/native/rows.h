// Shades the pixels of one tile, sixteen points of one material at a time. Points wait in a queue of their material
// until there are sixteen. What a point looks like depends on nothing but itself, so their order does not show.
constexpr int SKY = MATERIALS;
struct alignas(64) Queue {
    int face[LANES], column[LANES], row[LANES], pixel[LANES];  // triangle; sample; place on the film
    float inv_depth[LANES], share[LANES];
    int count;
};
struct alignas(64) Points {
    float normal[3][LANES], base[3][LANES], column[LANES], row[LANES], inv_depth[LANES];
    int param[LANES], actor[LANES];
};
struct alignas(64) Film {
    float rgb[3][TILE_H * TILE_W + LANES];
};
Film film;
Queue queues[SKY + 1];
for (Queue& q : queues)
    q.count = 0;

const int width = view.width, pixels_x = out.depth_m.shape[1], pixels_y = out.depth_m.shape[0];
const int j0 = tile_x * TILE_W, j1 = j0 + TILE_W < pixels_x ? j0 + TILE_W : pixels_x;
const int i0 = tile_y * TILE_H, i1 = i0 + TILE_H < pixels_y ? i0 + TILE_H : pixels_y;
const float per_px = 1.0f / view.focal_px;
const auto& turn = view.camera_from_world.data;  // its rows are the camera's axes in the world
const float across = 0.5f * per_px, left = -view.centre_px[0] * per_px, top = -view.centre_px[1] * per_px;
F iota;
for (int k = 0; k < LANES; ++k)
    iota[k] = (float) k;
const auto hash = [&](unsigned int x) -> unsigned int {  // as mix, of one number
    x = (x ^ (x >> 16)) * 0x7FEB352Du;
    x = (x ^ (x >> 15)) * 0x846CA68Bu;
    return x ^ (x >> 16);
};
const auto load = [&](const float* from) -> F { F x; __builtin_memcpy(&x, from, sizeof(F)); return x; };
const auto load_int = [&](const int* from) -> I { I x; __builtin_memcpy(&x, from, sizeof(I)); return x; };
const auto store = [&](float* to, F x) { __builtin_memcpy(to, &x, sizeof(F)); };
const auto store_int = [&](int* to, I x) { __builtin_memcpy(to, &x, sizeof(I)); };

const auto three = [&](const auto& of) -> V { return {load(of[0]), load(of[1]), load(of[2])}; };
const auto kind_of = [&](int face) -> int { return face < 0 ? SKY : g.material.data[face] & 255; };
const auto describe = [&](int face, Points& p, int k) {  // what point k must know of its triangle
    const int word = g.material.data[face], colour = word >> 8 & 255, actor = g.instance.data[face] - 1;
    const bool own = colour < OWN_COLOURS && actor >= 0;
    const wp::vec3& n = g.normal.data[face];
    const wp::vec3& base = *(own ? g.colour.data + actor * OWN_COLOURS + colour : t.palette.data + colour);
    p.normal[0][k] = n[0], p.normal[1][k] = n[1], p.normal[2][k] = n[2];
    p.base[0][k] = base[0], p.base[1][k] = base[1], p.base[2][k] = base[2];
    p.param[k] = word >> 16, p.actor[k] = actor;
};
const auto look = [&](int kind, const Points& p) __attribute__((noinline)) -> V {
    const F x = left + across * load(p.column), y = top + across * load(p.row);
    const V d = {turn[0][0] * x + turn[1][0] * y + turn[2][0], turn[0][1] * x + turn[1][1] * y + turn[2][1],
                 turn[0][2] * x + turn[1][2] * y + turn[2][2]};
    if (kind == SKY)
        return sky(d * (1.0f / root(dot(d, d))));
    return face_light(kind, three(p.base), load_int(p.param), load_int(p.actor),
                      three(p.normal), all(view.position), d, 1.0f / load(p.inv_depth), per_px);
};
const auto expose = [&](int kind) {  // the points of one material that wait
    Queue& q = queues[kind];
    Points p;
    for (int k = q.count; k < LANES; ++k)  // a queue that is not full repeats its first point
        q.face[k] = q.face[0], q.column[k] = q.column[0], q.row[k] = q.row[0], q.inv_depth[k] = q.inv_depth[0];
    if (kind != SKY)
#pragma clang loop unroll(disable) vectorize(disable)
        for (int k = 0; k < LANES; ++k)
            describe(q.face[k], p, k);
    store(p.column, to_float(load_int(q.column))), store(p.row, to_float(load_int(q.row)));
    store(p.inv_depth, load(q.inv_depth));
    const V seen = look(kind, p);
    for (int k = 0; k < q.count; ++k) {
        const int at = q.pixel[k];
        film.rgb[0][at] += seen.x[k] * q.share[k];
        film.rgb[1][at] += seen.y[k] * q.share[k];
        film.rgb[2][at] += seen.z[k] * q.share[k];
    }
    q.count = 0;
};
const auto expect = [&](int face, int column, int row, float inv_depth, int pixel, float share) {
    const int kind = kind_of(face);
    Queue& q = queues[kind];
    const int k = q.count++;
    q.face[k] = face, q.column[k] = column, q.row[k] = row;
    q.pixel[k] = pixel, q.inv_depth[k] = inv_depth, q.share[k] = share;
    if (q.count == LANES)
        expose(kind);
};
const auto expose_run = [&](int face, int column, int row, const float* inv_depth, int pixel, int count) {
    // neighbours of one triangle; the last few wait for others
    Points p;
    int done = 0;
    if (count >= LANES) {
        const int kind = kind_of(face);
        if (kind != SKY)
            describe(face, p, 0);
        for (int c = 0; c < 3; ++c)
            store(p.normal[c], F(p.normal[c][0])), store(p.base[c], F(p.base[c][0]));
        store_int(p.param, I(p.param[0])), store_int(p.actor, I(p.actor[0])), store(p.row, F((float) row));
        for (; done + LANES <= count; done += LANES) {
            store(p.column, (float) (column + 2 * done) + 2.0f * iota);
            store(p.inv_depth, load(inv_depth + done));
            const V seen = look(kind, p);
            store(film.rgb[0] + pixel + done, seen.x);
            store(film.rgb[1] + pixel + done, seen.y);
            store(film.rgb[2] + pixel + done, seen.z);
        }
    }
    for (; done < count; ++done)
        expect(face, column + 2 * done, row, inv_depth[done], pixel + done, 1.0f);
};

// Which samples differ from their neighbours, for all of a row at once: most pixels have a single face, in runs.
constexpr int SPAN = 2 * TILE_W + 2 * LANES;
alignas(64) int above[SPAN], middle[SPAN], below[SPAN];  // triangle + 1 of each sample
alignas(64) int column[SPAN], beside[SPAN];  // bits in which one differs from those above and below, and from the next
alignas(64) float inv_depth[TILE_W + LANES];
alignas(64) unsigned char plain[TILE_W + LANES];
alignas(64) int shown_instance[TILE_W + LANES];
unsigned char shown_semantic[TILE_W + LANES];
const auto run_from = [&](int j) -> int {  // how many of the pixels from j on are plain
    for (int count = 0;; count += 8) {
        wp::uint64 eight;
        __builtin_memcpy(&eight, plain + j + count, 8);
        if (eight != 0x0101010101010101u)
            return count + __builtin_ctzll(~eight & 0x0101010101010101u) / 8;
    }
};
const int samples = 2 * (j1 - j0) + 1, pixels = j1 - j0;
const auto triangles = [&](int y, int* to) {
    const wp::int64* from = keys.data + y * width + 2 * j0;
    for (int x = 0; x < samples; ++x)
        to[x] = (int) from[x];
};
const auto inverse_of = [&](wp::int64 key) -> float { return __builtin_bit_cast(float, (int) (key >> 32)); };
const auto count_seen = [&](int id, int samples) {
    if (id > g.static_triangles)
        out.visible.data[g.instance.data[id - 1] - 1] += samples;
};
const auto alike = [&](int a, int b) -> bool {  // the same stuff of the same thing
    return a == b || (a > 0 && b > 0 && g.material.data[a - 1] == g.material.data[b - 1]
                      && g.instance.data[a - 1] == g.instance.data[b - 1]);
};
const auto fetch = [&](int y) {  // rows of a tile lie too far apart for the processor to foresee them
    for (int x = 0; y < view.height && x < samples; x += 8)
        __builtin_prefetch(keys.data + y * width + 2 * j0 + x);
};
triangles(2 * i0, below);
for (int i = i0; i < i1; ++i) {
    const int y = 2 * i + 1, first = (i - i0) * TILE_W;
    const wp::int64* at = keys.data + y * width + 2 * j0;
    fetch(y + 2), fetch(y + 3);
    __builtin_memcpy(above, below, sizeof(above));
    triangles(y, middle);
    triangles(y + 1, below);
    for (int x = 0; x < samples; ++x)
        column[x] = (above[x] ^ middle[x]) | (below[x] ^ middle[x]);
    for (int x = 0; x < samples - 1; ++x)
        beside[x] = column[x] | (middle[x] ^ middle[x + 1]);
    float* depth = out.depth_m.data + i * pixels_x + j0;
    for (int j = 0; j < pixels; ++j) {
        plain[j] = (beside[2 * j] | beside[2 * j + 1] | column[2 * j + 2]) == 0;
        inv_depth[j] = inverse_of(at[2 * j + 1]);
        depth[j] = 1.0f / inv_depth[j];  // infinite in the sky
    }
    for (int c = 0; c < 3; ++c)
        __builtin_memset(film.rgb[c] + first, 0, TILE_W * sizeof(float));
    __builtin_memset(plain + pixels, 0, LANES);
    for (int j = 0; j < pixels;) {
        const int x = 2 * j + 1, id = middle[x];
        int count = run_from(j);
        if (count > 0) {
            expose_run(id - 1, 2 * j0 + x, y, inv_depth + j, first + j, count);
            count_seen(id, 4 * count);
        } else {
            count = 1;
            int other = -1, other_x = x, other_y = y;
            float share = 0.0f;
            for (int dy = -1; dy <= 1; ++dy) {
                const int* row = dy < 0 ? above : dy == 0 ? middle : below;
                for (int dx = -1; dx <= 1; ++dx) {
                    const int sample = row[x + dx];
                    if (!alike(id, sample)) {
                        share += dx == 0 || dy == 0 ? 0.125f : 0.0625f;
                        if (other == -1 || (other_x != x && other_y != y))  // prefer one straight beside the centre
                            other = sample, other_x = x + dx, other_y = y + dy;
                    }
                    if (dx <= 0 && dy <= 0)  // each sample is counted by one pixel only
                        count_seen(sample, 1);
                }
            }
            expect(id - 1, 2 * j0 + x, y, inv_depth[j], first + j, 1.0f - share);
            if (other >= 0)
                expect(other - 1, 2 * j0 + other_x, other_y, inverse_of(keys.data[other_y * width + 2 * j0 + other_x]),
                       first + j, share);
        }
        const int actor = id > 0 ? g.instance.data[id - 1] : 0;
        const unsigned char label = id > 0 ? g.semantic.data[id - 1] : SKY_LABEL;
        for (int k = 0; k < count; k += LANES) {  // what is written too far is written again
            store_int(shown_instance + j + k, I(actor));
            __builtin_memset(shown_semantic + j + k, label, LANES);
        }
        j += count;
    }
    __builtin_memcpy(out.instance.data + i * pixels_x + j0, shown_instance, pixels * sizeof(int));
    __builtin_memcpy(out.semantic.data + i * pixels_x + j0, shown_semantic, pixels);
}
for (int kind = 0; kind <= SKY; ++kind)
    if (queues[kind].count > 0)
        expose(kind);

// Exposure, loss of light towards the rim, tone and grain.
typedef signed char Grains __attribute__((ext_vector_type(16)));
typedef unsigned char Levels __attribute__((ext_vector_type(16)));
const float half_width = 1.0f / view.centre_px[0], loss = light.exposure * 0.75f * light.vignette;
const int roughness = (int) (light.noise * GRAIN_UNIT);
for (int i = i0; i < i1; ++i) {
    const float ry = (2 * i + 1) * 0.5f * half_width - view.centre_px[1] * half_width;
    const float rim = light.exposure - loss * ry * ry;
    unsigned int start[3] = {hash(grain_key ^ (unsigned int) i)};  // each row of each channel has its own of the grain
    start[1] = hash(start[0]), start[2] = hash(start[1]);
    for (int j = j0; j < j1; j += LANES) {
        const F rx = ((float) (2 * j + 1) + 2.0f * iota) * 0.5f * half_width - 1.0f;
        const F gain = (rim - loss * rx * rx) / TONE_MAX;
        for (int c = 0; c < 3; ++c) {
            const F seen = load(film.rgb[c] + (i - i0) * TILE_W + j - j0) * gain;
            const I bits = __builtin_bit_cast(I, clamp(seen, DARKEST, ALMOST_ONE));
            Grains grains;
            __builtin_memcpy(&grains, grain.data + ((start[c] + j) & GRAIN_LAST), LANES);
            const I coarse = __builtin_convertvector(grains, I) * roughness >> 8;
            const I level = (take_int(tone.data, (bits - FIRST_BITS) >> TONE_SHIFT) + 32 + coarse) >> 6;
            const Levels levels = __builtin_convertvector(level < 0 ? I(0) : level > 255 ? I(255) : level, Levels);
            unsigned char* to = out.rgb.data + (c * pixels_y + i) * pixels_x + j;
            if (j + LANES <= j1)
                __builtin_memcpy(to, &levels, LANES);
            else
                for (int k = 0; k < j1 - j; ++k)
                    to[k] = levels[k];
        }
    }
}
