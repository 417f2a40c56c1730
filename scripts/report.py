"""`ringroad report`: one self-contained HTML page about a recorded drive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.driving import DriveScore
from evaluation.report import write_report
from stack.recording import Recording


def run(file: Path, out: Path) -> Path:
    """Write report.html and drive.mp4 to `out`; returns the page. A drive that broke off is scored as far as it got."""
    recording = Recording(file)
    result = recording.result or score(recording)
    return write_report(file, result, out)


def score(recording: Recording) -> dict[str, Any]:
    """The JSON object of `ringroad drive`, as far as the steps alone give it."""
    scenario, _ = recording.scenario()
    scored = DriveScore(scenario.graph, scenario.route)
    for step in recording:
        scored.add(step)
    settings = recording.meta["settings"]
    about = {"world": "recording", "map": scenario.map_name, "scenario": scenario.name, "seed": scenario.seed}
    return {**about, **{key: settings.get(key) for key in ("perception", "controller", "guard")}, **scored.result()}
