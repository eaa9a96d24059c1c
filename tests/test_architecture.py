"""The shape of the house: floors, the line cap, public names, no printing, quick start."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fuserec

ROOT = Path(fuserec.__file__).parent
FLOORS = [
    ("errors",),
    ("registry", "atomic", "memory", "device"),
    ("packing",),
    ("data",),
    ("augmentation", "retrieval"),
    ("sources", "preparation", "encoders", "alignment", "fusion", "metrics", "intervals"),
    ("recommenders", "report", "worth"),
    ("controls", "evaluation", "interest", "query"),
    ("modalities", "ratings"),
    ("recipe", "artifact", "pages"),
    ("benchmark", "demo", "tuning", "serving"),
    ("cli",),
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(ROOT.rglob("*.py"))
MODULES = [path for path in FILES if path.name not in ("__main__.py",) and path != ROOT / "__init__.py"]


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path):
    """The fuserec rooms that a file imports, imports inside functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" if node.module == "fuserec" else node.module for alias in node.names]
        for name in names:
            if name and name.startswith("fuserec."):
                yield name.split(".")[1]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_down_the_floors_and_never_sideways(path):
    room = room_of(path)
    for other in imported(path):
        if other in (room, "__version__"):
            continue
        assert FLOOR_OF[other] < FLOOR_OF[room], f"{room} must not import {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_are_small_and_only_the_console_prints(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 350
    if path != ROOT / "cli" / "console.py":
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        assert not any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls)


def test_public_names_are_sorted_documented_and_few():
    names = fuserec.__all__
    assert names == sorted(names) and len(names) <= 40
    assert set(names) == set(fuserec._HOMES)
    for name in names:
        assert getattr(fuserec, name).__doc__, name


def test_nothing_heavy_is_imported_before_it_is_needed():
    heavy = "('torch', 'numpy', 'polars', 'sklearn', 'scipy')"
    code = f"import sys, fuserec.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_is_unpickled_or_evaluated():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), path
            if isinstance(node, ast.Import):
                assert not any(alias.name == "pickle" for alias in node.names), path
