"""Counter-based random numbers: the same in numpy and in Warp, and distributed as they say."""

import numpy as np
import warp as wp

from stack.seeds import Stream, draw, draws, generator, normal, uniform, uniforms

N = 20000


@wp.kernel(enable_backward=False)
def fill(
    seed: wp.uint32, stream: int, tick: int, actor: int,
    bits: wp.array(dtype=wp.uint32), flat: wp.array(dtype=float), bell: wp.array(dtype=float),
):  # fmt: skip
    i = wp.tid()
    bits[i] = draw(seed, stream, tick, actor, i)
    flat[i] = uniform(seed, stream, tick, actor, i)
    bell[i] = normal(seed, stream, tick, actor, i)


def warp_numbers(seed: int, stream: int, tick: int, actor: int, n: int = N) -> tuple[np.ndarray, ...]:
    out = [wp.zeros(n, dtype=kind, device="cpu") for kind in (wp.uint32, float, float)]
    wp.launch(fill, dim=n, inputs=[seed, stream, tick, actor, *out], device="cpu")
    return tuple(array.numpy() for array in out)


def test_numpy_and_warp_draw_the_same_bits() -> None:
    for seed, stream, tick, actor in ((0, 1, 0, 0), (2**32 - 1, 7, 123456, 31), (42, int(Stream.IMU), 5, 2)):
        bits, flat, _ = warp_numbers(seed, stream, tick, actor)
        np.testing.assert_array_equal(bits, draws(seed, stream, tick, actor, N))
        np.testing.assert_array_equal(flat, uniforms(seed, stream, tick, actor, N))


def test_moments() -> None:
    _, flat, bell = warp_numbers(7, int(Stream.GNSS), 3, 1)
    assert flat.min() >= 0.0 and flat.max() < 1.0
    assert abs(flat.mean() - 0.5) < 0.01 and abs(flat.var() - 1 / 12) < 0.002
    assert abs(bell.mean()) < 0.03 and abs(bell.std() - 1.0) < 0.02
    assert abs((bell**3).mean()) < 0.08 and abs((bell**4).mean() - 3.0) < 0.25
    assert abs(np.corrcoef(flat[:-1], flat[1:])[0, 1]) < 0.03


def test_every_word_of_the_key_matters() -> None:
    keys = [(1, 1, 1, 1), (2, 1, 1, 1), (1, 2, 1, 1), (1, 1, 2, 1), (1, 1, 1, 2)]
    numbers = np.stack([draws(*key, 2000) for key in keys])
    assert len(np.unique(numbers)) > 0.999 * numbers.size
    means = [uniforms(3, 1, tick, 0, 1)[0] for tick in range(4000)]  # along ticks too, as the kernels draw
    assert abs(np.mean(means) - 0.5) < 0.02


def test_generator_is_keyed() -> None:
    assert generator(1, Stream.SPAWN).random() == generator(1, Stream.SPAWN).random()
    assert generator(1, Stream.SPAWN).random() != generator(2, Stream.SPAWN).random()
