"""A throw-away PostgreSQL server that listens on TCP and wants a password, as that of Compose does."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.search.storage.postgres_server import programs

USER = "postgres"
"""User of the system that runs the server, which refuses to run as root."""


@contextmanager
def postgres(
    user: str = "postgres", password: str = "", address: str = "", port: int = 5432, within: Sequence[str] = ()
) -> Iterator[Path]:
    """Start a server and stop it at the end of the `with`; yield its folder, which holds its socket.

    Args:
        user: owner of the database, which has the same name.
        password: password of the user, required by TCP connections; "" trusts every connection.
        address: address to listen on; "" is the socket only.
        port: TCP port, and part of the socket's name.
        within: words before each command, such as `ip netns exec NAME`.
    """
    folder = Path(tempfile.mkdtemp(prefix="skipsearch-postgres-"))
    if os.getuid() == 0:
        shutil.chown(folder, USER, USER)
        within = [*within, "runuser", "-u", USER, "--"]

    def call(program: str, *words: str) -> None:
        command = [*within, str((programs() or Path()) / program), *words]
        subprocess.run(command, cwd=folder, check=True, timeout=120, stdout=subprocess.DEVNULL)

    (folder / "password").write_text(password or "none")
    auth = "scram-sha-256" if password else "trust"
    call("initdb", "-D", "data", "-U", user, "-A", "trust", f"--auth-host={auth}", "--pwfile=password", "--no-sync")
    with (folder / "data" / "pg_hba.conf").open("a") as file:
        file.write(f"host all all all {auth}\n")
    options = f"-c listen_addresses='{address}' -c port={port} -k {folder} -c fsync=off"
    call("pg_ctl", "-D", "data", "-w", "-t", "60", "-l", "log", "-o", options, "start")
    try:
        if user != "postgres":
            call("createdb", "-h", str(folder), "-p", str(port), "-U", user, user)
        yield folder
    finally:
        call("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)
