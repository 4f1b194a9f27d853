"""`python -m workers.pretrained build`, with and without access to the packages."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def _run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


@pytest.mark.slow
def test_a_package_that_cannot_be_had_is_one_line(tmp_path: Path) -> None:
    done = _run("workers.pretrained", "build", "--to", str(tmp_path), PIP_NO_INDEX="1")
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: the build needs the package easy-vqa 1.0")
    assert "No matching distribution" in line
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_build_and_search(tmp_path: Path) -> None:
    built = _run("workers.pretrained", "build", "--to", str(tmp_path))
    if built.returncode and "could not fetch" in built.stderr:
        pytest.skip(f"the packages can't be had: {built.stderr.strip()}")
    assert built.returncode == 0, built.stderr
    done = _run(
        *("search.run", "--config", "examples/smollm2.yaml", "--model", str(tmp_path / "model")),
        *("--dataset", str(tmp_path / "easy-vqa"), "--budget", "3", "--limit", "48", "--rungs", "0:24,1:48"),
        *("--final-seeds", "1", "--threads", "1", "--allow-blind", "--out", str(tmp_path / "run")),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(_run("search.report", "--out", str(tmp_path / "run"), "--json").stdout)
    assert found["dense"]["accuracy"] > found["floor"]["constant"] + 0.1
