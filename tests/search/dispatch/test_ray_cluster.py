"""Ray itself: where it listens, what it leaves behind, a head that is killed, machines that come and go."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from search.dispatch.in_process import run_here
from search.dispatch.ray_actor import TrialActor
from search.dispatch.ray_tune import run_on_ray
from search.dispatch.whole_search import WholeSearch
from search.settings import Settings
from tests.search.loop.test_controller import records_of
from tests.search.pretend import PretendWorker, problem_of, settings_in
from workers.reports import RungReport
from workers.requests import TrialRequest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.machines,
    pytest.mark.timeout(1200),
]  # on a busy machine Ray starts in minutes


WAIT_FROM = 40
"""Trial from which on all wait until as many machines have begun one as MACHINES says."""


class Marking(PretendWorker):
    """Notes the machine, the process and the trial of every run in a file."""

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        marks = Path(os.environ["MARKS"])
        with marks.open("a") as file:
            file.write(f"{ray.get_runtime_context().get_node_id()} {os.getpid()} {request.number}\n")
        while (request.number or 0) >= WAIT_FROM and len(machines_in(marks)) < int(os.environ.get("MACHINES", "1")):
            time.sleep(0.1)
        yield from super().rungs(request)


def machines_in(marks: Path) -> Counter[str]:
    """Number of runs per machine."""
    return Counter(line.split()[0] for line in marks.read_text().splitlines())


class MarkingActor(TrialActor):
    def make_worker(self) -> Any:
        return Marking(0.3)


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MARKS", str(tmp_path / "marks"))
    (tmp_path / "marks").touch()
    return tmp_path / "marks"


def settings_of(folder: Path) -> Settings:
    return settings_in(folder, budget=12, strategy="random", workers=2, final_seeds=1)


def search(settings: Settings) -> int:
    def run(controller: Any, progress: Any) -> None:
        run_on_ray(settings, controller, progress, MarkingActor)

    return WholeSearch(settings, problem_of(settings), run).run()


def once(marks: Path, trials: int, act: Callable[[], None]) -> threading.Thread:
    """Act in the background once so many trials have begun."""

    def wait() -> None:
        while len(marks.read_text().splitlines()) < trials:
            time.sleep(0.1)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def ray_processes(pid: int | None = None) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children(recursive=True) if "ray" in " ".join(child.cmdline())]


def check_every_trial_once(settings: Settings) -> None:
    records = records_of(settings)
    assert [record.trial.number for record in records] == list(range(settings.budget))
    assert len({record.trial.digest for record in records}) == settings.budget
    assert {record.trial.state for record in records} <= {"complete", "stopped"}


def test_a_local_ray_listens_on_loopback_only_and_leaves_nothing(
    tmp_path: Path, marks: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """RAY_ADDRESS names a cluster that is not there: two workers on this machine do not need it."""
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:6379")
    before = set(Path("/tmp").glob("skipsearch-ray-*"))
    open_to_all: set[str] = set()

    def look() -> None:
        for process in [psutil.Process(), *ray_processes()]:
            for found in process.net_connections("inet"):
                if found.status == psutil.CONN_LISTEN and found.laddr.ip.removeprefix("::ffff:") not in (
                    "127.0.0.1",
                    "::1",
                ):
                    open_to_all.add(f"{' '.join(process.cmdline())[:80]} {found.laddr}")

    settings = settings_of(tmp_path / "run")
    watch = once(marks, 8, look)
    assert search(settings) == 0
    watch.join()
    assert not open_to_all
    assert not ray_processes()
    assert set(Path("/tmp").glob("skipsearch-ray-*")) == before
    printed = capfd.readouterr()
    assert not printed.err and "raylet" not in printed.out
    processes = {line.split()[1] for line in marks.read_text().splitlines()}
    assert len(processes) == 2, "every worker keeps its model: none is started for a second trial"
    check_every_trial_once(settings)


def test_a_head_that_is_killed_is_one_line_and_the_same_command_goes_on(tmp_path: Path, marks: Path) -> None:
    command = [sys.executable, "-m", "tests.search.dispatch.test_ray_cluster", str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:

        def kill() -> None:
            children = ray_processes(process.pid)
            (head,) = [child for child in children if child.name() == "gcs_server"]
            head.kill()
            left.extend(children)

        left: list[psutil.Process] = []
        once(marks, 6, kill)
        out, err = process.communicate(timeout=600)
    assert process.returncode == 75, out + err
    (line,) = [line for line in out.splitlines() if line.startswith("stopped:")]
    assert "the head of the Ray cluster is gone" in line and "the same command goes on" in line
    assert not err and "Traceback" not in out
    assert not psutil.wait_procs(left, timeout=20)[1], "nothing of Ray is left"
    settings = settings_of(tmp_path / "run").model_copy(update={"workers": 1})
    worker: Any = PretendWorker()
    here = WholeSearch(settings, problem_of(settings), lambda control, progress: run_here(control, progress, worker))
    assert here.run() == 0
    check_every_trial_once(settings)


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MACHINES", "3")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two machines of one CPU each: raylets of their own on this machine."""
    options = {
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 3,
        "worker_register_timeout_seconds": 600,
    }
    machines = Cluster(
        initialize_head=True, shutdown_at_exit=False, head_node_args={"num_cpus": 1, "_system_config": options}
    )
    machines.add_node(num_cpus=1)
    yield machines
    machines.shutdown()


