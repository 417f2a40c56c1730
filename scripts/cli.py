"""The `ringroad` command. Each verb lives in a file of its own beside this one and is imported only when it is called."""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from stack.loop import WorldLost

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one torch thread in every drive: same sums, same drive

app = typer.Typer(
    name="ringroad",
    help="Drive, train and replay an autonomous car: camera frames -> perception -> planner -> policy, in a closed loop.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


class Device(StrEnum):
    """Where tensors and kernels live."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Perception(StrEnum):
    """Who makes the Scene."""

    NETWORK = "network"
    ORACLE = "oracle"


class Controller(StrEnum):
    """Who turns the Plan into wheel angle and acceleration."""

    POLICY = "policy"
    CLASSICAL = "classical"


ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML with settings; flags win over it.")]
SEED = typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of everything drawn; default 0.", show_default=False)
SeedOption = Annotated[int, SEED]
DeviceOption = Annotated[Device, typer.Option("--device", help="auto takes CUDA where there is one.")]
JsonOption = Annotated[str | None, typer.Option("--json", help="Write the results as one JSON object; - for stdout.")]


def emit(result: dict[str, Any], target: str | None) -> None:
    """Write a verb's result where `--json` says: a file (whole or not at all) or standard output."""
    if target is None:
        return
    text = json.dumps(result, indent=1)
    if target == "-":
        sys.stdout.write(text + "\n")
        return
    path = Path(target)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror})") from None


