"""How kernels go through the rows of a world."""

from __future__ import annotations

import warp as wp

# LLVM must take every function into the kernel: a call copies the structs that it is given, 4 KB for each row.
INLINE = (
    "-march=native -mllvm=-inline-threshold=100000 -mllvm=-inline-cold-callsite-threshold=30000"
    " -mllvm=-slp-recursion-max-depth=4"
)


def threads(actors: int, device: str) -> int:
    """On a GPU one for each row. On a CPU one for all rows of a world: to fetch a kernel's arguments, hundreds of pointers,
    takes a thread as long as a row."""
    return actors if wp.get_device(device).is_cuda else 1
