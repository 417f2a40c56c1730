"""Contact in the open world: every pair in touch, its impulse, and what the bodies do then.

Bodies are upright boxes with a height; shapes and masses are those of sim/kernels/contact.py. Contacts are solved one after
the other, ITERATIONS times over, with impulses that add up and never pull, and Coulomb's friction (Catto, Iterative
Dynamics with Temporal Coherence, GDC 2005), so that a chain of bodies passes an impulse on and momentum is kept whatever
happens. Placed bodies and static boxes have infinite mass; two of them do not meet. One thread does it all: few bodies
are in touch, and the order of the rows is the order of the sums.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from sim.kernels.boxes import Box, StaticBoxes, cell_of, cross2, left_of, overlap, reach, static_box, touch_point
from sim.kernels.contact import PUSH_SHARE, SLOP_M, Scratch, box_of, enclose_row, is_vehicle, meets
from sim.kernels.near import lowest, near_bits
from sim.kernels.open_rows import INNER, INNER_S, OpenArrays, ahead_of, set_velocity
from sim.kernels.rows import INLINE
from sim.state import Driver, StateArrays
from stack.labels import Kind
from stack.vehicle import Column

wp.set_module_options({"enable_backward": False, "cpu_compiler_flags": INLINE})

ITERATIONS = 10
RUBBING = 0.3  # friction of bodies that slide along one another
THROWN_MPS = 1.0  # a walker whose velocity changes by more than this loses its feet
GRAZE_M = 0.25  # bodies that overlap by less along two axes touch at a corner
LATE = 1.2  # steps
NEVER = 1.0e9
EACH = 8  # contacts for a row


@wp.struct
class Touches:
    """Contacts [C], bodies [A + 1]: the last one is the scenery."""

    count: wp.array(dtype=wp.int32)  # [2] of this inner step, and of the tick
    a: wp.array(dtype=wp.int32)
    b: wp.array(dtype=wp.int32)
    normal: wp.array(dtype=wp.vec2)  # from a to b
    depth: wp.array(dtype=wp.float32)
    point: wp.array(dtype=wp.vec3)
    impulse: wp.array(dtype=wp.float32)  # N s along the normal
    rub: wp.array(dtype=wp.float32)  # and to the left of it
    # of the whole tick [C]
    first: wp.array(dtype=wp.int32)
    second: wp.array(dtype=wp.int32)
    at: wp.array(dtype=wp.vec3)
    taken: wp.array(dtype=wp.vec2)  # impulse that `second` got, N s, world frame
    # bodies
    gravity_m: wp.array(dtype=wp.vec2)  # centre of gravity
    v: wp.array(dtype=wp.vec2)
    r: wp.array(dtype=wp.float32)
    before: wp.array(dtype=wp.vec2)  # velocity before contact
    inv_m: wp.array(dtype=wp.float32)
    inv_i: wp.array(dtype=wp.float32)
    touched: wp.array(dtype=wp.int32)


@wp.func
def enter_body(
    state: StateArrays, params: wp.array2d(dtype=wp.float32), own: OpenArrays, scratch: Scratch, t: Touches, i: int
) -> None:
    """A row as the solver sees it."""
    enclose_row(state, scratch, 0, i)
    if own.ghost[i] != 0:
        scratch.radius[0, i] = -1.0e9
    t.touched[i] = 0
    if scratch.radius[0, i] < 0.0:
        return
    ahead = ahead_of(state, i)
    b = float(0.0)
    if is_vehicle(state.kind[0, i]):
        b = params[i, Column.REAR_AXLE]
    t.inv_m[i] = 1.0 / params[i, Column.MASS]
    t.inv_i[i] = 1.0 / params[i, Column.YAW_INERTIA]
    if state.driver[0, i] == int(Driver.PLACED):
        t.inv_m[i] = 0.0
        t.inv_i[i] = 0.0
    elif state.kind[0, i] == int(Kind.PEDESTRIAN):
        t.inv_i[i] = 0.0  # faces where it wants to
    r = state.yaw_rate_radps[0, i]
    t.r[i] = r
    t.gravity_m[i] = wp.vec2(state.x_m[0, i], state.y_m[0, i]) + b * ahead
    t.v[i] = state.vx_mps[0, i] * ahead + (state.vy_mps[0, i] + b * r) * left_of(ahead)
    t.before[i] = t.v[i]


@wp.func
def axis(a: Box, b: Box, k: int) -> wp.vec3:
    """One of the four axes that may separate two boxes, from a to b, and their overlap along it."""
    n = a.ahead
    if k >= 2:
        n = b.ahead
    if k == 1 or k == 3:
        n = left_of(n)
    along = wp.dot(n, b.centre - a.centre)
    if along < 0.0:
        n = -n
    return wp.vec3(n[0], n[1], reach(a, n) + reach(b, n) - wp.abs(along))


@wp.func
def meet(a: Box, b: Box, closing: wp.vec2, h: float) -> wp.vec3:
    """Normal from a to b and depth of the contact of two boxes, as `overlap`, but for the choice of the axis.

    In one step `h` fast bodies get so deep into each other that the axis of least overlap is the wrong one: there the last
    axis counts along which they came together within that step (separating axes swept back in time). Where only corners
    meet, the axis counts along which they are the slower: they are deflected, and the joints of a wall stop nobody.
    """
    best = overlap(a, b)
    if best[2] <= 0.0:
        return best
    graze = best[2] <= GRAZE_M
    cost = LATE * h
    if graze:
        cost = float(NEVER)
    for k in range(4):
        found = axis(a, b, k)
        speed = wp.dot(closing, wp.vec2(found[0], found[1]))
        other = float(NEVER)
        if graze:
            if found[2] <= GRAZE_M:
                other = found[2] + h * wp.max(speed, 0.0)
        elif speed > 0.0:
            other = found[2] / speed
        if other < cost:
            cost = other
            best = found
    return best


@wp.func
def note(
    state: StateArrays, scratch: Scratch, t: Touches, a: int, b: int, hit: wp.vec3, point: wp.vec2, z: float
) -> None:
    """Write down a contact; where the list is full it is passed over."""
    n = t.count[0]
    if n < t.a.shape[0]:
        t.count[0] = n + 1
        t.a[n] = a
        t.b[n] = b
        t.normal[n] = wp.vec2(hit[0], hit[1])
        t.depth[n] = hit[2]
        t.point[n] = wp.vec3(point[0], point[1], z)
        t.impulse[n] = 0.0
        t.rub[n] = 0.0
        t.touched[a] = t.touched[a] + 1
        t.touched[b] = t.touched[b] + 1


@wp.func
def beside(state: StateArrays, scratch: Scratch, i: int, j: int) -> bool:
    """Whether two bodies are at one height."""
    zi = scratch.z[0, i]
    zj = scratch.z[0, j]
    return zi < zj + state.height_m[0, j] and zj < zi + state.height_m[0, i]


@wp.func
def find(
    state: StateArrays, statics: StaticBoxes, own: OpenArrays, scratch: Scratch, t: Touches, largest: float, i: int
) -> None:  # fmt: skip
    """Contacts of a row with later rows and with the scenery; `largest`: radius of any body."""
    rows = state.kind.shape[1]
    far = scratch.radius[0, i] + largest
    x = scratch.x[0, i]
    y = scratch.y[0, i]
    box = box_of(state, scratch, 0, i)
    for first in range(0, rows, 32):
        bits = near_bits(scratch.x, scratch.y, 0, first, rows, x, y, far * far)
        while bits != wp.uint32(0):
            j = first + lowest(bits)
            bits = bits & (bits - wp.uint32(1))
            if j > i and scratch.radius[0, j] > 0.0:
                if t.inv_m[i] + t.inv_m[j] > 0.0 and beside(state, scratch, i, j):
                    other = box_of(state, scratch, 0, j)
                    hit = meet(box, other, t.v[i] - t.v[j], own.clock[INNER_S])
                    if hit[2] > 0.0:
                        low = wp.max(scratch.z[0, i], scratch.z[0, j])
                        high = wp.min(scratch.z[0, i] + state.height_m[0, i], scratch.z[0, j] + state.height_m[0, j])
                        note(state, scratch, t, i, j, hit, touch_point(box, other), 0.5 * (low + high))
    cell = cell_of(statics, 0, x, y)
    if cell >= 0 and t.inv_m[i] > 0.0:
        for e in range(statics.start[cell], statics.start[cell + 1]):
            k = statics.item[e]
            if meets(statics, k, state, scratch, 0, i):
                wall = static_box(statics, k)
                hit = meet(box, wall, t.v[i], own.clock[INNER_S])
                if hit[2] > 0.0:
                    z = scratch.z[0, i]
                    low = wp.max(z, statics.box[k, 5])
                    high = wp.min(z + state.height_m[0, i], statics.box[k, 6])
                    note(state, scratch, t, i, rows, hit, touch_point(box, wall), 0.5 * (low + high))


@wp.func
def slip(t: Touches, a: int, b: int, n: wp.vec2, p: wp.vec2) -> float:
    """Speed of body a against body b at a point, along a direction."""
    va = t.v[a] + t.r[a] * left_of(p - t.gravity_m[a])
    vb = t.v[b] + t.r[b] * left_of(p - t.gravity_m[b])
    return wp.dot(va - vb, n)


@wp.func
def yielding(t: Touches, a: int, b: int, n: wp.vec2, p: wp.vec2) -> float:
    """By how much an impulse of 1 N s along a direction changes that speed."""
    ra = cross2(p - t.gravity_m[a], n)
    rb = cross2(p - t.gravity_m[b], n)
    return t.inv_m[a] + t.inv_m[b] + ra * ra * t.inv_i[a] + rb * rb * t.inv_i[b]


@wp.func
def transfer(t: Touches, a: int, b: int, j: wp.vec2, p: wp.vec2) -> None:
    """An impulse from body a to body b."""
    t.v[a] = t.v[a] - t.inv_m[a] * j
    t.v[b] = t.v[b] + t.inv_m[b] * j
    t.r[a] = t.r[a] - t.inv_i[a] * cross2(p - t.gravity_m[a], j)
    t.r[b] = t.r[b] + t.inv_i[b] * cross2(p - t.gravity_m[b], j)


@wp.func
def push_on(t: Touches, c: int) -> None:
    """One turn of one contact: the impulse that stops its bodies from closing in, and what that lets them rub."""
    a = t.a[c]
    b = t.b[c]
    n = t.normal[c]
    p = wp.vec2(t.point[c][0], t.point[c][1])
    total = wp.max(t.impulse[c] + slip(t, a, b, n, p) / yielding(t, a, b, n, p), 0.0)
    transfer(t, a, b, (total - t.impulse[c]) * n, p)
    t.impulse[c] = total
    along = left_of(n)
    most = RUBBING * total
    rubbed = wp.clamp(t.rub[c] + slip(t, a, b, along, p) / yielding(t, a, b, along, p), -most, most)
    transfer(t, a, b, (rubbed - t.rub[c]) * along, p)
    t.rub[c] = rubbed


@wp.func
def part(state: StateArrays, t: Touches, c: int) -> None:
    """Undo a share of a contact's overlap."""
    a = t.a[c]
    b = t.b[c]
    n = t.normal[c]
    share = PUSH_SHARE / float(wp.max(t.touched[a], wp.where(b < state.kind.shape[1], t.touched[b], 1)))
    apart = share * wp.max(t.depth[c] - SLOP_M, 0.0) / (t.inv_m[a] + t.inv_m[b])
    state.x_m[0, a] = state.x_m[0, a] - apart * t.inv_m[a] * n[0]
    state.y_m[0, a] = state.y_m[0, a] - apart * t.inv_m[a] * n[1]
    if b < state.kind.shape[1]:
        state.x_m[0, b] = state.x_m[0, b] + apart * t.inv_m[b] * n[0]
        state.y_m[0, b] = state.y_m[0, b] + apart * t.inv_m[b] * n[1]