def test_all_machines_work_one_that_joins_too_and_one_that_goes_costs_its_trial_only(
    tmp_path: Path,
    marks: Path,
    machines: None,
    cluster: Cluster,
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings = settings_in(
        tmp_path / "run", budget=100, strategy="random", workers=3, final_seeds=1, ray_address=cluster.address
    )
    first = cluster.head_node.node_id
    (second,) = {node.node_id for node in cluster.list_all_nodes()} - {first}
    added: list[Any] = []
    once(marks, 20, lambda: added.append(cluster.add_node(num_cpus=1)))
    goes = next(node for node in cluster.list_all_nodes() if node.node_id == second)
    once(marks, 70, lambda: cluster.remove_node(goes, allow_graceful=False))
    assert search(settings) == 0
    runs = machines_in(marks)
    assert set(runs) == {first, second, added[0].node_id}
    assert min(runs.values()) >= 10, runs
    repeated = [record.trial.number for record in records_of(settings) if record.trial.attempt > 1]
    lost = [line for line in capfd.readouterr().out.splitlines() if " lost (its machine is gone" in line]
    assert len(lost) <= 1 and not repeated, "it is not the trial's fault"
    check_every_trial_once(settings)


class NamesGpu(Marking):
    """Notes the GPUs that its process may use, and how many runs go on at the same time."""

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        marks = Path(os.environ["MARKS"])
        with (marks.parent / "gpus").open("a") as file:
            file.write(f"{os.environ['CUDA_VISIBLE_DEVICES']} {os.getpid()}\n")
        yield from super().rungs(request)


class GpuActor(TrialActor):
    def make_worker(self) -> Any:
        return NamesGpu(0.3)


def test_two_trials_share_a_gpu(tmp_path: Path, marks: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The machine says that it has one GPU: Ray hands it out in shares, whatever is behind it."""
    machines = Cluster(initialize_head=True, shutdown_at_exit=False, head_node_args={"num_cpus": 2, "num_gpus": 1})
    try:
        settings = settings_of(tmp_path / "run").model_copy(
            update={"ray_address": machines.address, "trials_per_gpu": 2}
        )

        def run(controller: Any, progress: Any) -> None:
            run_on_ray(settings, controller, progress, GpuActor)

        assert WholeSearch(settings, problem_of(settings), run).run() == 0, capfd.readouterr().out
    finally:
        machines.shutdown()
    seen = [line.split() for line in (tmp_path / "gpus").read_text().splitlines()]
    assert {gpu for gpu, _ in seen} == {"0"}, "both workers use the one GPU"
    assert len({process for _, process in seen}) >= 2, "a process per trial at the same time"
    check_every_trial_once(settings)


def test_a_cluster_by_its_client_port(tmp_path: Path, marks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller is no machine of the cluster: it reaches it by ray://HOST:PORT."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))  # workers import this module, by its name
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    machines = Cluster(
        initialize_head=True, shutdown_at_exit=False, head_node_args={"num_cpus": 2, "ray_client_server_port": port}
    )
    head = machines.head_node.node_id
    try:
        command = [sys.executable, "-m", "tests.search.dispatch.test_ray_cluster", str(tmp_path / "run")]
        environment = {**os.environ, "ADDRESS": f"ray://127.0.0.1:{port}"}
        done = subprocess.run(command, env=environment, timeout=600, capture_output=True, text=True)
    finally:
        machines.shutdown()
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(machines_in(marks)) == {head}
    check_every_trial_once(settings_of(tmp_path / "run"))


if __name__ == "__main__":
    address = os.environ.get("ADDRESS")
    sys.exit(search(settings_of(Path(sys.argv[1])).model_copy(update={"ray_address": address})))
