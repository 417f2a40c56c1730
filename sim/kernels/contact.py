"""Contact: exact oriented boxes, who hit whom, where and how fast; and what the bodies do then.

Circles about the boxes sort out the pairs that cannot touch. Overlapping bodies get an inelastic impulse along the
axis of least overlap (Catto, Iterative Dynamics with Temporal Coherence, GDC 2005, one iteration) and are pushed
apart. Everything is computed from the state before contact, each row writes only itself, and each pair is computed
the same way round by both its rows, so that momentum is kept and the order of threads does not matter. Static scenery
is a list of boxes in a uniform grid; it never moves (as placed actors do not, whoever hits them), and touches only
bodies at its height: nobody is hit by the rail of a bridge who drives below it.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from sim.kernels.boxes import Box, StaticBoxes, cell_of, cross2, is_level, left_of, overlap, static_box, touch_point
from sim.kernels.near import lowest, near_bits
from sim.kernels.rows import INLINE, threads
from sim.state import Driver, StateArrays
from stack.labels import Kind
from stack.vehicle import Column

wp.set_module_options({"enable_backward": False, "cpu_compiler_flags": INLINE})

SCENERY = -2  # hit_other of something that is no actor
SLOP_M = 0.01  # overlap that is left, so that bodies at rest stay in touch
PUSH_SHARE = 0.8  # of the rest of the overlap, undone in one tick
PEDESTRIAN_KG = 75.0
LEVEL_M = 3.0  # bodies whose ground is so far apart in height are on different roads
STEP_M = 0.3  # what reaches no higher over the ground under a body is driven over, or the road's own slope
LARGEST_M = 10.0  # no actor's circle is larger


@wp.struct
class Scratch:
    """[W, A] of one tick: circles round the boxes, number of contacts, and the response."""

    x: wp.array2d(dtype=wp.float32)  # box centre
    y: wp.array2d(dtype=wp.float32)
    z: wp.array2d(dtype=wp.float32)  # of the ground
    cos: wp.array2d(dtype=wp.float32)  # of the yaw
    sin: wp.array2d(dtype=wp.float32)
    radius: wp.array2d(dtype=wp.float32)  # negative: no body
    contacts: wp.array2d(dtype=wp.int32)
    push_x: wp.array2d(dtype=wp.float32)  # world frame, m
    push_y: wp.array2d(dtype=wp.float32)
    kick_x: wp.array2d(dtype=wp.float32)  # world frame, m/s, at the centre of gravity
    kick_y: wp.array2d(dtype=wp.float32)
    kick_r: wp.array2d(dtype=wp.float32)


@wp.struct
class Mover:
    """What an impulse needs: centre of gravity, velocity there, yaw rate, inverse mass and inertia."""

    g: wp.vec2
    v: wp.vec2
    r: float
    inv_m: float
    inv_i: float


@wp.func
def box_of(state: StateArrays, scratch: Scratch, w: int, i: int) -> Box:
    box = Box()
    box.centre = wp.vec2(scratch.x[w, i], scratch.y[w, i])
    box.ahead = wp.vec2(scratch.cos[w, i], scratch.sin[w, i])
    box.half = wp.vec2(0.5 * state.length_m[w, i], 0.5 * state.width_m[w, i])
    return box


@wp.func
def is_vehicle(kind: int) -> bool:
    return kind == int(Kind.CAR) or kind == int(Kind.TRUCK) or kind == int(Kind.CYCLIST)


@wp.func
def gives_way(state: StateArrays, w: int, i: int) -> bool:
    """Whether a row is moved by what it touches."""
    return is_vehicle(state.kind[w, i]) and state.driver[w, i] != int(Driver.PLACED)


@wp.func
def mover_of(state: StateArrays, params: wp.array2d(dtype=wp.float32), w: int, i: int) -> Mover:
    out = Mover()
    ahead = wp.vec2(wp.cos(state.yaw_rad[w, i]), wp.sin(state.yaw_rad[w, i]))
    b = float(0.0)
    if is_vehicle(state.kind[w, i]):
        m = state.model[w, i]
        b = params[m, Column.REAR_AXLE]
        out.inv_m = 1.0 / params[m, Column.MASS]
        out.inv_i = 1.0 / params[m, Column.YAW_INERTIA]
        out.r = state.yaw_rate_radps[w, i]
    elif state.kind[w, i] == int(Kind.PEDESTRIAN):
        out.inv_m = 1.0 / PEDESTRIAN_KG
    if state.driver[w, i] == int(Driver.PLACED):
        out.inv_m = 0.0
        out.inv_i = 0.0
    out.g = wp.vec2(state.x_m[w, i], state.y_m[w, i]) + b * ahead
    out.v = state.vx_mps[w, i] * ahead + (state.vy_mps[w, i] + b * out.r) * left_of(ahead)
    return out


@wp.func
def closing(a: Mover, b: Mover, n: wp.vec2, p: wp.vec2) -> float:
    """Speed at which the bodies approach at point p along the normal from a to b; negative: they part."""
    va = a.v + a.r * left_of(p - a.g)
    vb = b.v + b.r * left_of(p - b.g)
    return wp.dot(va - vb, n)


@wp.func
def impulse(a: Mover, b: Mover, n: wp.vec2, p: wp.vec2) -> float:
    """Size of the inelastic impulse between the bodies, N s."""
    ra = cross2(p - a.g, n)
    rb = cross2(p - b.g, n)
    yielding = a.inv_m + b.inv_m + ra * ra * a.inv_i + rb * rb * b.inv_i
    return wp.max(closing(a, b, n, p), 0.0) / wp.max(yielding, 1.0e-9)


@wp.func
def enclose_row(state: StateArrays, scratch: Scratch, w: int, i: int) -> None:
    """Write the circle round a row's box."""
    length = state.length_m[w, i]
    width = state.width_m[w, i]
    ahead = state.centre_m[w, i]
    cos = wp.cos(state.yaw_rad[w, i])
    sin = wp.sin(state.yaw_rad[w, i])
    scratch.cos[w, i] = cos
    scratch.sin[w, i] = sin
    scratch.x[w, i] = state.x_m[w, i] + ahead * cos
    scratch.y[w, i] = state.y_m[w, i] + ahead * sin
    scratch.z[w, i] = state.z_m[w, i]
    scratch.radius[w, i] = 0.5 * wp.sqrt(length * length + width * width)
    if state.kind[w, i] == int(Kind.NONE):
        scratch.radius[w, i] = -1.0e9


