"""Kernels over half a turn of the LiDAR and over the points of obstacles. What they find: perception/lidar.py.

No thread reads what another one of the same launch writes, and groups are joined by a single thread, so that the order
of threads cannot matter.
"""

from __future__ import annotations

import math
from typing import Any

import warp as wp

wp.set_module_options({"enable_backward": False})

EGO_BOX_M = wp.constant(wp.vec4(-1.3, 4.3, -1.2, 1.2))  # returns from the own body: x from, to, y from, to
KERB_M = wp.constant(wp.vec2(0.07, 0.25))  # a step along a ring
FLAT_M = wp.constant(0.03)  # on either side of the step
EDGE_RANGE_M = wp.constant(25.0)
MARKING_CONTRAST = wp.constant(25.0)  # intensity above the road three columns to either side
OBSTACLE_M = wp.constant(wp.vec2(0.3, 2.5))  # height above ground
OBSTACLE_RANGE_M = wp.constant(60.0)
SECTORS = 240  # of 1.5 degrees, two columns: one dropped return does not split an object
CELL_M, CELL_GROWTH = wp.constant(0.35), wp.constant(0.02)  # depth of a cell: 0.35 m + 2 % of the range
DEPTHS = 80  # cells up to 65 m
CLUSTER_POINTS = wp.constant(3)
CLUSTER_EXTENT_M = wp.constant(16.0)  # anything longer is a wall
FIT_ANGLES = 30  # of 3 degrees each
FIT_POINTS = wp.constant(32)  # of a cluster, evenly chosen: the angle needs no more
FIT_CLOSE_M = wp.constant(0.05)
SECTORS_, DEPTHS_, FIT_ANGLES_ = wp.constant(SECTORS), wp.constant(DEPTHS), wp.constant(FIT_ANGLES)
PI = wp.constant(math.pi)


@wp.struct
class SweepArrays:
    """R rings from the top, C columns."""

    range_steps: wp.array2d(dtype=wp.uint16)  # (R, C)
    bright: wp.array2d(dtype=wp.uint8)  # (R, C)
    ring: wp.array(dtype=wp.vec2)  # (R,) cos and sin of the elevation, in units of a range step
    column: wp.array(dtype=wp.vec2)  # (C,) cos and sin of the azimuth
    pose: wp.array(dtype=wp.mat44)  # (1,) ego from LiDAR
    xyz: wp.array2d(dtype=wp.vec3)  # (R, C) in the ego frame
    height: wp.array2d(dtype=wp.float32)  # above the last ground inside
    ground: wp.array2d(dtype=wp.uint8)
    obstacle: wp.array2d(dtype=wp.uint8)
    edge: wp.array2d(dtype=wp.uint8)  # 1: a kerb starts here, at `kerb`; 2: a marking; 3: both
    kerb: wp.array2d(dtype=wp.vec2)


@wp.struct
class ClusterArrays:
    """Points and the groups that they form; all of fixed capacity."""

    xyz: wp.array(dtype=wp.vec3)
    grid: wp.array(dtype=wp.int32)  # (SECTORS * DEPTHS,) first point in the cell, or -1
    parent: wp.array(dtype=wp.int32)  # per point: another of its group, in the end the first of it
    low: wp.array(dtype=wp.vec2)  # per point that is the first of its group: bounds of the group
    high: wp.array(dtype=wp.vec2)
    size: wp.array(dtype=wp.int32)
    place: wp.array(dtype=wp.int32)  # where the group's next point goes, -1: too small or too long
    order: wp.array(dtype=wp.int32)  # points, group by group
    start: wp.array(dtype=wp.int32)  # per group
    count: wp.array(dtype=wp.int32)
    angle: wp.array(dtype=wp.int32)  # per group: index of the best one
    bounds: wp.array(dtype=wp.vec4)  # per group: u from, to, v from, to, in axes turned by it
    turn: wp.array(dtype=wp.vec2)  # (FIT_ANGLES,) cos and sin
    number: wp.array(dtype=wp.int32)  # (1,) of groups


