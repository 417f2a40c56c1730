"""A recorded drive as one self-contained HTML page with its video, for people.

One pass over the recording: every second tick becomes a picture of the video, every tick a point of the timelines, and
what is worth a look (infractions, stops at red, turns, the guard's interventions) a moment with its picture.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader
from PIL import Image

from evaluation.birdseye import GROUND
from evaluation.charts import Line, Mark, band_chart, line_chart, town_map
from evaluation.draw import FRAME_TICKS, MANEUVER_TEXT, Painter, Video
from evaluation.driving import Exposure, RoutePath
from stack.labels import LightState
from stack.lanegraph import LaneGraph, Route
from stack.loop import TICK_S
from stack.messages import Event, EventKind, Step
from stack.recording import Recording
from stack.vehicle import load_vehicle

MOMENTS_MAX = {"infraction": 8, "red": 3, "turn": 4, "guard": 3, "end": 1}
GUARD_APART_S = 5.0  # between two interventions that both get a picture
PICTURE_PX = (853, 300)
SEEN_M = 2.5  # a track so near to an actor is its track
RECENT_S = 1.0

EVENT_TEXT = {
    EventKind.COLLISION_PEDESTRIAN: "Collision with a pedestrian",
    EventKind.COLLISION_VEHICLE: "Collision with a vehicle",
    EventKind.COLLISION_STATIC: "Collision with something static", EventKind.RED_LIGHT: "Red light run",
    EventKind.STOP_SIGN: "Stop sign run", EventKind.OUTSIDE_LANES: "Outside its lanes",
    EventKind.DEVIATED: "Left the route", EventKind.BLOCKED: "Blocked", EventKind.TIMED_OUT: "Out of time",
    EventKind.ROUTE_DONE: "Goal reached",
}  # fmt: skip
HEADLINE = {
    "perfect": "A clean drive, without a single infraction", "completed": "Reached the goal",
    "deviated": "Left the route before the goal", "blocked": "Came to a stand before the goal",
    "timed_out": "Ran out of time before the goal", "crashed": "The run broke off before the goal",
}  # fmt: skip
EXPOSURE_TEXT = {
    "route_m": ("Length of the route", "m"), "driven_m": ("Distance driven", "m"),
    "red_light_stops": ("Stops at a red light", ""), "junctions": ("Junctions crossed", ""),
    "vehicles_within_30m": ("Vehicles within 30 m, on average", ""),
    "vehicles_within_30m_max": ("Vehicles within 30 m, at most", ""),
    "following_s": ("Following a moving leader", "s"), "pedestrians_within_15m": ("Pedestrians passed within 15 m", ""),
}  # fmt: skip


@dataclass(frozen=True)
class Moment:
    """Something worth a look."""

    kind: str  # of MOMENTS_MAX
    time_s: float
    title: str
    text: str
    x_m: float
    y_m: float
    picture: str = ""  # data URI


@dataclass
class Timeline:
    """One row for each tick."""

    rows: list[tuple[float, ...]] = field(default_factory=list)
    maneuvers: list[str] = field(default_factory=list)
    guard: list[str] = field(default_factory=list)

    def add(self, step: Step) -> None:
        ego, reference = step.truth.ego, step.plan.reference
        gap = reference.leader_gap_m if reference.leader_gap_m < 100.0 else np.nan
        target, limit = float(reference.target_mps[0]), float(reference.limit_mps[0])
        self.rows.append(
            (step.frame.time_s, 3.6 * ego.speed_mps, 3.6 * target, 3.6 * limit,
             np.rad2deg(step.command.control.wheel_angle_rad), np.rad2deg(step.wanted.wheel_angle_rad), gap,
             ego.pose.x_m, ego.pose.y_m)
        )  # fmt: skip
        self.maneuvers.append(str(reference.maneuver))
        self.guard.append(step.command.intervention)


class Watcher:
    """Finds the moments in the steps of a drive, in order, and explains them."""

    def __init__(self, graph: LaneGraph, route: Route) -> None:
        self.exposure = Exposure(graph, route, load_vehicle("sedan"))
        self.turns = turns_of(graph, route)
        self.stops, self.acted_s, self.guarded = 0, -np.inf, ""
        self.acted_last = ("", -np.inf)

    def look(self, step: Step) -> list[tuple[str, str, str]]:
        """(kind, title, text) of what this step brought."""
        self.exposure.add(step.truth)
        now, out = step.frame.time_s, []
        speed = abs(step.truth.ego.speed_mps) * 3.6
        if step.command.intervention:
            self.acted_last = (step.command.intervention, now)
        for event in step.events:
            kind = "end" if event.kind is EventKind.ROUTE_DONE else "infraction"
            out.append((kind, EVENT_TEXT[event.kind], self._explain(event, step)))
        if len(self.exposure.red_stops) > self.stops:
            self.stops = len(self.exposure.red_stops)
            gap = step.plan.reference.leader_gap_m
            queue = f", {gap:.0f} m behind another vehicle" if gap < 15.0 else ""
            out.append(("red", "Stop at a red light", f"Came to a stand{queue}."))
        while self.turns and self.exposure.path.at_m >= self.turns[0][0]:
            _, side = self.turns.pop(0)
            out.append(("turn", f"Turn to the {side}", f"Through the junction at {speed:.0f} km/h."))
        began = step.command.intervention and not self.guarded
        if began and now - self.acted_s > GUARD_APART_S:
            self.acted_s = now
            out.append(("guard", "The guard acted", f"Reason: {step.command.intervention}; at {speed:.0f} km/h."))
        self.guarded = step.command.intervention
        return out

    def _explain(self, event: Event, step: Step) -> str:
        """What happened, whose fault it was, and what perception and guard made of it."""
        ego = step.truth.ego
        doing = MANEUVER_TEXT[step.plan.reference.maneuver].lower()
        if event.kind is EventKind.ROUTE_DONE:
            return "The route's end, within 10 m."
        parts = [f"At {abs(ego.speed_mps) * 3.6:.0f} km/h, {doing}."]
        if event.kind.startswith("collision"):
            fault = "at fault" if event.at_fault else "not at fault"
            parts.append(f"Hit {event.other} at {event.value:.1f} m/s, {fault}.")
            parts.append(self._seen(event, step))
        if event.kind is EventKind.RED_LIGHT:
            state = step.scene.signal_state[int(event.other.split()[-1])]
            parts.append(f"Perception took the light for {LightState(int(state)).name.lower()}.")
        if event.kind is EventKind.OUTSIDE_LANES:
            parts.append(f"{event.value:.1f} m beside the lanes or against the flow.")
        reason, when = self.acted_last
        if step.frame.time_s - when < RECENT_S:
            parts.append(f"The guard was acting ({reason}).")
        else:
            parts.append("The guard did not act.")
        return " ".join(part for part in parts if part)

    @staticmethod
    def _seen(event: Event, step: Step) -> str:
        number = event.other.split()[-1] if event.other else ""
        if not number.isdigit():
            return ""
        actors, tracks = step.truth.actors, step.scene.tracks
        one = actors.xyz_m[actors.id == int(number)][:1]  # (1, 3), or none
        if not len(one):
            return ""
        near = np.hypot(tracks.xyz_m[:, 0] - one[0, 0], tracks.xyz_m[:, 1] - one[0, 1]).min(initial=np.inf)
        return "Perception had a track of it." if near < SEEN_M else "Perception had no track of it."


def turns_of(graph: LaneGraph, route: Route) -> list[tuple[float, str]]:
    """(distance of its middle along the route, left or right) of each turn at a junction."""
    out, path = [], RoutePath(graph, route)
    first = 0
    for lane in (int(k) for k in route.lanes):
        last = first + int(graph.lane_count[lane]) - 1
        if graph.lane_turn[lane] != 0:
            side = "left" if graph.lane_turn[lane] > 0 else "right"
            out.append((0.5 * float(path.s_m[first] + path.s_m[last]), side))
        first = last + 1
    return [turn for turn in out if turn[0] > 0.0]


def data_uri(data: bytes, media: str) -> str:
    return f"data:{media};base64,{base64.b64encode(data).decode('ascii')}"


def _jpeg(picture: Image.Image) -> str:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=82, optimize=True)
    return data_uri(out.getvalue(), "image/jpeg")


def _moment_picture(page: Image.Image) -> str:
    """Wide camera and bird's-eye view side by side, cut from a painted page."""
    joined = Image.new("RGB", (1280, 450), GROUND)
    joined.paste(page.crop((0, 0, 800, 450)), (0, 0))
    joined.paste(page.crop((803, 273, 1280, 693)), (803, 15))  # without its legend
    return _jpeg(joined.resize(PICTURE_PX, Image.Resampling.LANCZOS))