@wp.func
def leave_body(state: StateArrays, params: wp.array2d(dtype=wp.float32), own: OpenArrays, t: Touches, i: int) -> None:
    """Give a row the velocity that the solver found."""
    if t.touched[i] == 0 or t.inv_m[i] == 0.0:
        return
    b = float(0.0)
    if is_vehicle(state.kind[0, i]):
        b = params[i, Column.REAR_AXLE]
    set_velocity(state, i, t.v[i] - b * t.r[i] * left_of(ahead_of(state, i)))
    state.yaw_rate_radps[0, i] = t.r[i]
    if state.kind[0, i] == int(Kind.PEDESTRIAN) and wp.length(t.v[i] - t.before[i]) > THROWN_MPS:
        if wp.length(t.v[i]) > wp.length(t.before[i]):  # hit, not merely stopped by a wall
            own.thrown[i] = 1


@wp.func
def add_up(t: Touches, c: int) -> None:
    """Add a contact to those of the tick."""
    n = t.count[1]
    at = int(0)
    while at < n and (
        t.first[wp.min(at, t.first.shape[0] - 1)] != t.a[c] or t.second[wp.min(at, t.first.shape[0] - 1)] != t.b[c]
    ):
        at += 1
    if at == t.first.shape[0]:
        return
    if at == n:
        t.count[1] = n + 1
        t.first[at] = t.a[c]
        t.second[at] = t.b[c]
        t.at[at] = t.point[c]
        t.taken[at] = wp.vec2(0.0, 0.0)
    t.taken[at] = t.taken[at] + t.impulse[c] * t.normal[c] + t.rub[c] * left_of(t.normal[c])


