"""A command called inside the test's process: a process of its own would import everything once more."""

import contextlib
import signal
import subprocess
from pathlib import Path

import typer
from typer.testing import CliRunner


def call(
    app: typer.Typer, *words: str | Path, cwd: Path | str = ".", text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Return what the command printed and its exit code, as `subprocess.run` does. Raises what it raises."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.chdir(cwd):
            done = CliRunner().invoke(app, [*map(str, words)], input=text, catch_exceptions=False)
    finally:
        signal.signal(signal.SIGTERM, handler)
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)
