"""The command as a user meets it: help that reads well, bad input in one line with exit code 2."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scripts import cli

ROOT = Path(__file__).parents[1]
Done = subprocess.CompletedProcess[str]


def command(*words: str) -> Done:
    """In a process of its own; most of its seconds go into imports."""
    return subprocess.run(
        [sys.executable, "-m", "scripts.cli", *words], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


@pytest.fixture(params=["called here", pytest.param("own process", marks=pytest.mark.slow)])
def ringroad(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """The command: its entry point called in this process, and, as a slow test, as a process."""
    if request.param == "own process":
        return command

    def called(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["ringroad", *words])
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(cli.app, "registered_groups", [*cli.app.registered_groups])  # main adds one
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Done(list(words), int(end.value.code or 0), *capfd.readouterr())

    return called


def test_help_names_every_verb() -> None:
    done = command("--help")
    assert done.returncode == 0
    for verb in ("drive", "replay", "report", "train", "maps"):
        assert verb in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["drive", "--map", "nowhere"], "nowhere"),
        (["drive", "--scenario", "nothing"], "nothing"),
        (["drive", "--weather", "hail", "--perception", "oracle", "--controller", "classical"], "hail"),
        (["drive", "--seed", "minus"], "'minus'"),
        (["drive", "--world", "moon"], "'moon'"),
        (["serve", "--port", "0", "--map", "nowhere"], "nowhere"),
        (["serve", "--port", "0", "--maps", "nowhere"], "no folder nowhere"),
        (["serve", "--port", "0", "--device", "cuda"], "--device: found cuda"),
        (["drive", "--route", "3:x,4:1"], "3:x"),
        (["replay", "none.mcap"], "none.mcap"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_clear_line(ringroad: Callable[..., Done], words: list[str], said: str) -> None:
    done = ringroad(*words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_unknown_config_key_is_named(ringroad: Callable[..., Done], tmp_path: Path) -> None:
    config = tmp_path / "drive.yaml"
    config.write_text("perceptoin: oracle\n")
    done = ringroad("drive", "--config", str(config))
    assert done.returncode == 2 and "perceptoin" in done.stderr and "drive.yaml" in done.stderr


def test_broken_map_is_named_with_its_line(ringroad: Callable[..., Done], tmp_path: Path) -> None:
    broken = tmp_path / "broken.xodr"
    broken.write_text((ROOT / "sim/maps/town_a.xodr").read_text()[:5000])
    done = ringroad("drive", "--map", str(broken))
    assert done.returncode == 2 and "broken.xodr:" in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA, so asking for it is no error")
def test_cuda_where_there_is_none(ringroad: Callable[..., Done]) -> None:
    done = ringroad("drive", "--device", "cuda")
    assert done.returncode == 2 and "cuda" in done.stderr.lower()


@pytest.mark.slow
def test_json_on_standard_output_is_alone_there() -> None:
    done = command(
        "drive", "--perception", "oracle", "--controller", "classical", "--route", "7:20,7:35", "--json", "-"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["status"] in ("perfect", "completed") and result["route_completion"] > 0.9


def test_a_server_is_the_cpu_s_where_there_is_cuda_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from scripts import serve
    from sim.carla.server import serve as server

    asked: list[str] = []

    def taken(*arguments: object) -> None:
        asked.append(str(arguments[4]))
        raise OSError(98, "taken")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(server, "Server", taken)
    with pytest.raises(ValueError, match="cannot listen there"):
        serve.run(None, "127.0.0.1", 0, None, "auto", False, False)
    assert asked == ["cpu"]
