"""Build the image with buildah and run in it what Compose runs, in its order: `make docker-check`.

No Docker engine is needed, but root on Debian with buildah, podman, debootstrap, iproute2 and postgresql. PostgreSQL is
that of this machine, in place of the image `postgres`. BASE names another base than a Debian made by debootstrap.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import yaml

from tests.docker.compose_run import ComposeRun, end
from tests.docker.containers import Containers, run
from tests.docker.postgres import postgres
from tests.docker.services import ROOT, Service, read_services
from tests.search.storage.postgres_server import programs

PASSWORD = "p@ss:w/rd"
DEBIAN = "bookworm"
BUDGET = 20


def main() -> None:
    """Build, check the image, run the services, and print what passed."""
    os.environ.setdefault("BUILDAH_ISOLATION", "chroot")
    os.environ["PATH"] += f":{programs()}"
    with step("image"):
        image = build(os.environ.get("BASE") or debian())
    services = {name: replace(s, image=image) if s.name != "database" else s for name, s in read_services().items()}
    job = replace(
        services["search"],
        name="job",
        environment={"RAY_ADDRESS": "127.0.0.1:6379", "PGPASSWORD": PASSWORD},
        secrets=(),
    )
    with tempfile.TemporaryDirectory(prefix="skipsearch-check-") as name:
        folder = Path(name)
        volumes = files(folder)
        with (
            Containers(image, [*services.values(), job], volumes, folder / "hosts") as containers,
            postgres("skipsearch", PASSWORD, "*", 5432, containers.network("database-0")),
            ComposeRun(services, containers, folder) as compose,
        ):
            with step("contents"):
                check_contents(compose)
            with step("up"):
                compose.up()
            print(f"healthy, in this order: {', '.join(compose.order)}")
            with step(f"search of {BUDGET} trials"):
                check_search(compose)
            with step("dashboard and report"):
                check_pages(compose, services, containers)
            with step("export"):
                check_export(compose, folder / "runs")
            with step("Ray job of examples/kubernetes"):
                check_job(containers, job, folder)
    print(summary(image))


def debian() -> str:
    """Return an image of Debian with Python, made by debootstrap where there is none yet."""
    image = "localhost/skipsearch-base:latest"
    if subprocess.run(["buildah", "inspect", "--type=image", image], capture_output=True).returncode == 0:
        return image
    with tempfile.TemporaryDirectory() as name:
        run("debootstrap", "--variant=minbase", "--include=python3,python3-venv", DEBIAN, name)
        with subprocess.Popen(["tar", "-C", name, "-c", "."], stdout=subprocess.PIPE) as tar:
            run("podman", "import", "-", image, stdin=tar.stdout)
    return image


def build(base: str) -> str:
    """Build docker/Dockerfile and return the name of the image; pip is set up in it as it is on this machine."""
    image = "localhost/skipsearch:cpu"
    commit = run("git", "-C", ROOT, "rev-parse", "HEAD")
    commit += "-dirty" if run("git", "-C", ROOT, "status", "--porcelain") else ""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
        values = pip_settings()
        config.write("[global]\n" + "".join(f"{name} = {value}\n" for name, value in values.items()))
        config.flush()
        folders = local_folders(values.values())
        subprocess.run(
            ["buildah", "bud", "--layers", "--force-rm", "--format=docker",
             "--tag", image, "--file", ROOT / "docker" / "Dockerfile",
             "--build-arg", f"BASE={base}", "--build-arg", f"COMMIT={commit}",
             *(["--build-arg", "TORCH_INDEX="] if "find-links" in values else []),
             *(f"--volume={folder}:{folder}:ro" for folder in folders),
             "--secret", f"id=pip,src={config.name}", ROOT],
            check=True, stdout=sys.stderr,
        )  # fmt: skip
    return image


def pip_settings() -> dict[str, str]:
    """Return the settings of this machine's pip: `pip config list` prints `global.NAME='VALUE'`."""
    lines = run(sys.executable, "-m", "pip", "config", "list").splitlines()
    pairs = (line.partition("=")[::2] for line in lines)
    known = ("cert", "find-links", "index-url", "extra-index-url")
    return {key.split(".")[-1]: value.strip("'\"") for key, value in pairs if key.split(".")[-1] in known}


def local_folders(values: Iterable[str]) -> list[str]:
    """Return the folders of this machine that settings of pip name; an index refers to files beside its folder."""
    words = [word for value in values for word in value.split()]
    indexes = {Path(word.removeprefix("file://")).parent for word in words if word.startswith("file://")}
    paths = {Path(word) for word in words if word.startswith("/")}
    return sorted({str(path) for path in indexes} | {str(path if path.is_dir() else path.parent) for path in paths})


def files(folder: Path) -> dict[str, Path]:
    """Create the volumes and the secret, and return them by their path inside of the containers."""
    secret = folder / "postgres_password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    folder.chmod(0o755)
    volumes = {"/runs": folder / "runs", "/hub": folder / "hub"}
    for path in volumes.values():
        path.mkdir()
        os.chown(path, 1000, 1000)
    return {**volumes, "/run/secrets/postgres_password": secret}