@wp.kernel(enable_backward=False)
def collide(
    state: StateArrays, params: wp.array2d(dtype=wp.float32), statics: StaticBoxes, own: OpenArrays, scratch: Scratch, t: Touches
):  # fmt: skip
    """One inner step of all contacts."""
    rows = state.kind.shape[1]
    t.count[0] = 0
    t.touched[rows] = 0
    if own.count[INNER] == 0:
        t.count[1] = 0
    largest = float(0.0)
    for i in range(rows):
        enter_body(state, params, own, scratch, t, i)
        largest = wp.max(largest, scratch.radius[0, i])
    for i in range(rows):
        if scratch.radius[0, i] > 0.0:
            find(state, statics, own, scratch, t, largest, i)
    contacts = t.count[0]
    if contacts > 0:
        for _ in range(ITERATIONS):
            for c in range(contacts):
                push_on(t, c)
        for c in range(contacts):
            part(state, t, c)
            add_up(t, c)
        for i in range(rows):
            leave_body(state, params, own, t, i)


def allocate(actors: int, device: str) -> Any:
    """`Touches` for the rows of a world."""
    out: Any = Touches()
    bodies = ("gravity_m", "v", "r", "before", "inv_m", "inv_i", "touched")
    for name, var in Touches.vars.items():
        size = 2 if name == "count" else actors + 1 if name in bodies else EACH * actors
        setattr(out, name, wp.zeros(size, dtype=var.type.dtype, device=device))
    return out
