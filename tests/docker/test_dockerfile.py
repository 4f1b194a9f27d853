"""docker/Dockerfile: linted, not root, and built from what is in the repository."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docker.services import ENTRYPOINT, HEALTHCHECK, ROOT

DOCKERFILE = ROOT / "docker" / "Dockerfile"


def lint(file: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("hadolint")
    return subprocess.run([program, str(file)], capture_output=True, text=True, timeout=60)


def test_hadolint_finds_nothing() -> None:
    done = lint(DOCKERFILE)
    assert done.returncode == 0, done.stdout


def test_a_mistake_is_found(tmp_path: Path) -> None:
    broken = tmp_path / "Dockerfile"
    broken.write_text(DOCKERFILE.read_text().replace('CMD ["skipsearch"', 'CMD skipsearch ["'))
    assert lint(broken).returncode != 0


def stages() -> list[list[str]]:
    """Return the instructions of each stage, continuation lines joined."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    starts = [number for number, line in enumerate(lines) if line.startswith("FROM")]
    return [lines[begin:end] for begin, end in zip(starts, [*starts[1:], None], strict=True)]


def test_the_image_does_not_run_as_root() -> None:
    last = stages()[-1]
    user = last.index("USER 1000:1000")
    assert not [line for line in last[user:] if line.startswith(("RUN", "COPY"))]


def test_every_stage_has_the_base_of_the_build_argument() -> None:
    assert [stage[0] for stage in stages()] == [
        "FROM ${BASE} AS dependencies",
        "FROM dependencies AS project",
        "FROM ${BASE}",
    ]


def test_entry_point_and_health_check_are_those_that_the_tests_run() -> None:
    last = " ".join(stages()[-1])
    assert f'ENTRYPOINT ["{ENTRYPOINT[0]}"]' in last
    assert f'CMD ["{HEALTHCHECK[0]}"]' in last


def test_the_context_holds_what_is_copied_and_little_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert "*" in lines
    assert all((ROOT / name).exists() for name in kept)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.removesuffix("*") for name in packages} <= set(kept)
    copied = {word for word in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE.read_text(), re.M)}
    assert copied == {"pyproject.toml constraints.txt", ".", "docker/image/"}


def test_extras_of_the_image_are_those_of_users() -> None:
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    (installed,) = re.findall(r"'\.\[([\w,]+)\]'", DOCKERFILE.read_text())
    assert set(installed.split(",")) <= extras
    assert not {"test", "docs"} & set(installed.split(","))


def test_the_source_knows_its_commit_outside_of_the_repository(tmp_path: Path) -> None:
    shutil.copy(ROOT / "workers" / "software.py", tmp_path)
    for commit in ("0123abc", ""):
        done = subprocess.run(
            [sys.executable, "-c", "import software; print(software.commit())"], cwd=tmp_path, timeout=60,
            env={"SKIPSEARCH_COMMIT": commit, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == (commit or "None")


@pytest.mark.skipif(shutil.which("buildah") is None, reason="needs buildah")
def test_buildah_reads_it(tmp_path: Path) -> None:
    """A base that does not exist ends the build at its first step, after the whole file was parsed."""
    words = [
        "buildah",
        "bud",
        "--pull-never",
        "--build-arg",
        "BASE=localhost/none",
        "-f",
        str(DOCKERFILE),
        str(tmp_path),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert "localhost/none" in done.stderr
    assert "parse" not in done.stderr
