"""Blueprints as they are written down in `blueprints/*.yaml`, and as the catalogue holds them.

Attributes come in families, declared once; of those with the same id the last one counts. What says what a blueprint is
(`base_type`, `generation`, ...) comes from its row and cannot be changed by clients.
"""

from __future__ import annotations

import dataclasses
import zlib
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from stack.config import ConfigError, fill
from stack.labels import Kind, Semantic
from stack.vehicle import FOLDER as VEHICLE_FOLDER
from stack.vehicle import VEHICLES, VehicleParams

FOLDER = Path(__file__).parent / "blueprints"
LOOKS = 64
OWN_GENERATION = 3  # of vehicle.ringroad.*: CARLA's vehicles have 1 and 2, and programs ask for those


class AttributeType(IntEnum):
    """CARLA's `ActorAttributeType`."""

    BOOL = 1
    INT = 2
    FLOAT = 3
    STRING = 4
    RGB_COLOR = 5  # "red,green,blue", 0..255


@dataclasses.dataclass(frozen=True)
class Attribute:
    """One attribute of a blueprint; values as text, as clients read and write them."""

    id: str
    type: AttributeType
    value: str
    recommended: tuple[str, ...] = ()
    modifiable: bool = True
    restricted: bool = False  # to what is recommended
    within: tuple[float, float] | None = None  # what a number may be


@dataclasses.dataclass(frozen=True)
class Blueprint:
    """What an actor can be made from.

    kind: NONE without a body (sensors, controllers, triggers). size_m: (length, width, height), the box's centre is the
    actor's origin in CARLA. model: the file of configs/vehicles that drives it. mass_kg, wheelbase_m: of vehicles,
    mass also of walkers.
    """

    uid: int
    id: str
    tags: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    kind: Kind = Kind.NONE
    semantic: Semantic = Semantic.UNLABELED
    size_m: tuple[float, float, float] | None = None
    model: str | None = None
    mass_kg: float | None = None
    wheelbase_m: float | None = None

    @property
    def look(self) -> int:
        """Which of the world's meshes and colours it takes, where it does not say."""
        return self.uid % LOOKS

    def default(self, attribute: str) -> str | None:
        """An attribute's value where none is set."""
        return next((a.value for a in self.attributes if a.id == attribute), None)


STRICT = ConfigDict(extra="forbid")
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Size = tuple[Positive, Positive, Positive]
Scalar = bool | int | float | str
BaseType = Literal["car", "truck", "van", "bus", "motorcycle", "bicycle"]
SEMANTIC = {
    "car": Semantic.CAR, "truck": Semantic.TRUCK, "van": Semantic.TRUCK, "bus": Semantic.BUS,
    "motorcycle": Semantic.MOTORCYCLE, "bicycle": Semantic.BICYCLE,
}  # fmt: skip


@dataclass(frozen=True, config=STRICT)
class AttributeRow:
    """An attribute as written down: its default, or the recommended values with the default in front."""

    type: Literal["bool", "int", "float", "string"]
    value: Scalar | list[Scalar]
    within: tuple[float, float] | None = None
    restricted: bool = False


@dataclass(frozen=True, config=STRICT)
class VehicleRow:
    model: Literal[VEHICLES]  # type: ignore[valid-type]
    size_m: Size
    wheelbase_m: Positive
    mass_kg: Positive
    base: BaseType = "car"
    special: Literal["", "electric", "emergency", "taxi"] = ""
    generation: Literal[1, 2, 3] = 1
    wheels: Literal[2, 4, 6] = 4
    lights: bool = False
    doors: bool = False
    colors: str = "paint"


@dataclass(frozen=True, config=STRICT)
class RingroadRow:
    base: BaseType
    wheels: Literal[2, 4] = 4


@dataclass(frozen=True, config=STRICT)
class Body:
    age: Literal["child", "teenager", "adult", "elderly"]
    gender: Literal["female", "male"]
    size_m: Size
    mass_kg: Positive
    speeds_mps: tuple[float, float, float]  # standing, walking, running


@dataclass(frozen=True, config=STRICT)
class WalkerRow:
    generation: Literal[1, 2, 3]
    body: str
    numbers: list[int]
    wheelchair: bool = False


Families = dict[str, dict[str, AttributeRow]]


@dataclass(frozen=True, config=STRICT)
class VehicleFile:
    attributes: Families
    colors: dict[str, list[str]]
    vehicles: dict[str, VehicleRow]
    ringroad: dict[Literal[VEHICLES], RingroadRow]  # type: ignore[valid-type]


@dataclass(frozen=True, config=STRICT)
class WalkerFile:
    attributes: Families
    bodies: dict[str, Body]
    walkers: list[WalkerRow]


@dataclass(frozen=True, config=STRICT)
class PropFile:
    attributes: Families
    mesh: Size
    movable: dict[str, Size]
    fixed: dict[str, Size]


@dataclass(frozen=True, config=STRICT)
class SensorFile:
    attributes: Families
    blueprints: dict[str, list[str]]


def read_all() -> tuple[Blueprint, ...]:
    """All blueprints of the files, in their order; ConfigError names file and key of what is wrong."""
    sensors = _read(SensorFile, FOLDER / "sensors.yaml")
    generic = _family(sensors.attributes, "generic")
    found = [
        _make(id, generic, *(_family(sensors.attributes, name) for name in families))
        for id, families in sensors.blueprints.items()
    ]
    return (*found, *_props(generic), *_walkers(generic), *_vehicles(generic))


