"""A stopped or killed search continues with the same command and runs every trial once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.search.test_commands import QUICK, run


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_stopped_run_goes_on_with_every_trial_once(tmp_path: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-m", "search.run", "--budget", "10", "--out", "run", "--strategy", "random", *QUICK]
    for stop_after in (2, 5):
        lines = 0
        with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a test run in the background ignores it
        ) as process:  # fmt: skip
            assert process.stdout is not None
            for line in process.stdout:
                lines += line.startswith("trial=")
                if lines >= stop_after - (0 if stop_after == 2 else 2):
                    time.sleep(0.3)
                    process.send_signal(how)
                    rest = process.stdout.read()
                    break
            process.wait(timeout=120)
        assert process.returncode == (-9 if how == signal.SIGKILL else 130)
        if how == signal.SIGINT:
            assert "run the same command again" in rest
            assert "Traceback" not in rest
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    report = json.loads(run("search.report", "--out", "run", "--json", cwd=tmp_path).stdout)
    counts = report["counts"]
    assert counts["trials"] == 10
    assert counts.get("complete", 0) + counts.get("stopped", 0) == 10, "a dead controller fails no trial"
    events = json.loads(run("search.status", "--out", "run", "--json", cwd=tmp_path).stdout)["events"]
    assert any(event["kind"] == "resume" for event in events)
