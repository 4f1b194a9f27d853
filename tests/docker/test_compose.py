"""docker/compose.yaml: valid by Compose's own schema, started in the right order, and no secret in the open."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from search.run import app as run
from tests.command import call
from tests.docker.services import COMPOSE, ROOT, filled_in, in_order, read_services

FILES = (COMPOSE, COMPOSE.with_name("compose.cuda.yaml"))


def valid(file: Path) -> subprocess.CompletedProcess[str]:
    """Check a file against the schema of the Compose specification that check-jsonschema ships."""
    words = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_file_is_valid(file: Path) -> None:
    done = valid(file)
    assert done.returncode == 0, done.stdout


def test_a_mistake_is_found(tmp_path: Path) -> None:
    broken = tmp_path / "compose.yaml"
    broken.write_text(COMPOSE.read_text().replace("depends_on:", "depends:"))
    assert valid(broken).returncode != 0


def test_services_start_after_those_they_need() -> None:
    services = read_services()
    order = [service.name for service in in_order(services, ["search", "dashboard", "report", "export"])]
    assert sorted(order) == sorted(services)
    for name, service in services.items():
        assert all(order.index(other) < order.index(name) for other in service.depends_on)
    assert {"database", "ray-head", "worker"} <= set(services["search"].depends_on)


def test_services_that_are_waited_for_have_a_health_check() -> None:
    described = yaml.safe_load(filled_in(COMPOSE.read_text(), {}))["services"]
    waited = {other: name for name, entry in described.items() for other in entry.get("depends_on", {})}
    for other in waited:
        own = "healthcheck" in described[other] or "HEALTH" in described[other]["environment"]
        assert own, f"{waited[other]} waits for {other}"
    conditions = {
        values["condition"] for entry in described.values() for values in entry.get("depends_on", {}).values()
    }
    assert conditions == {"service_healthy"}


def test_only_what_uses_the_database_has_its_password() -> None:
    services = read_services()
    for service in services.values():
        uses = any("postgresql" in text for text in (*service.command, *service.environment.values()))
        assert bool(service.secrets) == (uses or service.name == "database")
        assert not any(":" in text.partition("://")[2].partition("@")[0] for text in service.command), "a password"
    assert "/docker/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    assert "docker/secrets" not in (ROOT / ".dockerignore").read_text()


def test_what_compose_starts_is_a_search_that_can_run(tmp_path: Path) -> None:
    search = read_services({"RUN": "mine", "WORKERS": "3"})["search"].replaced({"/runs": str(tmp_path)})
    assert search.command[:4] == ("entry", "join-ray", "skipsearch", "run")
    done = call(
        run,
        *search.command[4:],
        "--budget",
        "20",
        "--dry-run",
        f"--storage=sqlite:///{tmp_path}/search.db",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert f"--out={tmp_path / 'mine'}" in search.command and "--workers=3" in search.command
    assert not list(tmp_path.iterdir()), "a dry run creates nothing"


def test_ports_are_published_on_this_machine_only() -> None:
    described = yaml.safe_load(filled_in(COMPOSE.read_text(), {}))["services"]
    ports = [port for entry in described.values() for port in entry.get("ports", ())]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)
