// Draws all chunks on a CPU, sixteen triangles at a time and then sixteen rows of a triangle: as draw_triangle of
// raster.py, operation for operation, so that depths are the same bit for bit.
const int chunks = g.chunk_start.shape[0], width = view.width, height = view.height;
const float per_ray = view.focal_px / view.step;
const float middle_x = (view.centre_px[0] - view.offset) / view.step;
const float middle_y = (view.centre_px[1] - view.offset) / view.step;
const float origin_x = view.offset - view.centre_px[0], origin_y = view.offset - view.centre_px[1];
const auto wider = [&](float middle, float whole) -> float { return middle > whole - middle ? middle : whole - middle; };
const float half_x = wider(view.centre_px[0], (float) width * view.step) / view.focal_px;
const float half_y = wider(view.centre_px[1], (float) height * view.step) / view.focal_px;
const float rim_x = ::sqrtf(1.0f + half_x * half_x), rim_y = ::sqrtf(1.0f + half_y * half_y);
const auto& turn = view.camera_from_world.data;
I lanes;
for (int k = 0; k < LANES; ++k)
    lanes[k] = k;
const auto up = [&](F x) -> F { return __builtin_elementwise_ceil(x); };
const auto cross = [&](V a, V b) -> V {
    return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
};
const auto in_camera = [&](V p) -> V {
    const V r = p - all(view.position);
    return {turn[0][0] * r.x + turn[0][1] * r.y + turn[0][2] * r.z,
            turn[1][0] * r.x + turn[1][1] * r.y + turn[1][2] * r.z,
            turn[2][0] * r.x + turn[2][1] * r.y + turn[2][2] * r.z};
};

struct Box {
    F left, top, right, bottom;
};
const auto grow = [&](Box& box, V p, I counts) {
    const F x = p.x / p.z, y = p.y / p.z;
    box.left = counts & (x < box.left) ? x : box.left, box.top = counts & (y < box.top) ? y : box.top;
    box.right = counts & (x > box.right) ? x : box.right, box.bottom = counts & (y > box.bottom) ? y : box.bottom;
};
const auto grow_edge = [&](Box& box, V p, V q) {  // p if it is ahead, and where p-q passes through the near plane
    const I ahead = p.z >= F(NEAR), passes = ahead ^ (q.z >= F(NEAR));
    grow(box, p, ahead);
    if (any(passes))
        grow(box, p + (q - p) * ((NEAR - p.z) / (q.z - p.z)), passes);
};

struct alignas(64) Lines {  // a x + b y + c over samples, of sixteen triangles: three edges, and inverse depth
    float a[4][LANES], b[4][LANES], c[4][LANES], slope[3][LANES];  // slope: 1 / a
    int left[LANES], top[LANES], right[LANES], bottom[LANES];
};
Lines l;
const auto keep = [&](auto& to, const auto& value) { __builtin_memcpy(to, &value, sizeof(to)); };
const auto keep_line = [&](int i, V n, F scale) {
    const F k = scale / view.focal_px, a = n.x * k, b = n.y * k;
    keep(l.a[i], a * view.step);
    keep(l.b[i], b * view.step);
    keep(l.c[i], n.z * scale + a * origin_x + b * origin_y);
    if (i < 3) {
        const F slant = a * view.step;
        keep(l.slope[i], size(slant) > F(1.0e-12f) ? 1.0f / slant : F(1.0e12f));
    }
};

typedef float F8 __attribute__((ext_vector_type(8)));
typedef int I8 __attribute__((ext_vector_type(8)));
typedef wp::int64 L8 __attribute__((ext_vector_type(8)));
const I8 eight = {0, 1, 2, 3, 4, 5, 6, 7};
const auto fill = [&](int y, int first, int last, float slope, float base, int id) {
    wp::int64* row = keys.data + y * width;
    for (int x = first; x <= last; x += 8) {
        const int start = x + 8 <= width ? x : width - 8;  // what lies beyond the span is written as it was read
        const I8 at = start + eight;
        const F8 inv_z = slope * __builtin_convertvector(at, F8) + base;
        const I8 shown = (at >= first) & (at <= last) & (inv_z < (F8) INV_NEAR);
        L8 key = __builtin_convertvector(__builtin_bit_cast(I8, inv_z), L8) << 32 | (wp::int64) id, before;
        key &= __builtin_convertvector(shown, L8);
        __builtin_memcpy(&before, row + start, sizeof(L8));
        before = before > key ? before : key;
        __builtin_memcpy(row + start, &before, sizeof(L8));
    }
};
const int words = cover.bits.shape[2];
const auto mark = [&](int actor, int y, int x0, int x1) {  // set the bits of a span; count those that were not set yet
    wp::uint32* row = cover.bits.data + (actor * cover.bits.shape[1] + y) * words;
    for (int word = x0 / 32; word <= x1 / 32; ++word) {
        const int low = x0 > 32 * word ? x0 - 32 * word : 0, high = x1 < 32 * word + 31 ? x1 - 32 * word : 31;
        const wp::uint32 mask = (0xFFFFFFFFu >> (31 - high)) & (0xFFFFFFFFu << low);
        cover.total.data[actor] += __builtin_popcount(mask & ~row[word]);
        row[word] |= mask;
    }
    const auto lower = [&](int& bound, int to) { bound = to < bound ? to : bound; };
    const auto raise = [&](int& bound, int to) { bound = to > bound ? to : bound; };
    lower(cover.left.data[actor], x0), raise(cover.right.data[actor], x1);
    lower(cover.top.data[actor], y), raise(cover.bottom.data[actor], y);
};
const auto draw = [&](int k, int id, int actor) {
    for (int y0 = l.top[k]; y0 <= l.bottom[k]; y0 += LANES) {
        const I y = y0 + lanes;
        const F fy = to_float(y);
        F low = F((float) l.left[k]), high = F((float) l.right[k]);
        for (int i = 0; i < 3; ++i) {
            const F x = -(l.b[i][k] * fy + l.c[i][k]) * l.slope[i][k];
            if (l.slope[i][k] > 0.0f)
                low = x > low ? x : low;
            else
                high = x < high ? x : high;
        }
        low = up(low), high = down(high);
        const I shown = (low <= high) & (y <= l.bottom[k]);
        const I first = to_int(shown ? low : F(0.0f)), last = to_int(shown ? high : F(0.0f));
        const F base = l.b[3][k] * fy + l.c[3][k];
        for (unsigned int rows = bits(shown); rows != 0; rows &= rows - 1) {
            const int r = __builtin_ctz(rows);
            fill(y0 + r, first[r], last[r], l.a[3][k], base[r], id);
            const int end = last[r] < width - 2 ? last[r] : width - 2;  // the last column and row belong to no pixel
            if (actor >= 0 && first[r] <= end && y0 + r <= height - 2)
                mark(actor, y0 + r, first[r], end);
        }
    }
};