@wp.kernel(enable_backward=False)
def walk_columns(a: SweepArrays):
    """Points of a column in the ego frame; walking outward, which of them are ground and which an obstacle."""
    c = wp.tid()
    rings = a.ring.shape[0]
    pose = a.pose[0]
    beam = a.column[c]
    last_z = wp.float32(0.0)
    last_r = wp.float32(0.0)
    for k in range(rings):
        i = rings - 1 - k
        steps = a.range_steps[i, c]
        flat = float(steps) * a.ring[i][0]
        local = wp.vec3(flat * beam[0], flat * beam[1], float(steps) * a.ring[i][1])
        p = wp.transform_point(pose, local)
        own = p[0] > EGO_BOX_M[0] and p[0] < EGO_BOX_M[1] and p[1] > EGO_BOX_M[2] and p[1] < EGO_BOX_M[3]
        r = wp.sqrt(p[0] * p[0] + p[1] * p[1])
        rise = p[2] - last_z
        run = r - last_r
        ground = wp.uint8(0)
        obstacle = wp.uint8(0)
        if int(steps) > 0 and not own:
            if wp.abs(rise) < wp.min(0.5 * run + 0.03, 0.03 * run + 0.18):
                ground = wp.uint8(1)
                last_z = p[2]
                last_r = r
            elif rise > OBSTACLE_M[0] and rise < OBSTACLE_M[1] and r < OBSTACLE_RANGE_M:
                obstacle = wp.uint8(1)
        a.xyz[i, c] = p
        a.height[i, c] = rise
        a.ground[i, c] = ground
        a.obstacle[i, c] = obstacle


@wp.func
def near(a: SweepArrays, i: int, c: int) -> bool:
    """Ground within reach."""
    p = a.xyz[i, c]
    return a.ground[i, c] != wp.uint8(0) and p[0] * p[0] + p[1] * p[1] < EDGE_RANGE_M * EDGE_RANGE_M


@wp.func
def rise_at(a: SweepArrays, i: int, c: int) -> float:
    return wp.abs(a.xyz[i, c + 1][2] - a.xyz[i, c][2])


@wp.kernel(enable_backward=False)
def find_edges(a: SweepArrays):
    """A kerb: flat, a step within four columns, flat again. A marking: brighter than three columns to either side."""
    i, c = wp.tid()
    found = wp.uint8(0)
    columns = a.column.shape[0]
    if c + 6 < columns and near(a, i, c):
        if near(a, i, c + 1) and near(a, i, c + 5) and near(a, i, c + 6):
            step = wp.abs(a.xyz[i, c + 5][2] - a.xyz[i, c + 1][2])
            if step > KERB_M[0] and step < KERB_M[1] and rise_at(a, i, c) < FLAT_M and rise_at(a, i, c + 5) < FLAT_M:
                # a beam that meets the kerb's face meets the edge itself: the steepest pair of columns holds it
                best = c + 1
                for k in range(1, 4):
                    if rise_at(a, i, c + 1 + k) > rise_at(a, i, best):
                        best = c + 1 + k
                one, two = a.xyz[i, best], a.xyz[i, best + 1]
                a.kerb[i, c] = wp.vec2(0.5 * (one[0] + two[0]), 0.5 * (one[1] + two[1]))
                found = wp.uint8(1)
    if c >= 3 and c + 3 < columns:
        bright, left, right = float(a.bright[i, c]), float(a.bright[i, c - 3]), float(a.bright[i, c + 3])
        if bright - wp.max(left, right) > MARKING_CONTRAST:
            if near(a, i, c) and near(a, i, c - 3) and near(a, i, c + 3):
                z = a.xyz[i, c][2]
                if wp.abs(z - a.xyz[i, c - 3][2]) < FLAT_M and wp.abs(z - a.xyz[i, c + 3][2]) < FLAT_M:
                    found = found | wp.uint8(2)
    a.edge[i, c] = found


@wp.func
def root(parent: wp.array(dtype=wp.int32), i: int) -> int:
    """First of the group of i; halves the way there."""
    k = wp.int32(i)
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@wp.func
def join(parent: wp.array(dtype=wp.int32), i: int, j: int):
    """The lower index becomes the first of both."""
    a = root(parent, i)
    b = root(parent, j)
    parent[wp.max(a, b)] = wp.min(a, b)


@wp.func
def cell_of(p: wp.vec3) -> int:
    sector = int((wp.atan2(p[1], p[0]) + PI) * (float(SECTORS_) / (2.0 * PI)))
    r = wp.sqrt(p[0] * p[0] + p[1] * p[1])
    depth = int(wp.log(1.0 + r * (CELL_GROWTH / CELL_M)) / CELL_GROWTH)
    return (sector % SECTORS_) * DEPTHS_ + wp.min(depth, DEPTHS_ - 1)


