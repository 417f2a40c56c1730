"""Steps -> pictures of 1280 x 720: cameras with what the network saw, the bird's-eye view, the instruments.

    wide camera 800 x 450     | narrow camera 480 x 270
    instruments 800 x 270     | bird's-eye view 480 x 450

Drawn with Pillow; `Video` encodes them as H.264 with PyAV.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from evaluation.birdseye import KIND_COLOUR, LIGHT_COLOUR, BirdsEye, Colour, font
from stack.frames import apply, inverse, project, project_fisheye
from stack.labels import COLOURS, Kind, LightState, Semantic
from stack.lanegraph import LaneGraph, Route
from stack.loop import TICK_S
from stack.messages import CameraImage, Detections, Maneuver, Step
from stack.vehicle import load_vehicle

SIZE_PX = (1280, 720)
WIDE_PX, NARROW_PX, STRIP_PX, BIRD_PX = (800, 450), (480, 270), (800, 270), (480, 450)
FRAME_TICKS = 2  # a picture every so many ticks: 10 Hz
HISTORY_S = 15.0

BACK, PANEL, INK, DIM, FAINT = (16, 20, 26), (24, 30, 38), (233, 237, 242), (146, 156, 168), (58, 66, 77)
BLUE, GREEN, AMBER, RED = (96, 165, 250), (74, 222, 128), (251, 191, 36), (248, 82, 82)
TINT = 0.38  # of the segmentation over the picture
TINTED = (
    Semantic.ROAD, Semantic.ROAD_LINE, Semantic.SIDEWALK, Semantic.TRAFFIC_LIGHT, Semantic.TRAFFIC_SIGN, Semantic.POLE,
    Semantic.PEDESTRIAN, Semantic.RIDER, Semantic.CAR, Semantic.TRUCK, Semantic.BUS, Semantic.MOTORCYCLE,
    Semantic.BICYCLE,
)  # fmt: skip
LIGHT_REACH_M = 60.0
LABELS_MAX = 8  # boxes with a text, nearest first

MANEUVER_TEXT = {
    Maneuver.CRUISE: "Cruising", Maneuver.FOLLOW: "Following", Maneuver.STOP_LIGHT: "Stopping for a light",
    Maneuver.STOP_SIGN: "Stopping at a stop sign", Maneuver.GIVE_WAY: "Giving way",
    Maneuver.PASS: "Passing an obstacle", Maneuver.STOP_GOAL: "Stopping at the goal",
    Maneuver.EMERGENCY: "Emergency stop",
}  # fmt: skip

_ALPHA = np.zeros(256, np.float32)
_ALPHA[[int(k) for k in TINTED]] = TINT
_PALETTE = np.zeros((256, 3), np.float32)
_PALETTE[: len(COLOURS)] = COLOURS


def tinted(rgb: NDArray[np.uint8], semantic: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) picture with the classes of a (h, w) map laid over it; the map may be coarser."""
    rows, columns = (np.arange(rgb.shape[k]) * semantic.shape[k] // rgb.shape[k] for k in (0, 1))
    full = semantic[rows[:, None], columns[None]]
    alpha = _ALPHA[full][..., None]
    out: NDArray[np.uint8] = (rgb * (1.0 - alpha) + _PALETTE[full] * alpha).astype(np.uint8)
    return out


def _tag(pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, colour: Colour, size_px: int = 13) -> None:
    """A small dark label whose lower left corner is `at`."""
    face = font(size_px)
    u, v = max(at[0], 0.0), max(at[1], size_px + 6.0)
    wide = face.getlength(text)
    pen.rectangle((u, v - size_px - 5, u + wide + 8, v), fill=(16, 20, 26))
    pen.rectangle((u, v - size_px - 5, u + 2, v), fill=colour)
    pen.text((u + 5, v - size_px - 4), text, fill=INK, font=face)


class Painter:
    """Paints the steps of one drive, in order; remembers the last seconds for the speed chart."""

    def __init__(self, graph: LaneGraph, route: Route, segmentation: bool = True) -> None:
        """`segmentation`: lay the scene's classes over the cameras (a recording has an oracle's in some ticks only)."""
        self.graph, self.segmentation, self.route_m = graph, segmentation, route.length_m
        self.bird = BirdsEye(graph, route, load_vehicle("sedan"), BIRD_PX)
        self.past: deque[tuple[float, float, float, float, bool]] = deque(maxlen=int(HISTORY_S / TICK_S))

    def note(self, step: Step) -> None:
        """Remember a step for the chart; call for every tick, also those that are not painted."""
        reference = step.plan.reference
        self.past.append(
            (step.frame.time_s, step.truth.ego.speed_mps * 3.6, float(reference.target_mps[0]) * 3.6,
             float(reference.limit_mps[0]) * 3.6, bool(step.command.intervention))
        )  # fmt: skip

    def paint(self, step: Step) -> Image.Image:
        """(720, 1280) RGB picture of a noted step."""
        page = Image.new("RGB", SIZE_PX, BACK)
        for k, (size, at) in enumerate(((WIDE_PX, (0, 0)), (NARROW_PX, (WIDE_PX[0], 0)))):
            if k < len(step.frame.cameras):
                page.paste(self.camera(step, k, size), at)
        page.paste(self.bird(step), (WIDE_PX[0], NARROW_PX[1]))
        page.paste(self._instruments(step), (0, WIDE_PX[1]))
        pen = ImageDraw.Draw(page)
        pen.line((WIDE_PX[0], 0, WIDE_PX[0], SIZE_PX[1]), fill=BACK, width=3)
        pen.line((WIDE_PX[0], NARROW_PX[1], SIZE_PX[0], NARROW_PX[1]), fill=BACK, width=3)
        self._legend(pen)
        return page

    # ------------------------------------------------ cameras

    def camera(self, step: Step, k: int, size_px: tuple[int, int]) -> Image.Image:
        """One camera with classes, boxes and lights laid over it."""
        image = step.frame.cameras[k]
        rgb = image.rgb.permute(1, 2, 0).cpu().numpy()
        semantic = step.scene.semantic[k].cpu().numpy() if k < len(step.scene.semantic) else np.zeros((0, 0), np.uint8)
        if self.segmentation and semantic.size:
            rgb = tinted(rgb, semantic)
        picture = Image.fromarray(rgb).resize(size_px, Image.Resampling.BILINEAR)
        pen = ImageDraw.Draw(picture)
        zoom = size_px[0] / image.rgb.shape[2]
        if k < len(step.scene.detections):
            self._boxes(pen, step.scene.detections[k], zoom)
        self._lights(pen, step, image, zoom)
        _tag(pen, (8, 26), f"{image.name} camera", DIM)
        return picture

    def _boxes(self, pen: ImageDraw.ImageDraw, found: Detections, zoom: float) -> None:
        order = np.argsort(-found.distance_m, kind="stable")  # nearest last, on top
        for place, n in enumerate(order.tolist()):
            left, top, right, bottom = (float(v) * zoom for v in found.box_px[n])
            colour = KIND_COLOUR.get(int(found.kind[n]), DIM)
            pen.rectangle((left, top, right, bottom), outline=colour, width=2)
            if len(order) - place <= LABELS_MAX and right - left > 9.0:
                name = Kind(int(found.kind[n])).name.lower()
                _tag(pen, (left, top), f"{name} {found.distance_m[n]:.0f} m", colour, 12)

    def _lights(self, pen: ImageDraw.ImageDraw, step: Step, image: CameraImage, zoom: float) -> None:
        """A ring round each lamp head that perception has an opinion on."""
        if not len(self.graph.head_signal):
            return
        camera_from_world = inverse(step.scene.ego.pose.matrix() @ image.ego_from_camera)
        heads = apply(camera_from_world, self.graph.head_xyz_m)
        uv, depth = project(image.intrinsics, heads)
        if image.distortion:
            uv, _ = project_fisheye(image.intrinsics, image.distortion, heads)
        state = step.scene.signal_state[self.graph.head_signal]
        height, width = image.rgb.shape[1:]
        seen = (depth > 1.0) & (depth < LIGHT_REACH_M) & (state != LightState.UNKNOWN)
        seen &= (uv[:, 0] > 0) & (uv[:, 0] < width) & (uv[:, 1] > 0) & (uv[:, 1] < height)
        away = camera_from_world[:3, :3] @ np.stack([
            np.cos(self.graph.head_yaw_rad), np.sin(self.graph.head_yaw_rad), np.zeros(len(self.graph.head_yaw_rad))
        ])  # fmt: skip
        for n in np.flatnonzero(seen & (away[2] < -0.3)).tolist():  # lamps that face the camera
            u, v = (uv[n] * zoom).tolist()
            r = max(0.7 * float(image.intrinsics[0, 0] / depth[n]) * zoom, 6.0)
            pen.ellipse((u - r, v - r, u + r, v + r), outline=LIGHT_COLOUR[int(state[n])], width=3)

    # ------------------------------------------------ instruments

    def _instruments(self, step: Step) -> Image.Image:
        panel = Image.new("RGB", STRIP_PX, PANEL)
        pen = ImageDraw.Draw(panel)
        self._speed(pen, step)
        self._state(pen, step)
        self._controls(pen, step)
        self._chart(pen, (24, 194, 776, 258))
        return panel

    def _speed(self, pen: ImageDraw.ImageDraw, step: Step) -> None:
        reference = step.plan.reference
        speed, limit = abs(step.truth.ego.speed_mps) * 3.6, float(reference.limit_mps[0]) * 3.6
        pen.text((118, 92), f"{speed:.0f}", fill=INK, font=font(68, bold=True), anchor="rs")
        pen.text((126, 92), "km/h", fill=DIM, font=font(16), anchor="ls")
        target = float(reference.target_mps[0]) * 3.6
        pen.text((24, 122), f"target {target:.0f} km/h", fill=GREEN, font=font(15), anchor="ls")
        pen.ellipse((182, 24, 226, 68), fill=(245, 246, 248), outline=(214, 40, 40), width=6)
        pen.text((204, 46), f"{limit:.0f}", fill=(20, 22, 26), font=font(17, bold=True), anchor="mm")
        pen.text((24, 152), f"{step.frame.time_s:.1f} s", fill=DIM, font=font(15), anchor="ls")

    def _state(self, pen: ImageDraw.ImageDraw, step: Step) -> None:
        reference, guard = step.plan.reference, step.command.intervention
        pen.text((262, 46), MANEUVER_TEXT[reference.maneuver], fill=INK, font=font(22, bold=True), anchor="ls")
        facts = []
        if np.isfinite(reference.leader_gap_m) and reference.leader_gap_m < 200.0:
            facts.append(f"leader {reference.leader_gap_m:.0f} m, {reference.leader_mps * 3.6:.0f} km/h")
        if np.isfinite(reference.stop_s_m) and reference.stop_s_m < 200.0:
            facts.append(f"stop in {max(reference.stop_s_m, 0.0):.0f} m")
        pen.text((262, 72), "; ".join(facts) or "road ahead free", fill=DIM, font=font(14), anchor="ls")
        text, fill = (f"guard: {guard}"[:34], RED) if guard else ("guard idle", FAINT)
        wide = font(14).getlength(text) + 24
        pen.rounded_rectangle((262, 88, 262 + wide, 114), 13, fill=fill)
        pen.text((274, 101), text, fill=INK, font=font(14), anchor="lm")
        share = min(max(reference.route_s_m / max(self.route_m, 1.0), 0.0), 1.0)
        pen.rounded_rectangle((262, 138, 530, 146), 4, fill=FAINT)
        pen.rounded_rectangle((262, 138, 262 + max(268 * share, 8), 146), 4, fill=BLUE)
        pen.text((262, 166), f"{reference.route_s_m:.0f} of {self.route_m:.0f} m", fill=DIM, font=font(13), anchor="ls")

    def _controls(self, pen: ImageDraw.ImageDraw, step: Step) -> None:
        """Wheel angle, throttle and brake as given; a tick where the controller wanted another wheel angle."""
        control, pedals = step.command.control, step.command.pedals
        pen.text((560, 40), "steering", fill=DIM, font=font(14), anchor="ls")
        angle = round(float(np.rad2deg(control.wheel_angle_rad)))
        side = " left" if angle > 0 else " right" if angle < 0 else ""
        pen.text((776, 40), f"{abs(angle)}°{side}", fill=INK, font=font(14), anchor="rs")
        self._bar(pen, 560, 776, 50, -control.wheel_angle_rad / 0.6, BLUE, -step.wanted.wheel_angle_rad / 0.6)
        for y, name, value, colour in ((84, "throttle", pedals[0], GREEN), (128, "brake", pedals[1], RED)):
            pen.text((560, y + 2), name, fill=DIM, font=font(14), anchor="ls")
            pen.text((776, y + 2), f"{100.0 * float(value):.0f} %", fill=INK, font=font(14), anchor="rs")
            pen.rounded_rectangle((560, y + 12, 776, y + 22), 5, fill=FAINT)
            wide = 216 * min(max(float(value), 0.0), 1.0)
            if wide > 1.0:
                pen.rounded_rectangle((560, y + 12, 560 + max(wide, 10), y + 22), 5, fill=colour)

    @staticmethod
    def _bar(pen: ImageDraw.ImageDraw, left: int, right: int, top: int, value: float, colour: Colour,
             tick: float) -> None:  # fmt: skip
        """A bar from the middle for -1..1, and a tick."""
        middle, half = 0.5 * (left + right), 0.5 * (right - left)
        pen.rounded_rectangle((left, top, right, top + 10), 5, fill=FAINT)
        end = middle + half * float(np.clip(value, -1.0, 1.0))
        pen.rectangle((min(middle, end), top, max(middle, end), top + 10), fill=colour)
        mark = middle + half * float(np.clip(tick, -1.0, 1.0))
        pen.line((mark, top - 2, mark, top + 12), fill=INK, width=2)

    def _chart(self, pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int]) -> None:
        """Speed, target and limit of the last seconds; red ground where the guard acted."""
        left, top, right, bottom = box
        now = self.past[-1][0] if self.past else 0.0
        most = max([60.0, *(limit for _, _, _, limit, _ in self.past)])

        def at(time_s: float, kmh: float) -> tuple[float, float]:
            u = right - (now - time_s) / HISTORY_S * (right - left)
            return u, bottom - min(max(kmh, 0.0), most) / most * (bottom - top)

        for time_s, *_, guarded in self.past:
            if guarded:
                u = at(time_s, 0.0)[0]
                pen.line((u, top, u, bottom), fill=(96, 40, 46), width=3)
        pen.line((left, bottom, right, bottom), fill=FAINT)
        for column, colour, width in ((3, DIM, 1), (2, GREEN, 2), (1, BLUE, 3)):
            line = [at(row[0], float(row[column])) for row in self.past]
            if len(line) > 1:
                pen.line(line, fill=colour, width=width, joint="curve")
        face = font(12)
        for u, name, colour in ((left, "speed", BLUE), (left + 48, "target", GREEN), (left + 98, "limit", DIM)):
            pen.text((u, top - 18), name, fill=colour, font=face)
        pen.text((right, top - 18), f"last {HISTORY_S:.0f} s", fill=DIM, font=face, anchor="ra")

    @staticmethod
    def _legend(pen: ImageDraw.ImageDraw) -> None:
        face, v = font(12), SIZE_PX[1] - 12
        u = float(WIDE_PX[0] + 12)
        pen.rectangle((WIDE_PX[0] + 2, SIZE_PX[1] - 26, SIZE_PX[0], SIZE_PX[1]), fill=BACK)
        items = [("track", KIND_COLOUR[int(Kind.CAR)], True), ("pedestrian", KIND_COLOUR[int(Kind.PEDESTRIAN)], True),
                 ("true", INK, False), ("plan", (94, 224, 160), True), ("route", (46, 84, 120), True),
                 ("own estimate", (250, 120, 200), False)]  # fmt: skip
        for name, colour, filled in items:
            pen.rectangle((u, v - 5, u + 9, v + 4), fill=colour if filled else None, outline=colour)
            pen.text((u + 14, v), name, fill=DIM, font=face, anchor="lm")
            u += 14 + face.getlength(name) + 13


class Video:
    """An H.264 file in MP4, written frame by frame under a temporary name and renamed when whole."""

    def __init__(self, path: Path, rate_hz: int, size_px: tuple[int, int] = SIZE_PX) -> None:
        self.path, self.part = path, path.with_name(path.name + ".part")
        self.container = av.open(str(self.part), "w", format="mp4", options={"movflags": "faststart"})
        self.stream = self.container.add_stream("libx264", rate=rate_hz, options={"crf": "30", "preset": "superfast"})
        self.stream.width, self.stream.height, self.stream.pix_fmt = *size_px, "yuv420p"
        self.stream.thread_count = 1
        self.frames = 0

    def __enter__(self) -> Video:
        return self

    def add(self, picture: Image.Image) -> None:
        self.container.mux(self.stream.encode(av.VideoFrame.from_image(picture)))
        self.frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.container.mux(self.stream.encode(None))
        self.container.close()
        if kind is None:
            self.part.replace(self.path)
        else:
            self.part.unlink(missing_ok=True)