@wp.kernel(enable_backward=False)
def enclose(state: StateArrays, scratch: Scratch, stride: int):
    w, first = wp.tid()
    for i in range(first, state.kind.shape[1], stride):
        enclose_row(state, scratch, w, i)


@wp.func
def near(scratch: Scratch, w: int, i: int, j: int) -> bool:
    if wp.abs(scratch.z[w, i] - scratch.z[w, j]) > LEVEL_M:  # one drives over a bridge
        return False
    dx = scratch.x[w, i] - scratch.x[w, j]
    dy = scratch.y[w, i] - scratch.y[w, j]
    r = scratch.radius[w, i] + scratch.radius[w, j]
    return r > 0.0 and dx * dx + dy * dy < r * r


@wp.func
def meets(statics: StaticBoxes, k: int, state: StateArrays, scratch: Scratch, w: int, i: int) -> bool:
    """Whether a static box is at the height of a body."""
    ground = scratch.z[w, i]
    return is_level(statics, k, ground + STEP_M, ground + wp.max(state.height_m[w, i], 2.0 * STEP_M))


@wp.func
def detect_row(
    state: StateArrays, params: wp.array2d(dtype=wp.float32), statics: StaticBoxes, scratch: Scratch, w: int, i: int
) -> None:
    """Find who is in touch with a row."""
    other = int(-1)
    contacts = int(0)
    speed = float(0.0)
    point = wp.vec2(0.0, 0.0)
    if scratch.radius[w, i] > 0.0:
        reach = scratch.radius[w, i] + LARGEST_M
        for first in range(0, state.kind.shape[1], 32):
            bits = near_bits(
                scratch.x, scratch.y, w, first, state.kind.shape[1], scratch.x[w, i], scratch.y[w, i], reach * reach
            )
            while bits != wp.uint32(0):
                j = first + lowest(bits)
                bits = bits & (bits - wp.uint32(1))
                if j != i and near(scratch, w, i, j):
                    a = wp.min(i, j)  # both rows of a pair compute the same numbers
                    b = wp.max(i, j)
                    box_a = box_of(state, scratch, w, a)
                    box_b = box_of(state, scratch, w, b)
                    hit = overlap(box_a, box_b)
                    if hit[2] > 0.0:
                        contacts += 1
                        if other == -1:
                            other = j
                            point = touch_point(box_a, box_b)
                            n = wp.vec2(hit[0], hit[1])
                            speed = closing(mover_of(state, params, w, a), mover_of(state, params, w, b), n, point)
        own = box_of(state, scratch, w, i)
        cell = cell_of(statics, state.map_index[w], scratch.x[w, i], scratch.y[w, i])
        if cell >= 0 and state.kind[w, i] != int(Kind.PROP):
            for e in range(statics.start[cell], statics.start[cell + 1]):
                if not meets(statics, statics.item[e], state, scratch, w, i):
                    continue
                box = static_box(statics, statics.item[e])
                hit = overlap(own, box)
                if hit[2] > 0.0:
                    contacts += 1
                    if other == -1:
                        other = SCENERY
                        point = touch_point(own, box)
                        still = Mover()
                        still.g = box.centre
                        speed = closing(mover_of(state, params, w, i), still, wp.vec2(hit[0], hit[1]), point)
    scratch.contacts[w, i] = contacts
    state.hit_other[w, i] = other
    state.hit_speed_mps[w, i] = wp.max(speed, 0.0)
    state.hit_x_m[w, i] = point[0]
    state.hit_y_m[w, i] = point[1]