def _watch(recording: Recording, graph: LaneGraph, route: Route, film: Path) -> tuple[Timeline, list[Moment]]:
    """The one pass: writes the film, returns what the page needs."""
    oracle = recording.meta["settings"].get("perception") == "oracle"
    painter, watcher = Painter(graph, route, segmentation=not oracle), Watcher(graph, route)
    timeline, moments, left = Timeline(), [], dict(MOMENTS_MAX)
    with Video(film, round(1.0 / (FRAME_TICKS * TICK_S))) as video:
        for step in recording:
            timeline.add(step)
            painter.note(step)
            found = [item for item in watcher.look(step) if left[item[0]] > 0]
            due = step.frame.tick % FRAME_TICKS == 0
            page = painter.paint(step) if due or found else None
            if due and page:
                video.add(page)
            pose = step.truth.ego.pose
            for kind, title, text in found:
                left[kind] -= 1
                picture = _moment_picture(page) if page else ""
                moments.append(Moment(kind, step.frame.time_s, title, text, pose.x_m, pose.y_m, picture))
    return timeline, moments


def _charts(timeline: Timeline, moments: list[Moment]) -> dict[str, str]:
    columns = np.array(timeline.rows, np.float64).T
    time_s, speed, target, limit, angle, wanted, gap = columns[:7]
    guarded = np.array([bool(reason) for reason in timeline.guard])
    marks = [Mark(m.time_s, f"{m.time_s:.1f} s: {m.title}. {m.text}", m.kind) for m in moments if m.kind != "guard"]
    top = max(60.0, float(np.nanmax([speed.max(), limit.max()])) + 5.0)
    steep = max(10.0, float(np.abs([angle, wanted]).max()) + 1.0)
    names = {str(key): text for key, text in MANEUVER_TEXT.items()}
    return {
        "speed": line_chart(
            time_s, [Line("limit", limit, "limit"), Line("target", target, "target"), Line("speed", speed, "speed")],
            "speed, target and limit in km/h", (0.0, top), marks, guarded, 230,
        ),
        "maneuver": band_chart(time_s, timeline.maneuvers, names, "what the planner was doing"),
        "wheel": line_chart(
            time_s, [Line("wanted", wanted, "target"), Line("given", angle, "speed")], "front wheel angle in degrees",
            (-steep, steep), (), guarded, 150,
        ),
        "gap": line_chart(
            time_s, [Line("gap", gap, "speed")], "distance to the leader in m", (0.0, 60.0), (), guarded, 150
        ),
    }  # fmt: skip


