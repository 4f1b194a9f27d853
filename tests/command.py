"""Calls a command inside the test's process, which saves the imports of a new process."""

import contextlib
import signal
import subprocess
from pathlib import Path

import typer
from typer.testing import CliRunner


def call(
    app: typer.Typer, *words: str | Path, cwd: Path | str = ".", text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command and return its output and exit code, as `subprocess.run` does; its exceptions are not caught."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.chdir(cwd):
            done = CliRunner().invoke(app, [*map(str, words)], input=text, catch_exceptions=False)
    finally:
        signal.signal(signal.SIGTERM, handler)
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)
