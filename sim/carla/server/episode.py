"""One episode: a town, its actors, weather and clock; one tick of it, and the snapshot that says what came of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sim.carla import convert
from sim.carla.catalogue import Blueprint, blueprint, checked, vehicle_params
from sim.carla.server import keeper, physics
from sim.carla.server.actors import Actor, Registry
from sim.carla.server.lights import HEAD_M
from sim.carla.server.physics import TYRE_FRICTION
from sim.carla.server.snapshot import Writer
from sim.carla.server.town import STOP_BOX_M, Town
from sim.carla.server.values import U8, text, whole
from sim.carla.server.wire import HEADER, SNAPSHOT, Failed, Stream
from sim.geometry import EMERGENCY_LOOK
from sim.open_world import Contact
from stack.frames import F64, Pose, inverse
from stack.labels import Kind

WALKER_KG = 75.0


class Episode:
    """Actors come and go by `spawn` and `destroy`; `tick` moves all on; `snapshot` is the last tick's."""

    def __init__(self, number: int, town: Town, first_id: int, first_frame: int) -> None:
        self.number, self.town, self.world = number, town, town.world
        self.frame, self.seconds, self.delta_s = first_frame, 0.0, 0.0
        self.actors, self.writer = Registry(first_id), Writer(self)
        self.world.reset()
        self.lights = town.lights
        self.lights.reset()
        self.friction: dict[int, Any] = {}  # handles of friction patches
        self.street_lamps = [list(lamp) for lamp in town.street_lamps]
        if town.hidden:
            town.show(set(town.hidden), True)
        self._ticks = 0
        self._contacts: dict[int, list[Contact]] | None = None  # of the last tick by row, once somebody has asked
        self._add_fixtures()
        self.writer.write(self._ticks)

    # ------------------------------------------------ actors

    def spawn(
        self, description: list[Any], pose: Pose, parent: int = 0, attachment: int = 0, owner: Any = None
    ) -> Actor:
        """A new actor of an ActorDescription [uid, id, [[id, type, value], ...]]. Raises Failed where there is no room."""
        _, type_id, given = description
        given = [
            [text(name, "attribute"), whole(kind, "attribute", U8), text(value, name)] for name, kind, value in given
        ]
        try:
            bp = blueprint(type_id)
            values = checked(bp, {name: value for name, _, value in given})
        except ValueError as error:
            raise Failed(str(error)) from None
        if parent and parent not in self.actors.alive:
            raise Failed(f"unable to attach actor: parent {parent} not found")
        actor = Actor(
            0, type_id, given, [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 0],
            uid=bp.uid, parent=parent, blueprint=bp, values=values, owner=owner,
        )  # fmt: skip
        if bp.semantic:
            actor.tags = bytes([int(bp.semantic)])
        if bp.kind != Kind.NONE and bp.size_m is not None:
            self._embody(actor, bp, pose)
        else:
            actor.place = pose.matrix()
            actor.level = attachment in (1, 2)
        actor.id = self.actors.new_id()
        actor.bbox[3] = actor.id
        if type_id == "static.trigger.friction":
            half = [0.005 * float(values[f"extent_{axis}"]) * 2.0 for axis in "xyz"]
            self.friction[actor.id] = self.world.add_friction(pose, half, float(values["friction"]) / TYRE_FRICTION)
        self.actors.add(actor)
        self.writer.write_one(actor)
        return actor

    def _embody(self, actor: Actor, bp: Blueprint, pose: Pose) -> None:
        """Give the actor a body in the open world."""
        length, width, height = bp.size_m or (1.0, 1.0, 1.0)
        if actor.is_walker:
            actor.lift_m = 0.5 * height
        base = Pose(pose.x_m, pose.y_m, pose.z_m - actor.lift_m, pose.yaw_rad, pose.pitch_rad, pose.roll_rad)
        if actor.parent:
            base = convert.pose_of(self.matrix(self.actors.alive[actor.parent]) @ base.matrix())
        elif self.world.blocked((length, width, height), base):
            raise Failed("Spawn failed because of collision at spawn position")
        special = str(actor.values.get("special_type", ""))
        own = actor.values.get("dynamics") == "ringroad"
        params = vehicle_params(bp, own) if bp.kind in (Kind.CAR, Kind.TRUCK, Kind.CYCLIST) else None
        paint = 0
        given = {name: value for name, _, value in actor.attributes}
        if "color" in actor.values and ("look" not in actor.values or given.get("color") != bp.default("color")):
            r, g, b = (int(v) for v in actor.values["color"])
            paint = 1 + (r << 16 | g << 8 | b)
        look = int(actor.values["look"]) if "look" in actor.values else bp.look
        if special == "emergency":
            look += EMERGENCY_LOOK
        actor.row = self.world.add(bp.kind, (length, width, height), base, params, look, paint, special == "emergency")
        if bp.kind == Kind.PROP:
            self.world.simulate(actor.row, False)
        actor.bbox[:3] = [[0.0, 0.0, 0.5 * height - actor.lift_m], [0.5 * length, 0.5 * width, 0.5 * height], [0.0] * 3]

    def destroy(self, id_: int) -> bool:
        """Whether there was such an actor. What is attached to it goes too."""
        actor = self.actors.alive.get(id_)
        if actor is None or actor.type_id == "spectator" or actor.type_id.startswith("traffic."):
            return False
        for child in list(self.actors.children.get(id_, ())):
            self.destroy(child.id)
        self.actors.remove(actor)
        row = actor.row
        self._remember(actor, self.matrix(actor))
        if row >= 0:
            self.world.remove(row)
        handle = self.friction.pop(id_, None)
        if handle is not None:
            self.world.remove_friction(handle)
        return True

    def end(self) -> None:
        """Everybody is gone, and remembered."""
        actors = list(self.actors)
        places = [self.matrix(actor) for actor in actors]
        self.actors.clear()
        for actor, place in zip(actors, places, strict=True):
            self._remember(actor, place)

    def _remember(self, actor: Actor, place: F64) -> None:
        """Keep of an actor that goes where it was last, and what it was like."""
        if actor.is_vehicle:
            physics.remember(actor, self)
        actor.place, actor.row, actor.owner = place, -1, None
        if actor.is_sensor:
            actor.values, actor.state = {}, {}  # with the pictures that some compare

    def _add_fixtures(self) -> None:
        """Spectator, lights and signs."""
        spectator = self._fixture("spectator", Pose(0.0, 0.0, 30.0))
        if self.town.spawn_points:
            p = self.town.spawn_points[0]
            spectator.place = Pose(p.x_m, p.y_m, p.z_m + 20.0, p.yaw_rad, -0.6).matrix()
        self.spectator = spectator
        for k, lamp in enumerate(self.lights.lamps):
            x, y, z = lamp.post.xyz_m
            pose = Pose(float(x), float(y), float(z) - lamp.post.z_offset_m, lamp.box_yaw_rad - 0.5 * math.pi)
            box = (lamp.half_width_m, 1.5, 1.5)
            actor = self._fixture("traffic.traffic_light", pose, lamp.box_xyz_m, lamp.box_yaw_rad, box, lamp.post.id)
            actor.lamp, actor.tags, lamp.actor = k, b"\x07", actor.id
            self.actors.records["pole"][actor.at] = 0
        for sign in self.town.signs:
            x, y, z = sign.post.xyz_m
            pose = Pose(float(x), float(y), float(z), sign.box_yaw_rad - 0.5 * math.pi)
            box = (sign.half_width_m, *STOP_BOX_M)
            actor = self._fixture(sign.type_id, pose, sign.box_xyz_m, sign.box_yaw_rad, box, sign.post.id)
            actor.tags = b"\x08"
        self.actors.changed()

    def _fixture(
        self, type_id: str, pose: Pose, box_m: F64 | None = None, yaw: float = 0.0,
        half_m: tuple[float, float, float] = (0.0, 0.0, 0.0), sign_id: str = "",
    ) -> Actor:  # fmt: skip
        """An actor that belongs to the map, with its trigger box across the lane."""
        actor = Actor(self.actors.new_id(), type_id, [], [], place=pose.matrix())
        centre, turn = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
        if box_m is not None:
            local = inverse(pose.matrix()) @ np.array([*box_m, 1.0])
            centre = convert.location(local[:3])
            centre[2] = float(local[2]) + half_m[2]
        actor.bbox = [centre, list(half_m), turn, actor.id]
        self.actors.add(actor)
        if sign_id:
            self.actors.records["sign_id"][actor.at] = sign_id.encode()[:31]
        self.writer.write_one(actor)
        return actor

    # ------------------------------------------------ places

    def matrix(self, actor: Actor, motion: Any = None) -> F64:
        """world_from_actor (4, 4) now, our frame."""
        if actor.row >= 0:
            m = motion or self.world.motion()
            x, y, z = (float(v) for v in m.xyz_m[actor.row])
            roll, pitch, yaw = (float(v) for v in m.rpy_rad[actor.row])
            return Pose(x, y, z + actor.lift_m, yaw, pitch, roll).matrix()
        assert actor.place is not None
        parent = self.actors.alive.get(actor.parent)
        if parent is None:
            return actor.place
        base = self.matrix(parent, motion)
        if actor.level:
            base = Pose(*base[:3, 3], math.atan2(base[1, 0], base[0, 0])).matrix()
        out: F64 = base @ actor.place
        return out

    def move(self, actor: Actor, pose: Pose) -> None:
        """Teleport; what is attached keeps its place on its parent: the pose is then relative to it, as in CARLA."""
        if actor.row >= 0:
            p = pose
            self.world.place(actor.row, Pose(p.x_m, p.y_m, p.z_m - actor.lift_m, p.yaw_rad, p.pitch_rad, p.roll_rad))
        elif not actor.type_id.startswith("traffic."):
            actor.place = pose.matrix()
            if actor.parent:
                self.actors.changed()
            self.writer.write_one(actor)

    # ------------------------------------------------ the clock

    def tick(self, dt_s: float) -> None:
        """Everything goes on by dt_s seconds."""
        keeper.hold(self.world)
        self.world.tick(dt_s)
        keeper.fetch(self)
        self.lights.advance(dt_s)
        self._contacts = None
        self._ticks += 1
        self.frame += 1
        self.seconds += dt_s
        self.delta_s = dt_s
        if self.lights.changed:
            self.show_lights()
        self.writer.write(self._ticks)

    def contacts_of(self, row: int) -> list[Contact]:
        """What a body of the open world touched in the last tick."""
        if self._contacts is None:
            self._contacts = {}
            for contact in self.world.contacts():
                self._contacts.setdefault(contact.row, []).append(contact)
        return self._contacts.get(row, [])

    def show_lights(self) -> None:
        """Hand the lights' states to whoever draws them."""
        states = self.world.state.numpy("signal_state")
        for signal, state in self.lights.signal_states().items():
            states[0, signal] = state
        self.lights.changed = False

    def snapshot(self, platform_s: float, flags: int = 0) -> bytes:
        """Header and records of the last tick."""
        head = HEADER.pack(Stream.WORLD, self.frame, self.seconds, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        body = SNAPSHOT.pack(self.number, platform_s, self.delta_s, 0, 0, 0, flags)
        return head + body + self.actors.records.tobytes()


def light_box(lamp: Any) -> list[Any]:
    """Bounding boxes of a lamp's housings: [location, extent, rotation, actor]."""
    return [
        [convert.location(xyz), list(HEAD_M), convert.rotation(lamp.post.yaw_rad, 0.0, 0.0), lamp.actor]
        for xyz in lamp.heads_m
    ]
