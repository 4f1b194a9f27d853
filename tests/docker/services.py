"""Services of docker/compose.yaml as commands that run without Docker, in the order that Compose starts them."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker" / "compose.yaml"
ENTRYPOINT = ["entry"]
"""Entry point of the image, which a service may replace."""
HEALTHCHECK = ("health",)
"""Health check of the image, which a service may replace."""


@dataclass(frozen=True)
class Service:
    """One service, every variable filled in."""

    name: str
    image: str
    command: tuple[str, ...]
    """Entry point and command."""
    default_words: tuple[str, ...]
    """The command, the end of `command`, which the words of `docker compose run` replace."""
    health: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: tuple[str, ...]
    depends_on: tuple[str, ...]
    replicas: int
    on_demand: bool
    """Started by `docker compose run` only."""

    def replaced(self, texts: Mapping[str, str]) -> "Service":
        """Return the service with each text of `texts` replaced, wherever it stands in a command or a value."""

        def replace(text: str) -> str:
            for old, new in texts.items():
                text = text.replace(old, new)
            return text

        values = {name: replace(value) for name, value in self.environment.items()}
        return dataclasses.replace(
            self,
            command=tuple(map(replace, self.command)),
            default_words=tuple(map(replace, self.default_words)),
            health=tuple(map(replace, self.health)),
            environment=values,
        )


def read_services(variables: Mapping[str, str] | None = None, file: Path = COMPOSE) -> dict[str, Service]:
    """Return the services of a compose file by name, `${NAME:-default}` filled in from `variables`."""
    described = yaml.safe_load(filled_in(file.read_text(encoding="utf-8"), variables or {}))
    return {name: _service(name, entry) for name, entry in described["services"].items()}


def filled_in(text: str, variables: Mapping[str, str]) -> str:
    """Return text with each `${NAME:-default}` replaced by the variable, or by the default where there is none."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: variables.get(found[1]) or found[2], text)


def in_order(services: Mapping[str, Service], wanted: Iterable[str]) -> list[Service]:
    """Return the services wanted and all they depend on, each after those it depends on."""
    ordered: dict[str, Service] = {}

    def add(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ValueError(f"services must not depend on each other in a circle, got {' -> '.join((*path, name))}")
        for other in services[name].depends_on:
            add(other, (*path, name))
        ordered.setdefault(name, services[name])

    for name in wanted:
        add(name, ())
    return list(ordered.values())


def _service(name: str, entry: Mapping[str, Any]) -> Service:
    own = not entry["image"].startswith("skipsearch")
    return Service(
        name=name,
        image=entry["image"],
        command=(*entry.get("entrypoint", [] if own else ENTRYPOINT), *entry.get("command", ())),
        default_words=tuple(entry.get("command", ())),
        health=tuple(_test(entry.get("healthcheck", {}))) or HEALTHCHECK,
        environment={key: str(value) for key, value in entry.get("environment", {}).items()},
        secrets=tuple(entry.get("secrets", ())),
        depends_on=tuple(entry.get("depends_on", ())),
        replicas=int(entry.get("deploy", {}).get("replicas", 1)),
        on_demand="profiles" in entry,
    )


def _test(check: Mapping[str, Any]) -> Iterator[str]:
    kind, *words = check.get("test", ["CMD"])
    if kind != "CMD":
        raise ValueError(f"a health check is a list that begins with CMD, got {kind}")
    yield from words