def check_contents(compose: ComposeRun) -> None:
    """Check that the image does not run as root, has no test packages, and has its commit."""
    code = (
        "import importlib.util, os, torch, workers.software as software;"
        "tests = [n for n in ('pytest', 'hypothesis', 'mypy', 'mlx') if importlib.util.find_spec(n)];"
        "found = os.getuid(), tests, torch.__version__.partition('+')[2], bool(software.commit());"
        "assert found == (1000, [], 'cpu', True), found"
    )
    done = compose.execute("report", "python3", "-c", code, timeout=120)
    assert done.returncode == 0, done.stdout


def check_search(compose: ComposeRun) -> None:
    """Search, and check that every trial ended once and both workers were used."""
    done = compose.run("search", f"--budget={BUDGET}", "--final-seeds=1", timeout=1500)
    assert done.returncode == 0, done.stdout
    assert sum(line.startswith("trial=") for line in done.stdout.splitlines()) == BUDGET, done.stdout
    assert PASSWORD not in done.stdout
    status = json.loads(skipsearch(compose, "status"))
    assert (status["phase"], status["ended"]) == ("finished", BUDGET), status


def skipsearch(compose: ComposeRun, verb: str) -> str:
    """Return what a command says about the run as JSON."""
    words = 'entry skipsearch "$0" --json --out "$RUN" --storage "$STORAGE"'
    done = compose.execute("report", "sh", "-c", words, verb, timeout=120)
    assert done.returncode == 0, done.stdout
    return done.stdout


def check_pages(compose: ComposeRun, services: dict[str, Service], containers: Containers) -> None:
    """Check that dashboard and report show the run to this machine."""
    compose.wait("dashboard")
    pages = {}
    for name in ("dashboard", "report"):
        url = services[name].environment["HEALTH"].replace("127.0.0.1", containers.addresses[f"{name}-0"])
        with urllib.request.urlopen(url + ("api/studies" if name == "dashboard" else ""), timeout=120) as answer:
            pages[name] = answer.read().decode()
    assert len(json.loads(pages["dashboard"])["study_summaries"]) == 1, pages
    assert "FLOPs" in pages["report"] and "front.png" in pages["report"], pages


def check_export(compose: ComposeRun, runs: Path) -> None:
    """Export as Compose does by default; the export loads the folder in a fresh process and compares."""
    done = compose.run("export", timeout=600)
    assert done.returncode == 0, done.stdout
    assert list(runs.glob("*-knee/*.safetensors")), done.stdout


def check_job(containers: Containers, job: Service, folder: Path) -> None:
    """Submit the entry point of rayjob.yaml to a head with Ray's job server, as KubeRay does."""
    described = yaml.safe_load_all((ROOT / "examples" / "kubernetes" / "rayjob.yaml").read_text())
    (entrypoint,) = [entry["spec"]["entrypoint"] for entry in described if entry["kind"] == "RayJob"]
    small = "--budget 4 --strategy random --space blocks --rungs 0:16,1:all --max-eval 32 --final-seeds 1 --workers 2"
    words = entrypoint.replace("@skipsearch-database/", "@database/").replace("/runs/search", "/runs/job")
    # Started again as a pod is: where a machine is slow, Ray gives up after 30 seconds.
    head = "ray start --head --block --num-cpus=2 --dashboard-host=0.0.0.0 --object-store-memory=200000000"
    command, environment = containers.command(job, 0, ["sh", "-c", f"until {head}; do sleep 1; done"])
    with (folder / "job.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        address = f"http://{containers.addresses['job-0']}:8265"
        wait_for(address)
        submit = ["ray", "job", "submit", "--address", address, "--", *shlex.split(words), *small.split()]
        command, environment = containers.command(job, 0, submit)
        for _ in range(12):  # until the head's agent runs, which Ray does not wait for
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
            if "submitted successfully" in done.stdout:
                break
            time.sleep(5)
        assert done.returncode == 0, done.stdout + done.stderr + (folder / "job.log").read_text()
        assert "succeeded" in done.stdout, done.stdout
    finally:
        end([process])


def wait_for(url: str) -> None:
    """Wait until a server answers."""
    for _ in range(90):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(1)
    raise TimeoutError(f"{url} does not answer")


def summary(image: str) -> str:
    """Return the line for docker/README.md."""
    described = json.loads(run("buildah", "inspect", "--type=image", image))["Docker"]
    size = run("buildah", "images", "--format={{.Size}}", image).splitlines()[0]
    server = run("postgres", "--version").split()[2]
    return (
        f"docker-check passed {time.strftime('%Y-%m-%d', time.gmtime())} at "
        f"{described['config']['Labels']['org.opencontainers.image.revision']}: image {size}, "
        f"{run('buildah', '--version').split(' (')[0]}, PostgreSQL {server}, {os.cpu_count()} cores"
    )


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print the duration of a step."""
    begin = time.monotonic()
    yield
    print(f"ok {name}: {time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
