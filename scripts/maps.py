"""`ringroad maps`: list our own maps, check a map file, draw one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from stack.lanegraph import LaneGraph
from stack.opendrive import MAPS, Doubt, RoadMap, build_graph, doubts, find_map, load_map

app = typer.Typer(help="Maps: list, check, preview.", no_args_is_help=True)
STRIP_COLOURS = {
    "driving": "#b8bcc2", "bidirectional": "#b8bcc2", "entry": "#b8bcc2", "exit": "#b8bcc2", "onRamp": "#b8bcc2",
    "offRamp": "#b8bcc2", "connectingRamp": "#b8bcc2", "sidewalk": "#e6d3c3", "walking": "#e6d3c3",
    "shoulder": "#d4d2ca",
    "border": "#c9c2b4", "median": "#c4d8b0", "parking": "#c7cfe2", "biking": "#e8b9a8", "stop": "#d4d2ca",
}  # fmt: skip
MAX_PIXELS = 3200
EXAMPLES = 3  # of each kind of warning


def list_maps() -> list[str]:
    """Names of our own maps."""
    return sorted(path.stem for path in MAPS.glob("*.xodr"))


def check(file: str | Path) -> dict[str, Any]:
    """Statistics of a map; under "warnings" what is doubtful in it: for each kind how many, and the first few as text.

    Raises MapError or ValueError with what is wrong."""
    road_map = load_map(find_map(file))
    graph = build_graph(road_map)
    kinds, counts = np.unique([strip.kind for strip in road_map.strips(20.0)], return_counts=True)
    limits = np.unique(np.round(graph.lane_limit_mps * 3.6).astype(int))
    return {
        "map": road_map.name,
        "roads": len(road_map.document.roads),
        "junctions": len(road_map.junctions),
        "lanes": graph.lanes,
        "lane_km": round(float(graph.lane_length_m.sum()) / 1000.0, 3),
        "lane_strips": {str(kind): int(count) for kind, count in zip(kinds, counts, strict=True)},
        "limits_kmh": [int(limit) for limit in limits],
        "dead_ends": int((graph.succ_count == 0).sum()),
        "lights": graph.signals,
        "lamp_heads": len(graph.head_signal),
        "controlled_entries": int((graph.lane_signal >= 0).sum() + (graph.lane_sign > 0).sum()),
        "signs": len(graph.sign_kind),
        "conflicts": len(graph.conflict_lane) // 2,
        "crosswalks": len(graph.crosswalk_xyz_m),
        "sidewalks": len(graph.walk_start),
        "warnings": _by_kind(doubts(road_map, graph), road_map.document.file),
    }


def _by_kind(found: list[Doubt], file: str) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    for doubt in found:
        kind = out.setdefault(doubt.kind, {"count": 0, "examples": []})
        kind["count"] += 1
        if kind["count"] <= EXAMPLES:
            kind["examples"].append(f"{file}:{doubt.line}: <{doubt.element}>: {doubt.text}")
    return out


def preview(file: str | Path, out: Path, window_m: tuple[float, float, float, float] | None = None) -> None:
    """Draw a map to a PNG: lanes, marks, arrows, lights, stop places, crosswalks, signs.

    window_m: left, bottom, right, top in the world frame; the whole map without it."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["lines.scale_dashes"] = False  # dashes in points: the pattern is drawn to scale
    import matplotlib.pyplot as plt

    road_map = load_map(find_map(file))
    graph = build_graph(road_map)
    low, high = np.array([[graph.x_m.min(), graph.y_m.min()], [graph.x_m.max(), graph.y_m.max()]], np.float64)
    margin = max(15.0, 0.02 * float((high - low).max()))  # a long straight road is a picture too
    low, high = low - margin, high + margin
    if window_m is not None:
        low, high = np.array(window_m[:2]), np.array(window_m[2:])
    size = high - low
    scale = MAX_PIXELS / float(size.max())
    figure = plt.figure(figsize=tuple(size * scale / 100.0), dpi=100)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_aspect("equal")
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.axis("off")
    _draw_surfaces(axes, road_map, graph, 72.0 / 100.0 * scale)
    _draw_lanes(axes, graph)
    _draw_control(axes, road_map, graph, window_m is not None)
    figure.savefig(out)
    plt.close(figure)


def _draw_surfaces(axes: Any, road_map: RoadMap, graph: LaneGraph, points_per_m: float) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    strips = [strip for strip in road_map.strips() if strip.kind != "none"]
    outlines = [np.concatenate([strip.left_m[:, :2], strip.right_m[::-1, :2]]) for strip in strips]
    axes.add_collection(PolyCollection(outlines, facecolors=[STRIP_COLOURS.get(s.kind, "#dddddd") for s in strips]))
    axes.add_collection(
        PolyCollection(list(graph.crosswalk_xyz_m[:, :, :2]), facecolors="#ffffffb0", edgecolors="#666666")
    )
    marks = road_map.marks()
    colours = ["#f0a000" if mark.colour == "yellow" else "white" for mark in marks]
    styles = [
        (0.0, (mark.dash_m * points_per_m, mark.gap_m * points_per_m)) if mark.dash_m > 0.0 else "solid"
        for mark in marks
    ]
    lines = [mark.line_m[:, :2] for mark in marks]
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=points_per_m * 0.15, linestyles=styles))
    for item in road_map.objects:
        if item.kind not in ("crosswalk", "paint", "stencil") and len(item.outline_m) > 1:
            axes.plot(*np.vstack([item.outline_m, item.outline_m[:1]])[:, :2].T, color="#557755", linewidth=0.8)


