"""What Compose runs, run outside of a container: a real PostgreSQL, a Ray head, two workers, a search, the pages."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.docker.compose_run import ComposeRun
from tests.docker.postgres import postgres
from tests.docker.services import ROOT, Service, read_services
from tests.search.storage.postgres_server import programs

pytestmark = [pytest.mark.slow, pytest.mark.machines, pytest.mark.timeout(1500)]

SMALL = (
    "--budget=6", "--strategy=random", "--space=blocks", "--rungs=0:16,1:all", "--threads=1", "--max-train=16",
    "--max-tune=16", "--max-eval=32", "--final-seeds=1",
)  # fmt: skip
PASSWORD = "p@ss:w/rd"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ThisMachine:
    """Runs services as processes of this machine; `folder` is for what each container has of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def command(self, service: Service, number: int, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        path = f"{ROOT / 'docker' / 'image'}:{Path(sys.executable).parent}:{programs()}:{os.environ['PATH']}"
        image = {
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "RAY_USAGE_STATS_ENABLED": "0",
            "WAITING": str(self._folder / f"{service.name}-waiting"),
        }
        return list(words), {**os.environ, **image, **service.environment}


def end_ray(port: int) -> None:
    """End what `ray start` left of the cluster on a port: in a container it ends with the container."""
    for process in psutil.process_iter(["cmdline"]):
        if any(f"127.0.0.1:{port}" in word for word in process.info["cmdline"] or ()):
            process.kill()


@pytest.fixture
def compose(tmp_path: Path) -> Iterator[tuple[ComposeRun, dict[str, Service]]]:
    if programs() is None:
        pytest.skip("needs PostgreSQL's initdb and pg_ctl: apt-get install postgresql")
    ray, database, dashboard, report = (free_port() for _ in range(4))
    (tmp_path / "postgres_password").write_text(PASSWORD)
    here = {
        "ray-head:6379": f"127.0.0.1:{ray}", "--port=6379": f"--port={ray}", "@database/": f"@127.0.0.1:{database}/",
        "8080": str(dashboard), "8000": str(report), "/runs": str(tmp_path / "runs"), "/run/secrets": str(tmp_path),
    }  # fmt: skip
    services = {name: service.replaced(here) for name, service in read_services().items()}
    services["database"] = replace(services["database"], environment={"PGPORT": str(database)})
    with postgres("skipsearch", PASSWORD, "127.0.0.1", database):
        try:
            with ComposeRun(services, ThisMachine(tmp_path), tmp_path) as run:
                yield run, services
        finally:
            end_ray(ray)


def test_up_then_search(compose: tuple[ComposeRun, dict[str, Service]], tmp_path: Path) -> None:
    run, services = compose
    run.up()
    assert run.order.index("database") < run.order.index("dashboard")
    assert run.order.index("ray-head") < run.order.index("worker")
    report = services["report"].environment["HEALTH"]
    assert "No run yet" in page(report)

    done = run.run("search", *SMALL, timeout=600)
    assert done.returncode == 0, done.stdout
    assert sum(line.startswith("trial=") for line in done.stdout.splitlines()) == 6
    assert PASSWORD not in done.stdout

    found = status(services["dashboard"], tmp_path)
    assert (found["phase"], found["ended"]) == ("finished", 6)
    run.wait("dashboard")
    studies = json.loads(page(services["dashboard"].environment["HEALTH"] + "api/studies"))["study_summaries"]
    assert len(studies) == 1
    assert "FLOPs" in page(report)

    done = run.run("export", "--plan", "." * 12, f"--to={tmp_path}/model", "--questions=16", timeout=400)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "model" / "config.json").exists()


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())


def status(service: Service, folder: Path) -> dict[str, object]:
    """Return what `skipsearch status` says about the run of a service."""
    words = ["entry", "skipsearch", "status", "--out", service.environment["RUN"], "--json"]
    command, environment = ThisMachine(folder).command(
        service, 0, [*words, "--storage", service.environment["STORAGE"]]
    )
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return dict(json.loads(done.stdout))
