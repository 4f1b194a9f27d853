"""Scripts of docker/ and examples/: linted by shellcheck, and what those of the image do."""

import os
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.docker.services import ROOT

IMAGE = ROOT / "docker" / "image"
SCRIPTS = [
    file
    for folder in (ROOT / "docker", IMAGE, ROOT / "examples" / "slurm")
    for file in sorted(folder.iterdir())
    if file.is_file() and file.read_bytes().startswith((b"#!/bin/sh", b"#!/usr/bin/env bash"))
]


def script(name: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{IMAGE}:{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(
        [IMAGE / name, *words], capture_output=True, text=True, timeout=60,
        env={"PATH": path, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


def test_there_are_scripts() -> None:
    assert {"up", "entry", "health", "join-ray", "one-node.sbatch", "several-nodes.sbatch"} <= {
        file.name for file in SCRIPTS
    }


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_shellcheck_finds_nothing(file: Path) -> None:
    program = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([program, file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", [*IMAGE.iterdir(), ROOT / "docker" / "up"], ids=lambda file: file.name)
def test_scripts_of_the_image_can_be_run(file: Path) -> None:
    assert os.access(file, os.X_OK)


def test_the_password_comes_from_the_file_of_the_secret(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("p@ss: word\n")
    done = script("entry", "printenv", "PGPASSWORD", PGPASSWORD_FILE=str(secret))
    assert done.stdout == "p@ss: word\n"
    assert script("entry", "printenv", "PGPASSWORD").stdout == ""


def test_a_secret_that_is_missing_is_one_line(tmp_path: Path) -> None:
    done = script("entry", "true", PGPASSWORD_FILE=str(tmp_path / "none"))
    assert done.returncode == 2
    assert "PGPASSWORD_FILE must be a file" in done.stderr
    assert len(done.stderr.splitlines()) == 1


class Broken(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(500 if self.path == "/broken" else 200)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_health_is_whether_the_page_answers() -> None:
    server = HTTPServer(("127.0.0.1", 0), Broken)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        assert script("health", HEALTH=url).returncode == 0
        assert script("health", HEALTH=f"{url}/broken").returncode != 0
    finally:
        server.shutdown()
        server.server_close()
    assert script("health", HEALTH=url).returncode != 0


def test_the_report_page_says_that_there_is_no_run_yet(tmp_path: Path) -> None:
    environment = {"RUN": str(tmp_path / "none"), "STORAGE": "sqlite://", "PORT": "0", "PATH": os.environ["PATH"]}
    with subprocess.Popen(
        [sys.executable, IMAGE / "report-page"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().split()[-1]
            with urllib.request.urlopen(url, timeout=30) as answer:
                page = answer.read().decode()
        finally:
            process.terminate()
    assert "No run yet" in page and "run --rm search" in page