def _guard_reasons(guard: list[str]) -> list[tuple[str, int]]:
    reasons = [reason for reason in guard if reason]
    return sorted(((r, reasons.count(r)) for r in set(reasons)), key=lambda item: -item[1])


def write_report(recording_path: Path | str, result: dict[str, Any], out_dir: Path | str) -> Path:
    """Write `report.html` and `drive.mp4` to `out_dir`; returns the page. Raises ValueError for a bad recording."""
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    recording = Recording(Path(recording_path))
    scenario, _ = recording.scenario()
    graph, route = scenario.graph, scenario.route
    loader = PackageLoader("evaluation", ".")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    film = out / "drive.mp4"
    timeline, moments = _watch(recording, graph, route, film)
    driven = np.array([row[7:9] for row in timeline.rows], np.float64)
    places = [(m.x_m, m.y_m, f"{m.time_s:.1f} s: {m.title}", m.kind) for m in moments]
    page = environment.get_template("report.html.j2").render(
        result=result, scenario=scenario, meta=recording.meta, headline=_headline(result), moments=moments,
        charts=_charts(timeline, moments), town=town_map(graph, route, driven, places),
        guard_reasons=_guard_reasons(timeline.guard), exposure_text=EXPOSURE_TEXT, maneuvers=set(timeline.maneuvers),
        maneuver_text={str(key): text for key, text in MANEUVER_TEXT.items()},
        event_text={str(key): text for key, text in EVENT_TEXT.items()}, video=data_uri(film.read_bytes(), "video/mp4"),
    )  # fmt: skip
    target = out / "report.html"
    part = target.with_name("report.html.part")
    part.write_text(page, encoding="utf-8")
    part.replace(target)
    return target


def _headline(result: dict[str, Any]) -> str:
    status = result["status"]
    if status == "completed":
        count = len(result["infractions"])
        return f"Reached the goal, with {count} infraction{'s' if count != 1 else ''}"
    return HEADLINE[status]
