"""`make seeds`: many seeds of one scenario with many stacks, as a table for people and JSON for machines.

    python -m scripts.seeds --out docs                        every row of the table, seeds 0..19
    python -m scripts.seeds --rows network+policy --seeds 5   part of it
    python -m scripts.seeds --name weathers --rows "in fog" "in night" --seeds 5

Each drive is a process of its own; finished drives are kept in out/seeds/NAME and not driven again: move that folder away after a
change of anything that drives. Rows that are not asked for stay in the table as they were.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).parents[1]
ROWS: dict[str, list[str]] = {
    "network+policy": [],
    "no guard": ["--no-guard"],
    "network+classical": ["--controller", "classical"],
    "oracle+policy": ["--config", "configs/oracle.yaml"],
    "oracle+classical": ["--config", "configs/oracle.yaml", "--controller", "classical"],
    "blind cameras": ["--config", "configs/ablation_blind.yaml"],
    "zeroed policy": ["--config", "configs/ablation_dead.yaml"],
}
WEATHERS = {
    f"in {name}": ["--weather", name] for name in ("cloudy", "dusk", "fog", "rain", "night")
}  # network + policy
ALL = ROWS | WEATHERS


def machine() -> str:
    """The processor and its cores: real time depends on it, and so do the last bits of a drive."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def commit() -> str:
    """Of the code that drives."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def one(row: str, seed: int, extra: list[str], kept: Path) -> dict[str, Any]:
    """The result of one drive, from disk or driven now."""
    path = kept / f"{row.replace(' ', '_')}_{seed}.json"
    if not path.is_file():
        at = commit()
        drive = f"-m scripts.cli drive --seed {seed} --device cpu --json".split()
        command = [sys.executable, *drive, str(path)]
        done = subprocess.run([*command, *ALL[row], *extra], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{row} seed {seed}: exit code {done.returncode}\n{done.stderr[-2000:]}")
        driven = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**driven, "machine": machine(), "commit": at}), encoding="utf-8")
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    print(f"{row:18s} seed {seed:2d}  {result['status']:10s} {'clean' if result['clean'] else '     '}", flush=True)
    return result


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: a line for each row, then each drive of the first row."""
    lines = [
        "| stack | clean | driving score 2.0 | completed | collisions | red lights | guard, % of ticks | x real time | on | at |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row, drives in results.items():
        kinds = [item["kind"] for d in drives for item in d["infractions"]]
        acted = sum(d["interventions"] for d in drives) / max(sum(d["ticks"] for d in drives), 1)
        lines.append(
            f"| {row} | {sum(d['clean'] for d in drives)} of {len(drives)} "
            f"| {mean(d['driving_score']['2.0'] for d in drives):.1f} | {mean(d['route_completion'] for d in drives):.0%} "
            f"| {sum(k.startswith('collision') for k in kinds)} | {kinds.count('red_light')} | {acted:.2%} "
            f"| {mean(d['realtime_factor'] for d in drives):.2f} | {', '.join(sorted({d['machine'] for d in drives}))} "
            f"| {', '.join(sorted({d['commit'] for d in drives}))} |"
        )
    first, drives = next(iter(results.items()))
    met = [d["exposure"] for d in drives]
    lines += [
        "",
        f"*{first}* met {sum(e['red_light_stops'] for e in met)} red lights that it stopped at, five vehicles within 30 m at once in "
        f"{sum(e['vehicles_within_30m_max'] >= 5 for e in met)} of {len(met)} drives, and 10 s of following in "
        f"{sum(e['following_s'] >= 10.0 for e in met)}. Every drive of it:",
        "",
        "| seed | status | score 2.0 | red stops | junctions | vehicles within 30 m (mean, most) | following s "
        "| walkers within 15 m | guard ticks | infractions |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for d in drives:
        e = d["exposure"]
        bad = ", ".join(f"{i['kind']} {i['other']} at {i['time_s']:.0f} s" for i in d["infractions"]) or "none"
        lines.append(
            f"| {d['seed']} | {d['status']}{' (clean)' if d['clean'] else ''} | {d['driving_score']['2.0']:.1f} "
            f"| {e['red_light_stops']} | {e['junctions']} | {e['vehicles_within_30m']:.1f}, {e['vehicles_within_30m_max']} "
            f"| {e['following_s']:.0f} | {e['pedestrians_within_15m']} | {d['interventions']} of {d['ticks']} | {bad} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder for seeds_NAME.md and .json")
    parser.add_argument("--name", default="town", help="name of the table; drives are kept in out/seeds/NAME")
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ALL))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--map", help="map file of another scenario, as for `ringroad drive`")
    parser.add_argument("--scenario", help="another scenario, as for `ringroad drive`")
    given = parser.parse_args()
    extra = [
        part for flag in ("map", "scenario") if getattr(given, flag) for part in (f"--{flag}", getattr(given, flag))
    ]
    kept = ROOT / "out" / "seeds" / given.name
    kept.mkdir(parents=True, exist_ok=True)
    jobs = [(row, seed) for row in given.rows for seed in range(given.seeds)]
    with ThreadPoolExecutor(given.workers) as pool:
        done = list(pool.map(lambda job: one(*job, extra, kept), jobs))
    page = given.out / f"seeds_{given.name}.json"
    before = json.loads(page.read_text(encoding="utf-8")) if page.is_file() else {}
    results: dict[str, list[dict[str, Any]]] = {
        row: before.get(row, []) for row in ALL if row in before or row in given.rows
    }
    results |= {row: [] for row in given.rows}
    for (row, _), result in zip(jobs, done, strict=True):
        results[row].append(result)
    shown = ["FOLDER/" + Path(word).name if word == given.map else word for word in extra]
    most = max(len(drives) for drives in results.values())  # a row may have fewer
    command = " ".join(["python -m scripts.seeds --name", given.name, "--seeds", str(most), *shown])
    head = (
        f"# Seeds 0..{most - 1}: {given.name}\n\n`{command} --rows {' '.join(json.dumps(row) for row in results)}`\n\n"
    )
    (given.out / f"seeds_{given.name}.md").write_text(head + table(results), encoding="utf-8")
    page.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
