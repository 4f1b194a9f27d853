"""Determines the versions of the software behind a result. Imports no torch, since the controller stores them too."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("skipsearch", "torch", "transformers", "tokenizers", "numpy", "optuna", "ray", "SQLAlchemy", "datasets",
            "lmms_eval")  # fmt: skip
"""Packages whose versions are stored with results."""


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def commit() -> str | None:
    """Return the git commit of this source tree, followed by `-dirty` if it has changes.

    Outside a git repository, return the environment variable SKIPSEARCH_COMMIT, which docker/Dockerfile sets, or None.
    """
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("SKIPSEARCH_COMMIT") or None
