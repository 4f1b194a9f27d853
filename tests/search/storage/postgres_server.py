"""A PostgreSQL server of its own in a folder, for tests and benchmarks that kill and restart it."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psutil


def programs() -> Path | None:
    """Return the folder with the server's programs, from the path or from Debian's packages."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return found[-1] if found else None


class PostgresServer:
    """A throw-away server that listens on a socket in its own folder only. Use as a context manager."""

    def __init__(self, fsync: bool = False) -> None:
        """`fsync` keeps what was committed when the machine loses power, which no test needs."""
        found = programs()
        assert found is not None, "needs PostgreSQL's initdb and pg_ctl: apt-get install postgresql"
        self._programs = found
        self._folder = Path(tempfile.mkdtemp(prefix="skipsearch-postgres-"))
        # the server refuses to run as root
        self._user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
        self._options = f"-c listen_addresses='' -k {self._folder} -c fsync={'on' if fsync else 'off'}"

    def __enter__(self) -> "PostgresServer":
        if self._user:
            shutil.chown(self._folder, "postgres", "postgres")
        self._call("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "--no-sync")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.pid is not None:
            self.stop()
        shutil.rmtree(self._folder)

    @property
    def url(self) -> str:
        """Return the URL of the server's database."""
        return f"postgresql+psycopg://postgres@/postgres?host={self._folder}"

    @property
    def pid(self) -> int | None:
        """Return the process of the server, None while it does not run."""
        try:
            pid = int((self._folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        except (OSError, IndexError, ValueError):
            return None
        return pid if psutil.pid_exists(pid) else None

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        self._call("pg_ctl", "-D", "data", "-w", "-t", "120", "-l", "log", "-o", self._options, "start")

    def stop(self) -> None:
        """End all connections and stop the server without a checkpoint."""
        self._call("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")

    def kill(self) -> None:
        """End the server as `kill -9` does; its children notice and end too."""
        assert self.pid is not None
        process = psutil.Process(self.pid)
        children = process.children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        psutil.wait_procs([process, *children], timeout=60)
        (self._folder / "data" / "postmaster.pid").unlink()  # else the next start warns of it

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            cwd=self._folder, check=True, timeout=180, stdout=subprocess.DEVNULL, **self._user,
        )  # fmt: skip
