"""Who is near: one word of bits for 32 rows at a time, as a loop of plain C++ that becomes vector code.

Asking every other actor of a world, one by one, is what most of a tick went to. Callers go through the set bits from low
to high, so that the order in which rows are met is that of a plain loop:

    for first in range(0, actors, 32):
        bits = near_bits(st.x_m, st.y_m, w, first, actors, x, y, reach * reach)
        while bits != wp.uint32(0):
            k = first + lowest(bits)
            bits = bits & (bits - wp.uint32(1))
"""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func_native(
    """
    const float* xs = x.data + (size_t) w * x.shape[1] + first;
    const float* ys = y.data + (size_t) w * y.shape[1] + first;
    const int count = rows - first < 32 ? rows - first : 32;
    wp::uint32 bits = 0;
    for (int k = 0; k < count; ++k) {
        const float dx = xs[k] - at_x;
        const float dy = ys[k] - at_y;
        bits |= (wp::uint32) (dx * dx + dy * dy < square ? 1 : 0) << k;
    }
    return bits;
    """
)
def near_bits(
    x: wp.array2d(dtype=wp.float32), y: wp.array2d(dtype=wp.float32), w: int, first: int, rows: int, at_x: float,
    at_y: float, square: float,
) -> wp.uint32:  # fmt: skip
    """Bit k: row first + k of world w, one of `rows`, is within the root of `square` of a point, m2."""
    ...


@wp.func_native(
    """
#if defined(__CUDA_ARCH__)
    return __ffs(bits) - 1;
#else
    return __builtin_ctz(bits);
#endif
    """
)
def lowest(bits: wp.uint32) -> int:
    """Number of the lowest set bit of a word that is not 0."""
    ...