@app.command()
def drive(
    map_: Annotated[str | None, typer.Option("--map", help="Map name (see `ringroad maps list`) or FILE.xodr.")] = None,
    scenario: Annotated[str | None, typer.Option("--scenario", help="Named scenario; default: town.")] = None,
    world: Annotated[str | None, typer.Option("--world", help="embedded, or carla: on a CARLA server.")] = None,
    host: Annotated[str | None, typer.Option("--host", help="The CARLA server's address; default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="And its port; default 2000.")] = None,
    rehearsed: Annotated[
        bool, typer.Option("--rehearsed", help="Traffic that goes the same way in every world, whatever the ego does.")
    ] = False,
    route: Annotated[str | None, typer.Option("--route", help="LANE:S,LANE:S start and goal by lane index.")] = None,
    weather: Annotated[str | None, typer.Option("--weather", help="Weather preset.")] = None,
    perception: Annotated[Perception | None, typer.Option("--perception", help="Who makes the scene.")] = None,
    controller: Annotated[Controller | None, typer.Option("--controller", help="Who drives.")] = None,
    guard: Annotated[bool | None, typer.Option("--guard/--no-guard", help="The safety shield.")] = None,
    record: Annotated[Path | None, typer.Option("--record", help="Record everything to FILE.mcap.")] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write report.html and drive.mp4 to DIR.")] = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="No faster than the clock.")] = False,
    seed: Annotated[int | None, SEED] = None,
    device: DeviceOption = Device.AUTO,
    config: ConfigOption = None,
    json_: JsonOption = None,
) -> None:
    """Drive one episode, closed loop.

    [bold]ringroad drive[/]  drives the held-out town with network perception and the learned policy.
    [bold]ringroad drive --map Town01.xodr --seed 3 --record a.mcap --report out[/]
    """
    from scripts.apart import again, is_child
    from scripts.drive import DriveSettings, run, settings_from
    from stack.config import read_yaml

    flags = {
        "world": world, "host": host, "port": port, "rehearsed": rehearsed or None, "map": map_, "scenario": scenario,
        "route": route, "weather": weather, "perception": perception and perception.value,
        "controller": controller and controller.value, "guard": guard, "record": record, "report": report, "seed": seed,
        "realtime": realtime or None,
    }  # fmt: skip
    values = read_yaml(config) if config else {}
    values |= {key: value for key, value in flags.items() if value is not None}
    values |= {"device": device.value}
    settings: DriveSettings = settings_from(values, str(config) if config else "command line")
    if settings.world == "carla" and not is_child():
        kept = f"; what was recorded until then: {settings.record}.part" if settings.record else ""
        raise typer.Exit(again(kept))
    result = run(settings, quiet=json_ == "-")
    emit(result, json_)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A recording made by `ringroad drive --record`.")],
    check: Annotated[bool, typer.Option("--check", help="Compare every module's output bit for bit.")] = False,
    device: DeviceOption = Device.AUTO,
    config: ConfigOption = None,
    seed: SeedOption = 0,
    json_: JsonOption = None,
) -> None:
    """Run the stack over a recorded drive: scores, or with --check a bit-exact comparison of every module."""
    from scripts.replay import run

    result = run(file, check=check, device=device.value, quiet=json_ == "-")
    emit(result, json_)
    if check and result["difference"] is not None:
        raise typer.Exit(1)


@app.command()
def serve(
    map_: Annotated[
        str | None, typer.Option("--map", help="Map name or FILE.xodr to start with; default town_a.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65534, help="Port of the calls; streams use the next one. 0: free ones.")
    ] = 2000,
    maps: Annotated[Path | None, typer.Option("--maps", help="Folder of .xodr files that clients may load.")] = None,
    tidy: Annotated[bool, typer.Option("--tidy", help="Destroy a client's actors when it leaves.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Say who comes, leaves and asks for what is not there.")
    ] = False,
    device: Annotated[Device, typer.Option("--device", help="cpu, which auto means here.")] = Device.AUTO,
) -> None:
    """Be a CARLA 0.9.16 server: the stock `carla` client, and programs written for it, drive in our world.

    [bold]ringroad serve[/]  then in Python:  [bold]carla.Client("localhost", 2000).get_world()[/]
    """
    from scripts.serve import run

    run(map_, host, port, maps, device.value, tidy, verbose)


@app.command()
def report(
    file: Annotated[Path, typer.Argument(help="A recording made by `ringroad drive --record`.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for report.html and drive.mp4.")] = Path("out/report"),
) -> None:
    """Write one self-contained HTML page about a recorded drive."""
    from scripts.report import run

    typer.echo(f"report: {run(file, out)}")


@app.command()
def dataset(
    out: Annotated[Path, typer.Option("--out", help="Folder for images/, masks/ and coco.json.")],
    frames: Annotated[
        int, typer.Option("--frames", min=1, help="Frames to render; each has every camera of the rig.")
    ] = 500,
    maps: Annotated[list[str] | None, typer.Option("--map", help="Map by name or file; may be given again.")] = None,
    rig: Annotated[Path | None, typer.Option("--rig", help="FILE.yaml with the cameras; default: the car's.")] = None,
    optics: Annotated[
        bool, typer.Option("--optics", help="Motion blur, smears and drops, drawn anew each tour.")
    ] = False,
    seed: SeedOption = 0,
    json_: JsonOption = None,
) -> None:
    """Render a labelled data set: COCO boxes (2D, 3D, visibility, truncation), masks of CARLA's ids, light windows."""
    from scripts.dataset import run

    emit(run(out, maps or [], frames, seed, rig, optics), json_)


@app.command()
def bench(
    seconds: Annotated[float, typer.Option("--seconds", min=0.0, help="Time spent on each figure.")] = 3.0,
    only: Annotated[
        str, typer.Option("--only", help="Groups: traffic,learner,world,cameras,lidar,exact,drive,memory.")
    ] = "",
    beside: Annotated[
        str, typer.Option("--beside", help="Other simulators to measure in this run: metadrive,highway-env.")
    ] = "",
    map_: Annotated[
        str | None, typer.Option("--map", help="Where to measure: a name or FILE.xodr; default our longest town.")
    ] = None,
    json_: JsonOption = None,
) -> None:
    """Measure speed and exactness of the simulator, one thread, beside the bounds they are held to.

    All groups but memory, which takes minutes, run by default; --beside alone runs only that.
    """
    from scripts.bench import run

    emit(run(seconds, only, beside, map_, quiet=json_ == "-"), json_)


@app.command()
def doctor() -> None:
    """Say what is here, what is missing, and how to get it."""
    from scripts.doctor import run

    raise typer.Exit(run())


train = typer.Typer(
    help="Train the policy (stable-baselines3) or the perception network (torch).", no_args_is_help=True
)
app.add_typer(train, name="train")


@train.command("policy")
def train_policy(
    out: Annotated[Path, typer.Option("--out", help="Folder for checkpoints, curves and the exported policy.")] = Path(
        "out/policy"
    ),
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in --out.")] = False,
    config: ConfigOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.AUTO,
    json_: JsonOption = None,
) -> None:
    """PPO on a batch of embedded worlds."""
    from scripts.train_policy import run

    emit(run(config, out=out, resume=resume, seed=seed, device=device.value), json_)


@train.command("perception")
def train_perception(
    out: Annotated[Path, typer.Option("--out", help="Folder for checkpoints, curves and weights.")] = Path(
        "out/perception"
    ),
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in --out.")] = False,
    config: ConfigOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.AUTO,
    json_: JsonOption = None,
) -> None:
    """The multi-head network, on frames that our worlds render."""
    from scripts.train_perception import run

    emit(run(config, out=out, resume=resume, seed=seed, device=device.value), json_)


def _add_maps() -> None:
    from scripts.maps import app as maps

    app.add_typer(maps, name="maps")


def _found(error: Exception) -> str:
    """What stood on the command line for the option that an error is about."""
    options = getattr(getattr(error, "param", None), "opts", [])
    words = sys.argv[1:]
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, _, value = word.partition("=")
        if option in options:
            return f" (found {value or following!r})"
    return ""


def main() -> None:
    """Entry point: bad input is one clear line on standard error and exit code 2."""
    _add_maps()
    try:
        code = app(standalone_mode=False)
    except typer.TyperException as error:
        message = " ".join(error.format_message().split())
        if message:  # empty after the help that a bare `ringroad` shows
            sys.stderr.write(f"ringroad: {message}{_found(error)}\n")
        raise SystemExit(2) from None
    except (ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"ringroad: {error}\n")
        raise SystemExit(2) from None
    except WorldLost as error:
        sys.stderr.write(f"ringroad: {error}\n")
        sys.stderr.flush()
        os._exit(1)  # at once: threads of CARLA's client would end the process by a signal
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("ringroad: interrupted\n")
        raise SystemExit(130) from None
    raise SystemExit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