@wp.kernel(enable_backward=False)
def detect(
    state: StateArrays, params: wp.array2d(dtype=wp.float32), statics: StaticBoxes, scratch: Scratch, stride: int
):
    w, first = wp.tid()
    for i in range(first, state.kind.shape[1], stride):
        detect_row(state, params, statics, scratch, w, i)


@wp.struct
class Response:
    """What one body gets from its contacts; world frame."""

    push: wp.vec2
    kick: wp.vec2
    kick_r: float


@wp.func
def answer(a: Mover, b: Mover, box_a: Box, box_b: Box, hit: wp.vec3, share: float, first: bool) -> Response:
    """Response of body a (`first`) or of body b to their contact."""
    out = Response()
    n = wp.vec2(hit[0], hit[1])
    point = touch_point(box_a, box_b)
    apart = share * PUSH_SHARE * wp.max(hit[2] - SLOP_M, 0.0) / wp.max(a.inv_m + b.inv_m, 1.0e-9)
    j = share * impulse(a, b, n, point)
    if first:
        out.push = -apart * a.inv_m * n
        out.kick = -j * a.inv_m * n
        out.kick_r = -j * a.inv_i * cross2(point - a.g, n)
    else:
        out.push = apart * b.inv_m * n
        out.kick = j * b.inv_m * n
        out.kick_r = j * b.inv_i * cross2(point - b.g, n)
    return out


@wp.func
def added(a: Response, b: Response) -> Response:
    out = Response()
    out.push = a.push + b.push
    out.kick = a.kick + b.kick
    out.kick_r = a.kick_r + b.kick_r
    return out