const auto draw_block = [&](int t, int count, int actor) {  // up to LANES triangles from t on
    alignas(64) float corners[9 * LANES] = {};  // of no area where there is no triangle
    const float* from = (const float*) g.corner.data + 9 * (size_t) t;
    if (count < LANES)
        from = (const float*) __builtin_memcpy(corners, from, 36 * count);
    F c[9];
    for (int i = 0; i < 9; ++i)
        for (int k = 0; k < LANES; ++k)
            c[i][k] = from[9 * k + i];
    const V p0 = in_camera({c[0], c[1], c[2]}), p1 = in_camera({c[3], c[4], c[5]}), p2 = in_camera({c[6], c[7], c[8]});
    const V normal = cross(p1 - p0, p2 - p0);
    const F volume = dot(p0, normal);
    const I front = volume < F(-1.0e-12f);
    if (!any(front))
        return;
    Box box = {F(1.0e9f), F(1.0e9f), F(-1.0e9f), F(-1.0e9f)};
    grow_edge(box, p0, p1), grow_edge(box, p1, p2), grow_edge(box, p2, p0);
    const I left = to_int(up(clamp(box.left * per_ray + middle_x, 0.0f, 1.0e5f)));
    const I top = to_int(up(clamp(box.top * per_ray + middle_y, 0.0f, 1.0e5f)));
    const I right = to_int(down(clamp(box.right * per_ray + middle_x, -1.0f, (float) (width - 1))));
    const I bottom = to_int(down(clamp(box.bottom * per_ray + middle_y, -1.0f, (float) (height - 1))));
    const I shown = front & (left <= right) & (top <= bottom);
    if (!any(shown))
        return;
    const F inv = 1.0f / volume;
    keep_line(0, cross(p1, p2 - p1), inv), keep_line(1, cross(p2, p0 - p2), inv), keep_line(2, cross(p0, p1 - p0), inv);
    keep_line(3, normal, inv);
    keep(l.left, left), keep(l.top, top), keep(l.right, right), keep(l.bottom, bottom);
    for (unsigned int left = bits(shown); left != 0; left &= left - 1)
        draw(__builtin_ctz(left), t + __builtin_ctz(left) + 1, actor);
};

for (int chunk = 0; chunk < chunks; chunk += LANES) {
    const I at = chunk + lanes < chunks ? chunk + lanes : I(chunks - 1);
    const float* centres = (const float*) g.chunk_centre.data;
    const V c = in_camera({take(centres, at * 3), take(centres, at * 3 + 1), take(centres, at * 3 + 2)});
    const F r = take(g.chunk_radius.data, at);
    const I inside = (c.z + r > F(NEAR)) & (c.z - r < F(view.far_m)) & (size(c.x) - c.z * half_x < r * rim_x)
        & (size(c.y) - c.z * half_y < r * rim_y) & (take(g.chunk_grain_m.data, at) * view.focal_px >= GRAIN * (c.z - r))
        & (take_int(g.chunk_count.data, at) > 0) & (chunk + lanes < chunks);
    for (unsigned int left = bits(inside); left != 0; left &= left - 1) {
        const int one = chunk + __builtin_ctz(left), start = g.chunk_start.data[one], count = g.chunk_count.data[one];
        const int actor = words == 0 || one < g.static_chunks ? -1 : one - g.static_chunks;
        for (int t = 0; t < count; t += LANES)
            draw_block(start + t, count - t < LANES ? count - t : LANES, actor);
    }
}
