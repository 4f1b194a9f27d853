"""Starts Ray on this machine or joins a cluster, watches its head, and keeps Ray's own lines in a file."""

import errno
import logging
import math
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

# Read by Ray when it is imported: plain output, no loggers nobody asked for, our own Ctrl-C. The driver ends a search
# itself when the head of the cluster is gone; Ray would end the process without a word after a minute. A worker needs
# more than a minute to start on a busy machine; Ray would end it and start another.
for _variable, _value in {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "300",
    "RAY_worker_register_timeout_seconds": "600",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
}.items():
    os.environ.setdefault(_variable, _value)

import ray  # noqa: E402
from ray._private import ray_constants  # noqa: E402

from search.dispatch.exit_codes import TRY_AGAIN  # noqa: E402
from search.settings import Settings, SettingsError  # noqa: E402
from workers.surroundings import SurroundingsError  # noqa: E402

OBJECT_STORE_BYTES = 80 * 2**20
"""Shared memory of a local Ray; what travels is JSON. Ray's smallest is 75 MiB."""
CHECK_SECONDS, MISSED_CHECKS = 2.0, 5
"""Seconds between two looks at the head of the cluster, and how many in a row it may miss."""
SHOW_CURSOR = "\x1b[?25h"
"""Escape sequence for a terminal whose cursor a progress bar has hidden."""


class Nodes:
    """The machines of the cluster: tells a worker that died from one whose machine is gone."""

    def __init__(self) -> None:
        self._gone: dict[str, float] = dict.fromkeys(self._dead(), -math.inf)
        """When every dead machine was seen dead."""

    def lost_since(self, begin: float) -> bool:
        """Return True if a machine has gone since `begin`, a time of `time.monotonic`."""
        for node in self._dead():
            self._gone.setdefault(node, time.monotonic())
        return any(when >= begin for when in self._gone.values())

    def _dead(self) -> list[str]:
        return [node["NodeID"] for node in ray.nodes() if not node["Alive"]]


class Head:
    """The head of the cluster that this process is connected to, watched by a thread.

    Ray's calls wait for a head that is gone, also those that would end the connection, and after some minutes Ray ends
    the process. So the thread ends it at once, with one line: what was stored is whole at any moment.
    """

    def __init__(self, address: str, clean_up: Callable[[], None]) -> None:
        """Watch the head.

        Args:
            address: HOST:PORT that it listens on.
            clean_up: called before the process is ended.
        """
        host, _, port = address.removeprefix("ray://").rpartition(":")
        self._address, self._clean_up = (host.strip("[]"), int(port)), clean_up
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="ray-head")
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        missed = 0
        while not self._stop.wait(CHECK_SECONDS):
            try:
                socket.create_connection(self._address, timeout=CHECK_SECONDS).close()
                missed = 0
            except OSError as error:
                missed += error.errno not in (errno.EMFILE, errno.ENFILE)  # those are of this process
            if missed == MISSED_CHECKS and not self._stop.is_set():
                self._end()

    def _end(self) -> None:
        where = ":".join(map(str, self._address))
        line = f"stopped: the head of the Ray cluster is gone ({where}); no trial was lost, the same command goes on"
        print(f"\n{SHOW_CURSOR if sys.stdout.isatty() else ''}{line}", flush=True)
        self._clean_up()
        os._exit(TRY_AGAIN)


@contextmanager
def ray_cluster(settings: Settings) -> Iterator[None]:
    """Join the cluster of `--ray-address`, or run Ray on this machine with one slot per worker, inside the `with`.

    A local Ray listens on loopback only and leaves nothing behind: no process, and no file but `ray/ray.log` in the
    run's folder, which holds what Ray prints.

    Raises:
        SettingsError: where the cluster can't be reached or has no machine that is large enough for a trial.
    """
    log = settings.run_folder / "ray" / "ray.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix="skipsearch-ray-")) if settings.ray_address is None else None
    with _native_stderr_to(log), _interfaces(every=settings.ray_address is not None):
        try:
            _connect(settings, temporary)
            _check_resources(settings)
            address = settings.ray_address or ""
            head = Head(
                address if address.startswith("ray://") else ray.get_runtime_context().gcs_address,
                partial(_end_processes, temporary),
            )
            try:
                yield
            finally:
                head.close()
        finally:
            ray.shutdown()
            _end_processes(temporary)


def _end_processes(temporary: Path | None) -> None:
    """End what is left of a local Ray, and remove its files."""
    if temporary is None:
        return
    left = [child for child in psutil.Process().children(recursive=True) if _names(child, temporary)]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=10)
    shutil.rmtree(temporary, ignore_errors=True)


def _names(process: psutil.Process, folder: Path) -> bool:
    """Return True if a process was started with the folder in its command, or by one that was."""
    try:
        commands = [" ".join(each.cmdline()) for each in (process, process.parent()) if each is not None]
    except psutil.NoSuchProcess:
        return False
    return any(str(folder) in command for command in commands)


def _connect(settings: Settings, temporary: Path | None) -> None:
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    address = settings.ray_address
    if address is None:
        # `local` starts a Ray of its own where RAY_ADDRESS is set or a cluster runs on this machine as well
        address = "local"
        options |= {
            "num_cpus": settings.workers * settings.cpus_per_trial,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_temp_dir": str(temporary),
        }
    try:
        ray.init(address=address, **options)
    except Exception as error:  # Ray raises Exception itself where a process of its own does not start in time
        reason = str(error).splitlines()[0]
        if settings.ray_address is None:
            ray.shutdown()
            raise SurroundingsError(f"Ray can't be started on this machine ({reason})") from None
        raise SettingsError(f"--ray-address must be a running cluster, got {address} ({reason})") from None


@contextmanager
def _interfaces(every: bool) -> Iterator[None]:
    """Let Ray listen on loopback only, or on every interface; as before afterwards.

    Ray has no option for it: without clusters it listens on loopback, and it replaces an address of loopback that it is
    given. A cluster that this process starts later must not find the setting of this search.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = every
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _check_resources(settings: Settings) -> None:
    """Check that some machine of the cluster can run one trial."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for option, needed, kind in (
        ("--gpus-per-trial", settings.gpus_of_a_trial, "GPU"),
        ("--cpus-per-trial", settings.cpus_per_trial, "CPU"),
    ):
        largest = max((machine.get(kind, 0.0) for machine in machines), default=0.0)
        if needed > largest:
            raise SettingsError(
                f"{option} must fit a machine of the cluster, got {needed:g}, the largest has {largest:g} {kind}s"
            )


@contextmanager
def _native_stderr_to(file: Path) -> Iterator[None]:
    """Send what libraries write to the file descriptor of stderr to a file; Python's own stderr stays what it is."""
    sys.stderr.flush()
    before, terminal = os.dup(2), sys.stderr
    try:
        has_descriptor = terminal.fileno() == 2
    except (OSError, ValueError):  # replaced by something that is no file, as under pytest
        has_descriptor = False
    with file.open("ab", buffering=0) as log, os.fdopen(os.dup(before), "w", buffering=1) as copy:
        handler = logging.StreamHandler(log_text := open(os.dup(log.fileno()), "a", buffering=1))  # noqa: SIM115
        logger = logging.getLogger("ray")
        kept, logger.handlers, logger.propagate = logger.handlers, [handler], False
        if has_descriptor:
            sys.stderr = copy
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            sys.stderr, logger.handlers = terminal, kept
            log_text.close()