def _draw_lanes(axes: Any, graph: LaneGraph) -> None:
    from matplotlib.collections import LineCollection

    inside = graph.lane_junction >= 0
    tint = {1: "#c2553d", 0: "#4a6fa5", -1: "#3d8f5a"}
    colours = [
        tint[int(turn)] if junction else "#77808c" for turn, junction in zip(graph.lane_turn, inside, strict=True)
    ]
    lines = [graph.points(lane)[:, :2] for lane in range(graph.lanes)]
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=0.7))
    ends = zip(graph.lane_start, graph.lane_count, strict=True)
    rows = np.concatenate([start + np.arange(count // 2, count, 25) for start, count in ends])
    axes.quiver(graph.x_m[rows], graph.y_m[rows], np.cos(graph.yaw_rad[rows]), np.sin(graph.yaw_rad[rows]), angles="xy",
                scale=0.5, scale_units="xy", width=0.0006, headwidth=6.0, color="#333333", zorder=3)  # fmt: skip


def _draw_control(axes: Any, road_map: RoadMap, graph: LaneGraph, names: bool) -> None:
    if len(graph.head_signal):
        place, yaw = graph.head_xyz_m, graph.head_yaw_rad
        axes.scatter(place[:, 0], place[:, 1], s=14.0, color="#d01010", zorder=5)
        axes.quiver(place[:, 0], place[:, 1], np.cos(yaw), np.sin(yaw), angles="xy", scale=0.4, scale_units="xy",
                    width=0.0008, color="#d01010", zorder=5)  # fmt: skip
        for signal, (x, y, _) in zip(graph.head_signal, place, strict=True) if names else ():
            axes.text(
                x, y, f" {signal}: {graph.signal_green_from_s[signal]:.0f} s", fontsize=9, color="#d01010", clip_on=True
            )
    for post in road_map.signals:
        shape = {"stop": "8", "yield": "v", "speed": "o"}.get(post.kind)
        if shape:
            axes.scatter(*post.xyz_m[:2], s=30.0, marker=shape, facecolor="white", edgecolor="#b00020", zorder=5)
        if post.kind == "speed":
            axes.text(*post.xyz_m[:2], f"  {post.value:.0f}", fontsize=6, clip_on=True)
    controlled = (graph.lane_signal >= 0) | (graph.lane_sign > 0)
    for lane in range(graph.lanes):
        if controlled[graph.successors(lane)].any():
            row = graph.lane_start[lane] + min(
                int(graph.lane_stop_s_m[lane] / graph.lane_step_m[lane]), graph.lane_count[lane] - 1
            )
            across = 1.5 * np.array([-np.sin(graph.yaw_rad[row]), np.cos(graph.yaw_rad[row])])
            axes.plot(
                graph.x_m[row] + across[0] * np.array([-1, 1]),
                graph.y_m[row] + across[1] * np.array([-1, 1]),
                color="#d01010",
                linewidth=1.5,
            )


@app.command("list")
def list_command() -> None:
    """Names of the maps that come with Ringroad."""
    for name in list_maps():
        typer.echo(name)


@app.command("check")
def check_command(
    map_: Annotated[str, typer.Argument(metavar="MAP", help="a name, or an .xodr file")],
    json_: Annotated[
        str | None, typer.Option("--json", help="Write the results as one JSON object; - for stdout.")
    ] = None,
) -> None:
    """What a map holds and what is doubtful in it; or what is wrong with it, with exit code 2."""
    from scripts.cli import emit

    try:
        found = check(map_)
        emit(found, json_)
    except ValueError as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(2) from None
    if json_ == "-":
        return
    kinds = found.pop("warnings")
    for key, value in found.items():
        typer.echo(f"{key}: {_plain(value)}")
    typer.echo(f"warnings: {sum(kind['count'] for kind in kinds.values()) or 'none'}")
    for name, kind in kinds.items():
        typer.echo(f"\n{name}: {kind['count']}")
        for example in kind["examples"]:
            typer.echo(f"  {example}")
        if kind["count"] > len(kind["examples"]):
            typer.echo(f"  ... and {kind['count'] - len(kind['examples'])} more")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@app.command("preview")
def preview_command(
    map_: Annotated[str, typer.Argument(metavar="MAP", help="a name, or an .xodr file")],
    out: Annotated[Path, typer.Argument(help="the PNG to write")],
) -> None:
    """Draw a map to a PNG."""
    try:
        preview(map_, out)
    except (ValueError, OSError) as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(2) from None
    typer.echo(str(out))
