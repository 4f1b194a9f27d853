"""A search with real faults: full disks, missing files, signals."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SMALL = (
    "--strategy", "random", "--space", "blocks", "--rungs", "0:16,1:all", "--threads", "1",
    "--max-train", "16", "--max-tune", "16", "--max-eval", "32", "--final-seeds", "1",
)  # fmt: skip


def command(out: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "search.run", "--out", str(out), *SMALL, *words]


def started(out: Path, *words: str, lines: int = 1) -> tuple[subprocess.Popen[str], str]:
    """A search, once so many of its trials have ended."""
    process = subprocess.Popen(
        command(out, *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    told = ""
    assert process.stdout is not None
    for line in process.stdout:
        told += line
        lines -= line.startswith("trial=")
        if not lines:
            return process, told
    raise AssertionError(told)


def counts(out: Path) -> dict[str, int]:
    told = subprocess.run(
        [sys.executable, "-m", "search.report", "--out", str(out), "--json"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return json.loads(told.stdout)["counts"]


@pytest.fixture
def small_disk(tmp_path: Path):
    """A disk of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs root and the right to mount a tmpfs")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all that is free."""
    file = disk / "ballast"
    with file.open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            return file


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_that_end_it_store_all_and_the_same_command_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "run"
    process, told = started(out, "--budget", "4")
    process.send_signal(number)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 143, told + rest
    assert "run the same command again" in rest and "Traceback" not in rest
    subprocess.run(command(out, "--budget", "4"), check=True, timeout=300, capture_output=True)
    assert counts(out)["trials"] == 4


@pytest.mark.slow
def test_a_full_disk_costs_no_trial_and_is_waited_for(small_disk: Path) -> None:
    out = small_disk / "run"
    process, told = started(out, "--budget", "6", "--patience", "120")
    ballast = fill(small_disk)
    assert process.stdout is not None
    for line in process.stdout:
        told += line
        if line.startswith("waiting"):
            break
    time.sleep(1)
    ballast.unlink()
    rest, _ = process.communicate(timeout=240)
    assert process.returncode == 0, told + rest
    assert counts(out).get("failed", 0) == 0 and counts(out)["trials"] == 6


@pytest.mark.slow
def test_a_disk_that_stays_full_ends_the_search_with_one_line(small_disk: Path) -> None:
    out = small_disk / "run"
    process, told = started(out, "--budget", "6", "--patience", "2")
    ballast = fill(small_disk)
    rest, _ = process.communicate(timeout=240)
    assert process.returncode == 75, told + rest
    assert "then the same command continues the search" in rest and "Traceback" not in rest
    ballast.unlink()
    done = subprocess.run(command(out, "--budget", "6"), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert counts(out).get("failed", 0) == 0 and counts(out)["trials"] == 6


@pytest.mark.slow
def test_a_folder_that_is_deleted_stops_it_at_the_next_write(tmp_path: Path) -> None:
    out = tmp_path / "run"
    process, told = started(out, "--budget", "50")
    shutil.rmtree(out)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 2, told + rest
    assert "was deleted or replaced during the search" in rest and "Traceback" not in rest
    assert not out.exists()
