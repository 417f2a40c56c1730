"""Normal draws on the host, by the same counter-based numbers as everything else."""

from __future__ import annotations

import numpy as np

from stack.frames import F64
from stack.seeds import uniforms


def normals(seed: int, stream: int, sample: int, use: int, n: int) -> F64:
    """(n,) standard normals (Box-Muller) of one sample; `use` tells draws of one sample apart."""
    a, b = uniforms(seed, stream, sample, use, 2 * n).astype(np.float64).reshape(2, n)
    return np.sqrt(-2.0 * np.log(1.0 - a)) * np.cos(2.0 * np.pi * b)
