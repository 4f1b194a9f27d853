"""A search on a PostgreSQL server: killed, resumed, and protected from a second controller."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.search.storage.postgres_server import PostgresServer, programs

SMALL = (
    "--strategy", "random", "--space", "blocks", "--rungs", "0:16,1:all", "--threads", "1",
    "--max-train", "16", "--max-tune", "16", "--max-eval", "32",
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """URL of a database on a throw-away server."""
    if programs() is None:
        pytest.skip("needs PostgreSQL's initdb and pg_ctl: apt-get install postgresql")
    with PostgresServer() as postgres:
        yield postgres.url


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_two_folders_of_one_name_are_two_runs(tmp_path: Path, server: str) -> None:
    found = []
    for number, budget in (("one", 2), ("two", 3)):
        (tmp_path / number).mkdir()
        words = ("--budget", str(budget), "--out", "same", "--storage", server, "--final-seeds", "1", *SMALL)
        assert run("search.run", *words, cwd=tmp_path / number).returncode == 0
    for number in ("one", "two"):
        told = run("search.report", "--out", "same", "--storage", server, "--json", cwd=tmp_path / number)
        found.append(json.loads(told.stdout)["counts"]["trials"])
    assert found == [2, 3]


@contextmanager
def stopped_after_a_trial(words: list[str], cwd: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A search that is stopped during a trial, and killed at the end.

    The second value is a list that gets what the search printed.
    """
    command, told = [sys.executable, "-m", *words], [""]
    with subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            told[0] += line
            if line.startswith("trial="):
                break
        assert process.poll() is None, told[0]
        process.send_signal(signal.SIGSTOP)
        yield process, told
        process.send_signal(signal.SIGKILL)
        told[0] += process.stdout.read()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_a_killed_search_goes_on_with_every_trial_once(tmp_path: Path, server: str) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    words = ["search.run", "--budget", "4", "--out", "run", "--storage", server, *SMALL]
    with stopped_after_a_trial(words, here) as (process, told):
        shutil.copytree(here / "run", elsewhere / "run")  # the same run by another path
        second = run(*words, cwd=elsewhere)
    assert second.returncode == 2
    assert f"got a run that process {process.pid} on" in second.stderr
    done = run(*words, cwd=here)
    assert done.returncode == 0, done.stderr
    report, status = (
        json.loads(run(f"search.{command}", "--out", "run", "--storage", server, "--json", cwd=here).stdout)
        for command in ("report", "status")
    )
    counts = report["counts"]
    assert counts["trials"] == counts.get("complete", 0) + counts.get("stopped", 0) == 4
    assert all(trial["test"]["accuracy"] is not None for trial in report["front"])
    assert (status["phase"], status["ended"]) == ("finished", 4)
    before, after = (text.count("\ntrial=") + text.startswith("trial=") for text in (told[0], done.stdout))
    assert before >= 1
    # one may have ended between its row and its line
    assert 4 - 1 <= before + after <= 4, "what had ended was not run again"
