"""`search.export --push-to-hub` against a stand-in for the hub's HTTP API, in processes as a user runs them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fast import but_slow
from tests.search.test_export import run
from tests.workers.export.hub import Hub

__all__ = ["run"]

LOAD = """
import sys
from transformers import AutoModelForImageTextToText, AutoProcessor
print(AutoModelForImageTextToText.from_pretrained(sys.argv[1]).config.text_config.num_hidden_layers)
AutoProcessor.from_pretrained(sys.argv[1])
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub().serving() as hub:
        yield hub


def on_hub(hub: Hub, cache: Path, *words: str | Path, token: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(cache),
        "HF_TOKEN": hub.token if token is None else token, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
    }  # fmt: skip
    environment.pop("HF_HUB_OFFLINE", None)
    return subprocess.run(
        [sys.executable, *map(str, words)], env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def export(hub: Hub, run: Path, to: Path, *words: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
    return on_hub(
        hub, to.parent / "cache", "-m", "search.export", "--out", run, "--to", to, "--questions", "16",
        "--engines", "none", *words,
        token=token,
    )  # fmt: skip


@pytest.mark.slow
class TestPush:
    def test_what_was_pushed_loads_from_the_hub(self, run: Path, tmp_path: Path, hub: Hub) -> None:
        done = export(hub, run, tmp_path / "model", "--trial", "1", "--push-to-hub", "tester/half", "--private")
        assert done.returncode == 0, done.stderr
        assert f"Pushed: {hub.url}/tester/half/commit/" in done.stdout
        assert hub.private == {"tester/half": True}
        local = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
        assert {name: hub.repositories["tester/half"][name] for name in local} == local
        loaded = on_hub(hub, tmp_path / "fresh", "-c", LOAD, "tester/half")
        assert loaded.stdout.strip() == "6", loaded.stderr

    def test_a_refused_upload_keeps_the_folder_and_says_how_to_go_on(self, run: Path, tmp_path: Path, hub: Hub) -> None:
        hub.refuses_commits = True
        done = export(hub, run, tmp_path / "model", "--trial", "1", "--push-to-hub", "tester/half")
        assert done.returncode == 2
        assert (tmp_path / "model" / "plan.json").is_file()
        assert f"hf upload tester/half {tmp_path / 'model'}" in done.stderr
        assert "Traceback" not in done.stderr


REFUSED = [
    (("--trial", "1", "--push-to-hub", "half"), "must be OWNER/NAME, got 'half'"),
    (("--trial", "1", "--push-to-hub", "me/not a name"), "must be OWNER/NAME"),
    (("--trial", "1", "--push-to-hub", "tester/old"), "must be a new repository, got tester/old"),
    (("--front", "--push-to-hub", "tester/all"), "takes one model, got --front"),
    (("--trial", "1", "--private"), "needs --push-to-hub, got no repository"),
]


class TestRefusedBeforeAnyWork:
    @pytest.mark.parametrize(("words", "message"), but_slow(REFUSED, REFUSED[:1]))
    def test_names_and_options(self, run: Path, tmp_path: Path, hub: Hub, words: tuple[str, ...], message: str) -> None:
        hub.repositories["tester/old"], hub.private["tester/old"] = {"README.md": b"mine"}, False
        done = export(hub, run, tmp_path / "model", *words)
        assert (done.returncode, message in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr
        assert not (tmp_path / "model").exists()

    def test_nobody_logged_in(self, run: Path, tmp_path: Path, hub: Hub) -> None:
        done = export(hub, run, tmp_path / "model", "--trial", "1", "--push-to-hub", "me/new", token="hf_wrong")
        assert (done.returncode, "hf auth login" in done.stderr) == (2, True), done.stderr
        assert not (tmp_path / "model").exists()
