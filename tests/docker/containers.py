"""Containers by buildah, each with a network address, host names, files and processes of its own, as Compose gives."""

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.docker.services import Service

BRIDGE = "skipsearch0"
SUBNET = "10.89.77"
"""First three numbers of the addresses; the bridge, which is this machine, has 1."""


def run(*words: str | Path, **options: object) -> str:
    """Return what a command prints; raise CalledProcessError where it fails."""
    done = subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]
    return str(done.stdout).strip()


class Containers:
    """The replicas of services as containers of an image, on one bridge. Needs root. Use as a context manager."""

    def __init__(self, image: str, services: Iterable[Service], volumes: Mapping[str, Path], hosts: Path) -> None:
        """`volumes` are folders and files of this machine by their path inside; `hosts` is a file to write."""
        self._image, self._services, self._volumes, self._hosts = image, tuple(services), dict(volumes), hosts
        self._undo = ExitStack()
        self._last = 1
        self.addresses: dict[str, str] = {}
        """Address of each replica as NAME-NUMBER."""

    def __enter__(self) -> "Containers":
        self._remove_leftovers()
        with ExitStack() as undo:
            self._bridge(undo)
            for service in self._services:
                for number in range(service.replicas):
                    self._add(undo, f"{service.name}-{number}", service.image == self._image)
            self._undo = undo.pop_all()
        names = "".join(f"{address} {name} {name.rpartition('-')[0]}\n" for name, address in self.addresses.items())
        self._hosts.write_text(f"127.0.0.1 localhost\n{names}")
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def network(self, name: str) -> list[str]:
        """Return the words that run a program of this machine with the address of a replica."""
        return ["ip", "netns", "exec", f"skipsearch-{name}"]

    def command(self, service: Service, number: int, words: Sequence[str]) -> tuple[list[str], dict[str, str] | None]:
        """Return a command that runs in the container of a replica and ends with all its processes."""
        name = f"{service.name}-{number}"
        if service.image != self._image:
            return [*self.network(name), *words], None
        secrets = {"/run/secrets/" + secret for secret in service.secrets}
        volumes = {
            inside: outside
            for inside, outside in self._volumes.items()
            if not inside.startswith("/run/secrets/") or inside in secrets
        }
        return [
            *self.network(name), "unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
            "buildah", "run", "--isolation", "chroot", "--no-hosts",
            *(f"--volume={outside}:{inside}" for inside, outside in volumes.items()),
            f"--volume={self._hosts}:/etc/hosts:ro",
            *(f"--env={key}={value}" for key, value in service.environment.items()),
            f"skipsearch-{name}", "--", *words,
        ], None  # fmt: skip

    def _remove_leftovers(self) -> None:
        """Remove what a check that was killed has left: the network and the containers of the replicas."""
        names = [f"skipsearch-{s.name}-{number}" for s in self._services for number in range(s.replicas)]
        words = [["ip", "link", "del", BRIDGE], *(["ip", "netns", "del", name] for name in names)]
        for command in [*words, *(["buildah", "rm", name] for name in names)]:
            subprocess.run(command, check=False, capture_output=True)

    def _bridge(self, undo: ExitStack) -> None:
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        undo.callback(run, "ip", "link", "del", BRIDGE)
        run("ip", "address", "add", f"{SUBNET}.1/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")

    def _add(self, undo: ExitStack, name: str, of_image: bool) -> None:
        self._last += 1
        address, here, inside = f"{SUBNET}.{self._last}", f"skipsearch-{name}", f"ss{self._last}"
        run("ip", "netns", "add", here)
        undo.callback(run, "ip", "netns", "del", here)
        run("ip", "link", "add", f"{inside}b", "type", "veth", "peer", "name", inside, "netns", here)
        run("ip", "link", "set", f"{inside}b", "master", BRIDGE, "up")
        run("ip", "-n", here, "address", "add", f"{address}/24", "dev", inside)
        for device in ("lo", inside):
            run("ip", "-n", here, "link", "set", device, "up")
        run("ip", "-n", here, "route", "add", "default", "via", f"{SUBNET}.1")
        self.addresses[name] = address
        if of_image:
            run("buildah", "from", "--pull-never", "--name", here, self._image)
            undo.callback(run, "buildah", "rm", here)
            # Mounted here, so that every `buildah run`, each with mounts of its own, finds the same files.
            run("buildah", "mount", here)
