"""Who may import whom: scripts -> sim, perception, planning, control, evaluation -> stack."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MIDDLE = ("sim", "perception", "planning", "control", "evaluation")
ALLOWED = {"stack": {"stack"}, "scripts": {"scripts", "stack", *MIDDLE}, **{m: {m, "stack"} for m in MIDDLE}}
OURS = set(ALLOWED)


def imported(path: Path) -> set[str]:
    """Top-level names of every import in a file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_imports_point_one_way(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        wrong = (imported(path) & OURS) - ALLOWED[package]
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_the_loop_fits_a_page() -> None:
    assert len((ROOT / "stack/loop.py").read_text(encoding="utf-8").splitlines()) < 120


def test_files_stay_readable() -> None:
    ours = [p for folder in (*sorted(ALLOWED), "tests") for p in (ROOT / folder).rglob("*.py")]
    long = {p: n for p in ours if (n := len(p.read_text().splitlines())) > 400}
    assert not long, long
