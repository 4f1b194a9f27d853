"""The recipes of CONTRIBUTING.md are followed on a copy of the packages, with changes in the places they name only."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recipes import FOLLOWED, Edits

ROOT = Path(__file__).parents[1]
RECIPES = dict(re.findall(r"^## Add (.+?)\n(.+?)(?=^## |\Z)", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S))
STEP = re.compile(r"^\d+\. `([^`]+)`", re.M)
NAMED = re.compile(r"`([\w./]+/[\w./]*)`")


def places(recipe: str) -> list[str]:
    """The files and folders of the steps of a recipe."""
    return STEP.findall(RECIPES[recipe])


def place_of(file: str, recipe: str) -> str | None:
    """The step that names a file, or the folder of a new file."""
    folder = file.rpartition("/")[0] + "/"
    return next((place for place in (file, folder) if place in places(recipe)), None)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the packages, the tests and the documents."""
    for name in ("spaces", "objectives", "workers", "search", "benchmarks", "tests", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", "*.npz", "*.png", "checkpoint")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    (tmp_path / "workers" / "embedded" / "checkpoint").symlink_to(ROOT / "workers" / "embedded" / "checkpoint")
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def apply(edits: Edits, root: Path) -> None:
    for file, changes in edits.items():
        for old, new in changes:
            if old is None:
                (root / file).write_text(new, encoding="utf-8")
                continue
            text = (root / file).read_text(encoding="utf-8")
            (root / file).write_text(text.replace(old, new, 1), encoding="utf-8")


def test_every_recipe_is_followed() -> None:
    assert set(RECIPES) == set(FOLLOWED)


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_a_recipe_names_is_there(recipe: str) -> None:
    """Paths exist, and the names behind a path are in its file."""
    for path in NAMED.findall(RECIPES[recipe]):
        assert (ROOT / path).exists(), f"{path} is not there"
    for line in re.findall(r"^\d+\. .+$", RECIPES[recipe], re.M):
        path = ROOT / STEP.findall(line)[0]
        for name in re.findall(r"`([A-Za-z_]{3,})`", line.partition(": ")[2]):
            assert path.is_dir() or name in path.read_text(encoding="utf-8"), f"{path.name} has no {name}"


@pytest.mark.parametrize("recipe", FOLLOWED)
def test_the_changes_are_in_the_places_of_the_recipe_and_in_all_of_them(recipe: str) -> None:
    edits, _ = FOLLOWED[recipe]
    found = {file: place_of(file, recipe) for file in edits}
    assert None not in found.values(), f"no step names {[file for file, place in found.items() if place is None]}"
    assert set(found.values()) == set(places(recipe))
    gone = [(file, old) for file in edits for old, _ in edits[file] if old and old not in (ROOT / file).read_text()]
    assert not gone, f"the recipe, or this test, has to follow the code: {gone}"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", FOLLOWED)
def test_what_a_recipe_adds_works(recipe: str, copied: Path) -> None:
    edits, script = FOLLOWED[recipe]
    apply(edits, copied)
    environment = {**os.environ, "PYTHONPATH": str(copied), "COLUMNS": "200"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=copied, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