@wp.kernel(enable_backward=False)
def connect(a: ClusterArrays, points: int):
    """Groups of points in touching cells, those that are large enough and not too long, in the order of their points.

    One thread: a few thousand points take less time than handing them round.
    """
    for k in range(SECTORS_ * DEPTHS_):
        a.grid[k] = -1
    for i in range(points):
        cell = cell_of(a.xyz[i])
        a.size[i] = 0
        a.place[i] = cell
        a.parent[i] = i
        if a.grid[cell] < 0:
            a.grid[cell] = i
        else:
            a.parent[i] = a.grid[cell]
    for i in range(points):
        cell = a.place[i]
        if a.grid[cell] == i:
            sector = cell // DEPTHS_
            depth = cell - sector * DEPTHS_
            beyond = ((sector + 1) % SECTORS_) * DEPTHS_
            if depth + 1 < DEPTHS_ and a.grid[cell + 1] >= 0:
                join(a.parent, i, a.grid[cell + 1])
            for d in range(wp.max(depth - 1, 0), wp.min(depth + 2, DEPTHS_)):
                if a.grid[beyond + d] >= 0:
                    join(a.parent, i, a.grid[beyond + d])
    for i in range(points):
        k = root(a.parent, i)
        xy = wp.vec2(a.xyz[i][0], a.xyz[i][1])
        if a.size[k] == 0:
            a.low[k] = xy
            a.high[k] = xy
        a.low[k] = wp.min(a.low[k], xy)
        a.high[k] = wp.max(a.high[k], xy)
        a.size[k] = a.size[k] + 1
    groups = wp.int32(0)
    placed = wp.int32(0)
    for i in range(points):
        k = root(a.parent, i)
        if k == i:
            a.place[k] = -1
            if a.size[k] >= CLUSTER_POINTS and wp.length(a.high[k] - a.low[k]) < CLUSTER_EXTENT_M:
                a.place[k] = placed
                a.start[groups] = placed
                a.count[groups] = a.size[k]
                placed += a.size[k]
                groups += 1
        if a.place[k] >= 0:
            a.order[a.place[k]] = i
            a.place[k] = a.place[k] + 1
    a.number[0] = groups


@wp.func
def bounds_of(a: ClusterArrays, start: int, count: int, most: int, turn: wp.vec2) -> wp.vec4:
    """u from, to, v from, to of `most` points of a group, evenly chosen."""
    low, high = wp.vec2(1.0e9, 1.0e9), wp.vec2(-1.0e9, -1.0e9)
    n = wp.min(count, most)
    stride = (count << 8) // n
    for k in range(n):
        p = a.xyz[a.order[start + ((k * stride) >> 8)]]
        w = wp.vec2(p[0] * turn[0] + p[1] * turn[1], p[1] * turn[0] - p[0] * turn[1])
        low = wp.min(low, w)
        high = wp.max(high, w)
    return wp.vec4(low[0], high[0], low[1], high[1])


@wp.kernel(enable_backward=False)
def fit(a: ClusterArrays):
    """The angle at which a group's points lie closest to the sides of their bounding box: most sum 1 / max(d, d0)."""
    g = wp.tid()
    start, count = a.start[g], a.count[g]
    n = wp.min(count, FIT_POINTS)
    stride = (count << 8) // n  # of which the bits below 8 are a fraction: no division in the loop
    best = wp.int32(0)
    most = wp.float32(-1.0)
    for j in range(FIT_ANGLES_):
        turn = a.turn[j]
        b = bounds_of(a, start, count, FIT_POINTS, turn)
        total = wp.float32(0.0)
        for k in range(n):
            p = a.xyz[a.order[start + ((k * stride) >> 8)]]
            u = p[0] * turn[0] + p[1] * turn[1]
            v = p[1] * turn[0] - p[0] * turn[1]
            side = wp.min(wp.min(u - b[0], b[1] - u), wp.min(v - b[2], b[3] - v))
            total += 1.0 / wp.max(side, FIT_CLOSE_M)
        if total > most:
            best = j
            most = total
    a.angle[g] = best
    a.bounds[g] = bounds_of(a, start, count, count, a.turn[best])


def filled(struct: Any, arrays: dict[str, Any]) -> Any:
    """A Warp struct with these arrays."""
    out = struct()
    for name, value in arrays.items():
        setattr(out, name, value)
    return out
