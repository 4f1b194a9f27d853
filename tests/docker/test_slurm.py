"""examples/slurm/: the batch scripts run with stand-ins for srun and scontrol, and a real search in them."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from search.analysis.run_status import run_status
from search.run import app as run
from search.storage.find_run import open_results
from tests.command import call
from tests.docker.services import ROOT

SCRIPTS = sorted((ROOT / "examples" / "slurm").glob("*.sbatch"))
SMALL = (
    "--budget=4", "--strategy=random", "--space=blocks", "--rungs=0:16,1:all", "--max-train=16", "--max-tune=16",
    "--max-eval=32", "--final-seeds=1",
)  # fmt: skip
PROGRAMS = {
    # Runs its command once on this machine, without srun's own options.
    "srun": 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"',
    # Names this machine as the first node, and keeps what is requeued.
    "scontrol": 'if [ "$1" = show ]; then echo "$HOST_ADDRESS"; echo other; else echo "$@" >> requeued; fi',
}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.stem)
def test_jobs_are_requeued_and_warned(script: Path) -> None:
    options = re.findall(r"^#SBATCH (--\S+)", script.read_text(), re.MULTILINE)
    assert {"--requeue", "--signal=B:TERM@120", "--open-mode=append"} <= set(options)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.stem)
def test_the_search_takes_its_options(script: Path, tmp_path: Path) -> None:
    (words,) = re.findall(r"^skipsearch run (.*) \"\$@\" &$", script.read_text(), re.MULTILINE)
    options = [word for word in words.split() if word.startswith("--")]
    values = {"--ray-address": "127.0.0.1:6379", "--workers": "2", "--threads": "1", "--out": str(tmp_path / "run")}
    given = [word for option in options for word in (option, values[option])]
    done = call(run, *given, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def address() -> str:
    """Return the address of this machine that other machines would use, as Ray finds it; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("8.8.8.8", 1))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def job(script: str, folder: Path, cpus: int, *words: str) -> "subprocess.Popen[bytes]":
    """Start a batch script as Slurm would on the first of two nodes; its output goes to the file `output`."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    for name, body in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/bash\n{body}\n")
        (programs / name).chmod(0o755)
    environment = {
        **os.environ, "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "HOST_ADDRESS": address(), "OUT": str(folder / "run"),
        "SLURM_CPUS_PER_TASK": str(cpus), "SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
    }  # fmt: skip
    with (folder / "output").open("ab") as output:
        return subprocess.Popen(
            ["bash", ROOT / "examples" / "slurm" / script, *words],
            cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip


def ended_trials(folder: Path) -> int:
    return sum(line.startswith("trial=") for line in (folder / "output").read_text().splitlines())


def wait_for_a_trial(folder: Path, process: "subprocess.Popen[bytes]", seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not ended_trials(folder):
        assert process.poll() is None and time.monotonic() < end, (folder / "output").read_text()
        time.sleep(0.2)


@pytest.fixture
def no_ray_left() -> Iterator[None]:
    """Check that a job leaves no process of its Ray."""
    yield
    port = 20000 + os.getpid() % 20000
    end = time.monotonic() + 60
    while left := [p for p in psutil.process_iter(["cmdline"]) if f":{port}" in " ".join(p.info["cmdline"] or ())]:
        if time.monotonic() > end:
            for process in left:
                process.kill()
            pytest.fail(f"still running: {left}")
        time.sleep(1)


@pytest.mark.slow
@pytest.mark.machines
def test_a_preempted_job_is_requeued_and_goes_on(tmp_path: Path) -> None:
    first = job("one-node.sbatch", tmp_path, 1, *SMALL)
    wait_for_a_trial(tmp_path, first)
    first.send_signal(signal.SIGTERM)  # to the script only, as --signal=B:TERM does
    assert first.wait(120) == 143
    assert (tmp_path / "requeued").read_text().split() == ["requeue", str(os.getpid())]
    before = ended_trials(tmp_path)
    assert before < 4, "stopped in the middle"

    second = job("one-node.sbatch", tmp_path, 1, *SMALL)
    assert second.wait(400) == 0, (tmp_path / "output").read_text()
    assert ended_trials(tmp_path) == 4, "what had ended was not run again"
    assert len((tmp_path / "requeued").read_text().splitlines()) == 1, "a job that is done is not requeued"


@pytest.mark.slow
@pytest.mark.machines
def test_a_search_on_two_nodes(tmp_path: Path, no_ray_left: None) -> None:
    process = job("several-nodes.sbatch", tmp_path, 1, *SMALL)
    assert process.wait(500) == 0, (tmp_path / "output").read_text()
    state = run_status(open_results(tmp_path / "run", None), is_running=False)
    assert (state["phase"], state["ended"]) == ("finished", 4)
    assert not (tmp_path / "requeued").exists()