@wp.func
def respond_row(
    state: StateArrays, params: wp.array2d(dtype=wp.float32), statics: StaticBoxes, scratch: Scratch, w: int, i: int
) -> None:
    """Add up what a row gets from its contacts."""
    if scratch.contacts[w, i] == 0 or not gives_way(state, w, i):
        return
    total = Response()
    reach = scratch.radius[w, i] + LARGEST_M
    for first in range(0, state.kind.shape[1], 32):
        bits = near_bits(
            scratch.x, scratch.y, w, first, state.kind.shape[1], scratch.x[w, i], scratch.y[w, i], reach * reach
        )
        while bits != wp.uint32(0):
            j = first + lowest(bits)
            bits = bits & (bits - wp.uint32(1))
            if j != i and near(scratch, w, i, j):
                a = wp.min(i, j)
                b = wp.max(i, j)
                box_a = box_of(state, scratch, w, a)
                box_b = box_of(state, scratch, w, b)
                hit = overlap(box_a, box_b)
                if hit[2] > 0.0:
                    share = 1.0 / float(wp.max(scratch.contacts[w, i], scratch.contacts[w, j]))
                    mover_a = mover_of(state, params, w, a)
                    mover_b = mover_of(state, params, w, b)
                    total = added(total, answer(mover_a, mover_b, box_a, box_b, hit, share, i == a))
    own = box_of(state, scratch, w, i)
    mover = mover_of(state, params, w, i)
    cell = cell_of(statics, state.map_index[w], scratch.x[w, i], scratch.y[w, i])
    if cell >= 0:
        for e in range(statics.start[cell], statics.start[cell + 1]):
            if not meets(statics, statics.item[e], state, scratch, w, i):
                continue
            box = static_box(statics, statics.item[e])
            hit = overlap(own, box)
            if hit[2] > 0.0:
                still = Mover()
                still.g = box.centre
                share = 1.0 / float(scratch.contacts[w, i])
                total = added(total, answer(mover, still, own, box, hit, share, True))
    scratch.push_x[w, i] = total.push[0]
    scratch.push_y[w, i] = total.push[1]
    scratch.kick_x[w, i] = total.kick[0]
    scratch.kick_y[w, i] = total.kick[1]
    scratch.kick_r[w, i] = total.kick_r


@wp.kernel(enable_backward=False)
def respond(
    state: StateArrays, params: wp.array2d(dtype=wp.float32), statics: StaticBoxes, scratch: Scratch, stride: int
):
    w, first = wp.tid()
    for i in range(first, state.kind.shape[1], stride):
        respond_row(state, params, statics, scratch, w, i)


@wp.func
def apply_row(state: StateArrays, params: wp.array2d(dtype=wp.float32), scratch: Scratch, w: int, i: int) -> None:
    """Move a row by what it gets."""
    if scratch.contacts[w, i] == 0 or not gives_way(state, w, i):
        return
    ahead = wp.vec2(wp.cos(state.yaw_rad[w, i]), wp.sin(state.yaw_rad[w, i]))
    kick = wp.vec2(scratch.kick_x[w, i], scratch.kick_y[w, i])
    turn = scratch.kick_r[w, i]
    state.x_m[w, i] = state.x_m[w, i] + scratch.push_x[w, i]
    state.y_m[w, i] = state.y_m[w, i] + scratch.push_y[w, i]
    state.vx_mps[w, i] = state.vx_mps[w, i] + wp.dot(kick, ahead)
    rear = params[state.model[w, i], Column.REAR_AXLE]
    state.vy_mps[w, i] = state.vy_mps[w, i] + wp.dot(kick, left_of(ahead)) - rear * turn
    state.yaw_rate_radps[w, i] = state.yaw_rate_radps[w, i] + turn


@wp.kernel(enable_backward=False)
def apply(state: StateArrays, params: wp.array2d(dtype=wp.float32), scratch: Scratch, stride: int):
    w, first = wp.tid()
    for i in range(first, state.kind.shape[1], stride):
        apply_row(state, params, scratch, w, i)


def allocate(worlds: int, actors: int, device: str) -> Any:
    """A `Scratch` for a batch; it holds nothing from tick to tick."""
    out = Scratch()
    for name, var in Scratch.vars.items():
        setattr(out, name, wp.zeros((worlds, actors), dtype=var.type.dtype, device=device))
    return out


def launch(
    state: Any, params: Any, statics: Any, scratch: Any, worlds: int, actors: int, device: str, record_cmd: bool = False
) -> list[Any]:
    """Find contacts and answer them, all worlds; with `record_cmd` return the launches instead of running them."""
    n = threads(actors, device)
    return [
        wp.launch(kernel, dim=(worlds, n), inputs=[*inputs, n], device=device, record_cmd=record_cmd)
        for kernel, inputs in (
            (enclose, [state, scratch]),
            (detect, [state, params, statics, scratch]),
            (respond, [state, params, statics, scratch]),
            (apply, [state, params, scratch]),
        )
    ]
