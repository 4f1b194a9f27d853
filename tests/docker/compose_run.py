"""What `docker compose up` and `docker compose run` do with the services of compose.yaml, without Docker."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.docker.services import Service, in_order

HEALTHY_WITHIN = 300
"""Seconds until a service that was started must be healthy."""


class Place(Protocol):
    """Where services run."""

    def command(self, service: Service, number: int, words: Sequence[str]) -> tuple[list[str], dict[str, str] | None]:
        """Return the words and the environment of a process that runs `words` in replica `number` of a service."""
        ...


class ComposeRun:
    """Services as processes. Use as a context manager: what still runs at the end is ended."""

    def __init__(self, services: Mapping[str, Service], place: Place, logs: Path) -> None:
        self._services, self._place, self._logs = services, place, logs
        self._running: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        self.order: list[str] = []
        """Services in the order in which they became healthy."""

    def __enter__(self) -> "ComposeRun":
        return self

    def __exit__(self, *_: object) -> None:
        end(list(self._running.values()))

    def up(self) -> None:
        """Start every service that is not on demand, each once all those it depends on are healthy."""
        wanted = [service.name for service in self._services.values() if not service.on_demand]
        for service in in_order(self._services, wanted):
            if service.name != "database":  # not of our image: the caller has started a server in its place
                for number in range(service.replicas):
                    self._start(service, number)
            for number in range(service.replicas):
                self._wait(service, number)
            self.order.append(service.name)

    def run(self, name: str, *words: str, timeout: float) -> subprocess.CompletedProcess[str]:
        """Run a service on demand to its end; `words`, if there are any, replace its command."""
        service = self._services[name]
        own = len(service.command) - len(service.default_words)
        return self._call(service, 0, (*service.command[:own], *(words or service.default_words)), timeout)

    def execute(self, name: str, *words: str, timeout: float) -> subprocess.CompletedProcess[str]:
        """Run words in a service, as `docker compose exec` does."""
        return self._call(self._services[name], 0, words, timeout)

    def wait(self, name: str) -> None:
        """Wait until a service is healthy."""
        self._wait(self._services[name], 0)

    def _start(self, service: Service, number: int) -> None:
        words, environment = self._place.command(service, number, service.command)
        with (self._logs / f"{service.name}-{number}.log").open("ab") as log:
            self._running[service.name, number] = subprocess.Popen(
                words, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def _wait(self, service: Service, number: int) -> None:
        """Wait until a replica is healthy, and start it again where it ends, as `restart: unless-stopped` says."""
        end_of_patience = time.monotonic() + HEALTHY_WITHIN
        while (check := self._call(service, number, service.health, 60)).returncode:
            process = self._running.get((service.name, number))
            if time.monotonic() > end_of_patience:
                raise TimeoutError(f"{service.name} is not healthy: {check.stdout} {self._log(service, number)}")
            if process is not None and process.poll() is not None:
                self._start(service, number)
            time.sleep(1)

    def _log(self, service: Service, number: int) -> str:
        file = self._logs / f"{service.name}-{number}.log"
        return file.read_text(errors="replace")[-2000:] if file.exists() else ""

    def _call(
        self, service: Service, number: int, command: Sequence[str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Return the exit code and all output of a command; not through a pipe, which a Ray node would hold open."""
        words, environment = self._place.command(service, number, command)
        with tempfile.TemporaryFile("w+") as output:
            with subprocess.Popen(
                words, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            ) as process:
                try:
                    process.wait(timeout)
                except subprocess.TimeoutExpired:
                    end([process])
            output.seek(0)
            return subprocess.CompletedProcess(words, process.returncode, output.read())


def end(processes: "Sequence[subprocess.Popen[bytes]]") -> None:
    """End processes and their groups: SIGTERM, as Docker does, and SIGKILL ten seconds later."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = [process for process in processes if process.poll() is None]
        for process in left:
            os.killpg(process.pid, number)
        until = time.monotonic() + 10
        for process in left:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, until - time.monotonic()))