def _read(kind: type[Any], path: Path) -> Any:
    """A dataclass from YAML by libyaml, where it is there: the catalogue must load in no time."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
    return fill(kind, values, str(path))


def _text(type: AttributeType, value: Scalar) -> str:
    if type == AttributeType.BOOL:
        return "true" if value else "false"
    return str(float(value)) if type == AttributeType.FLOAT else str(value)


def _family(families: Families, name: str) -> list[Attribute]:
    if name not in families:
        raise ConfigError(f"{FOLDER}: found the family {name!r}, expected one of {', '.join(families)}")
    out = []
    for id, row in families[name].items():
        kind = AttributeType[row.type.upper()]
        texts = [_text(kind, value) for value in (row.value if isinstance(row.value, list) else [row.value])]
        out.append(Attribute(id, kind, texts[0], tuple(texts), restricted=row.restricted, within=row.within))
    return out


def _fixed(**values: Scalar) -> list[Attribute]:
    """Attributes that say what a blueprint is and cannot be changed."""
    kinds = {bool: AttributeType.BOOL, int: AttributeType.INT, str: AttributeType.STRING}
    return [Attribute(id, kinds[type(v)], _text(kinds[type(v)], v), modifiable=False) for id, v in values.items()]


def _uid(id: str) -> int:
    """The same whatever else the catalogue holds."""
    return zlib.crc32(id.encode())


def _make(id: str, *families: list[Attribute], **rest: Any) -> Blueprint:
    merged = {a.id: a for family in families for a in family}
    return Blueprint(_uid(id), id, tuple(id.split(".")), tuple(merged.values()), **rest)


def _props(generic: list[Attribute]) -> list[Blueprint]:
    data = _read(PropFile, FOLDER / "props.yaml")
    prop = _family(data.attributes, "prop")
    out = []
    for sizes, semantic in ((data.movable, Semantic.DYNAMIC), (data.fixed, Semantic.STATIC)):
        for name, size in sizes.items():
            long = max(size)  # CARLA's words: under a mailbox, a mailbox, a human, a bus stop, a house
            word = ("tiny", "small", "medium", "big", "huge")[sum(long > edge for edge in (0.4, 0.9, 2.6, 6.0))]
            body = {"kind": Kind.PROP, "size_m": size, "semantic": semantic}
            out.append(_make(f"static.prop.{name}", generic, prop, _fixed(size=word), **body))
    mesh = _family(data.attributes, "mesh")
    body = {"kind": Kind.PROP, "size_m": data.mesh, "semantic": Semantic.STATIC}
    return [*out, _make("static.prop.mesh", generic, prop, mesh, **body)]


def _walkers(generic: list[Attribute]) -> list[Blueprint]:
    path = FOLDER / "walkers.yaml"
    data = _read(WalkerFile, path)
    walker, (speed,) = _family(data.attributes, "walker"), _family(data.attributes, "speed")
    out = []
    for row in data.walkers:
        if row.body not in data.bodies:
            raise ConfigError(f"{path}: found the body {row.body!r}, expected one of {', '.join(data.bodies)}")
        b = data.bodies[row.body]
        speeds = tuple(str(v) for v in b.speeds_mps)
        own = _fixed(age=b.age, gender=b.gender, generation=row.generation, can_use_wheelchair=row.wheelchair)
        own.append(dataclasses.replace(speed, value=speeds[0], recommended=speeds))
        body = {"kind": Kind.PEDESTRIAN, "size_m": b.size_m, "mass_kg": b.mass_kg, "semantic": Semantic.PEDESTRIAN}
        out += [_make(f"walker.pedestrian.{n:04d}", generic, walker, own, **body) for n in row.numbers]
    return sorted(out, key=lambda bp: bp.id)


def _vehicles(generic: list[Attribute]) -> list[Blueprint]:
    path = FOLDER / "vehicles.yaml"
    data = _read(VehicleFile, path)
    vehicle, rider, own = (_family(data.attributes, name) for name in ("vehicle", "rider", "ringroad"))
    models = {name: _read(VehicleParams, VEHICLE_FOLDER / f"{name}.yaml") for name in VEHICLES}
    if set(data.ringroad) != set(VEHICLES):
        raise ConfigError(f"{path}: ringroad: found {', '.join(data.ringroad)}, expected {', '.join(VEHICLES)}")
    rows = [(f"vehicle.{name}", row, []) for name, row in data.vehicles.items()]
    for name, extra in data.ringroad.items():
        p = models[name]
        row = VehicleRow(
            name, (p.length_m, p.width_m, p.height_m), p.wheelbase_m, p.mass_kg, extra.base,
            "emergency" if p.siren else "", OWN_GENERATION, extra.wheels, lights=True,
        )  # fmt: skip
        rows.append((f"vehicle.ringroad.{name}", row, own))
    out = []
    for id, row, more in rows:
        if row.colors not in data.colors:
            raise ConfigError(
                f"{path}: {id}: found the colors {row.colors!r}, expected one of {', '.join(data.colors)}"
            )
        colors = data.colors[row.colors]
        first = _uid(id) % len(colors)
        colors = (*colors[first:], *colors[:first])
        const = _fixed(
            object_type="", base_type=row.base, special_type=row.special, number_of_wheels=row.wheels,
            generation=row.generation, has_dynamic_doors=row.doors, has_lights=row.lights,
        )  # fmt: skip
        color = Attribute("color", AttributeType.RGB_COLOR, colors[0], tuple(colors))
        families = [generic, vehicle, [color], const, more, rider if row.wheels == 2 else []]
        body = {
            "kind": models[row.model].kind_id, "size_m": row.size_m, "model": row.model, "mass_kg": row.mass_kg,
            "wheelbase_m": row.wheelbase_m, "semantic": SEMANTIC[row.base],
        }  # fmt: skip
        out.append(_make(id, *families, **body))
    return out
