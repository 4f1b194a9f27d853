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

# Ray reads these when it is imported. Output, loggers and Ctrl-C are handled here instead of by Ray. The two time-outs
# are raised from one minute: `Head` ends the process first if the head is gone, with a message, which Ray would not
# print; and on a busy machine a worker takes longer than a minute to start, which Ray would kill and start again.
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
from workers.machine_failures import MachineFailure  # noqa: E402

OBJECT_STORE_BYTES = 80 * 2**20
"""Shared memory of a local Ray in bytes. Only JSON is exchanged, so it is close to Ray's minimum of 75 MiB."""
CHECK_SECONDS, MISSED_CHECKS = 2.0, 5
"""Seconds between two checks of the cluster's head, and number of successive failed checks after which it is gone."""
SHOW_CURSOR = "\x1b[?25h"
"""Terminal escape sequence that shows the cursor again, which a progress bar hides."""


class Nodes:
    """Tracks which machines of the cluster are gone, to distinguish a lost machine from a worker that died."""

    def __init__(self) -> None:
        self._gone: dict[str, float] = dict.fromkeys(self._dead(), -math.inf)
        """Id of each dead machine -> time (`time.monotonic`) at which its death was noticed."""

    def lost_since(self, begin: float) -> bool:
        """Return True if a machine has gone since `begin`, a time of `time.monotonic`."""
        for node in self._dead():
            self._gone.setdefault(node, time.monotonic())
        return any(when >= begin for when in self._gone.values())

    def _dead(self) -> list[str]:
        return [node["NodeID"] for node in ray.nodes() if not node["Alive"]]


class Head:
    """The head of the cluster that this process is connected to, watched by a thread.

    If the head is gone, all calls of Ray block, including those that close the connection, until Ray ends the process
    after some minutes. The thread therefore prints one line and ends the process itself; the database is consistent at
    any time.
    """

    def __init__(self, address: str, clean_up: Callable[[], None]) -> None:
        """Start watching.

        Args:
            address: HOST:PORT or ray://HOST:PORT of the head.
            clean_up: called before the process is ended.
        """
        host, _, port = address.removeprefix("ray://").rpartition(":")
        self._address, self._clean_up = (host.strip("[]"), int(port)), clean_up
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="ray-head")
        self._thread.start()

    def close(self) -> None:
        """Stop watching and wait for the thread to end."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        missed = 0
        while not self._stop.wait(CHECK_SECONDS):
            try:
                socket.create_connection(self._address, timeout=CHECK_SECONDS).close()
                missed = 0
            except OSError as error:
                missed += error.errno not in (errno.EMFILE, errno.ENFILE)  # this process has too many open files
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

    A local Ray listens on the loopback interface only. It leaves no process behind, and only one file: `ray/ray.log` in
    the run's folder, with the output of Ray.

    Raises:
        SettingsError: the cluster can't be reached, or no machine of it is large enough for a trial.
        MachineFailure: Ray can't be started on this machine.
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
    """End the remaining processes of a local Ray and remove its temporary folder."""
    if temporary is None:
        return
    left = [child for child in psutil.Process().children(recursive=True) if _names(child, temporary)]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=10)
    shutil.rmtree(temporary, ignore_errors=True)


def _names(process: psutil.Process, folder: Path) -> bool:
    """Return True if the command of a process, or of its parent, names the folder."""
    try:
        commands = [" ".join(each.cmdline()) for each in (process, process.parent()) if each is not None]
    except psutil.NoSuchProcess:
        return False
    return any(str(folder) in command for command in commands)


def _connect(settings: Settings, temporary: Path | None) -> None:
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    address = settings.ray_address
    if address is None:
        # `local` starts a new Ray even if RAY_ADDRESS is set or a cluster runs on this machine
        address = "local"
        options |= {
            "num_cpus": settings.num_workers * settings.cpus_per_trial,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_temp_dir": str(temporary),
        }
    try:
        ray.init(address=address, **options)
    except Exception as error:  # Ray raises a plain Exception if one of its processes does not start in time
        reason = str(error).splitlines()[0]
        if settings.ray_address is None:
            ray.shutdown()
            raise MachineFailure(f"Ray can't be started on this machine ({reason})") from None
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
    """Raise SettingsError if no machine of the cluster can run a trial."""
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


def num_places(settings: Settings) -> int:
    """Return the number of workers that the connected cluster has room for at a time."""
    resources = ray.cluster_resources()
    places = int(resources.get("CPU", 0.0) // settings.cpus_per_trial)
    gpus = settings.gpus_of_a_trial
    if gpus:
        num_gpus = int(resources.get("GPU", 0.0))
        places = min(places, num_gpus * int(1 / gpus + 1e-9) if gpus <= 1 else int(num_gpus // gpus))
    return max(1, places)


@contextmanager
def _native_stderr_to(file: Path) -> Iterator[None]:
    """Redirect file descriptor 2 and Ray's logger to a file inside the `with` block; `sys.stderr` is not redirected."""
    sys.stderr.flush()
    before, terminal = os.dup(2), sys.stderr
    try:
        has_descriptor = terminal.fileno() == 2
    except (OSError, ValueError):  # replaced by an object that is no file, as under pytest
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
