"""Searches on models and data sets of the user's own: folders of other families, every local format, offline."""

import json
import socket
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import search.report
import search.run
import workers.__main__
from tests.workers.hub import hub_model, hub_processor, save_hub
from tests.workers.saved_data import questions, save

SPLITS = {"train": questions(12), "validation": questions(6, 100), "test": questions(4, 200)}
SMALL = ("--budget", "6", "--rungs", "0:4,2:all", "--device", "cpu", "--threads", "1", "--allow-blind")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere is an error."""

    def refuse(*args: object, **options: object) -> None:
        raise OSError("a search on local folders must need no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def call(app: object, *words: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [*map(str, words)], input=stdin)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "form", "options"),
    [
        ("qwen2_vl", "parquet", ["--metric", "loss"]),
        ("idefics3", "json_lines", ["--trainable", "lora:r=2,alpha=4", "--metric", "loss"]),
        ("paligemma", "image_folder", ["--dtype", "bfloat16", "--space", "scoped"]),
        ("blip-2", "save_to_disk", ["--attn-implementation", "eager", "--metric", "loss"]),
    ],
)
def test_a_whole_search(tmp_path: Path, family: str, form: str, options: list[str]) -> None:
    model, data, out = save_hub(tmp_path / family, family), save(form, tmp_path / "data", SPLITS), tmp_path / "run"
    dry = call(search.run.app, "--model", model, "--dataset", data, *SMALL, *options, "--out", out, "--dry-run")
    assert dry.exit_code == 0 and not out.exists(), dry.output
    done = call(search.run.app, "--model", model, "--dataset", data, *SMALL, *options, "--out", out)
    assert done.exit_code == 0, done.output
    assert "6 of 6 trials" in done.output and "0 failed" in done.output
    shown = call(search.report.app, "--out", out)
    assert "Pareto front" in shown.output and "...." in shown.output
    report = json.loads(call(search.report.app, "--out", out, "--json").stdout)
    assert report["settings"]["model"]["name"] == model
    assert report["counts"]["complete"] >= 1
    first = (report["front"] or [report["dense"]])[0]  # models of random weights may all be under the floor
    request = call(search.report.app, "--out", out, "--request", first["number"]).stdout
    again = call(workers.__main__.app, "-", stdin=request)
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["rungs"][-1]["accuracy"] == first["accuracy"]


class TestBadInput:
    """One line, exit code 2, nothing created."""

    @pytest.fixture(scope="class")
    def data(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        return save("parquet", tmp_path_factory.mktemp("data") / "set", SPLITS)

    def refused(self, data: str, model: Path | str, out: Path, *options: str) -> str:
        done = call(search.run.app, "--model", model, "--dataset", data, *SMALL, *options, "--out", out)
        assert done.exit_code == 2, done.output
        assert "Traceback" not in done.output
        return done.output

    def test_a_text_model(self, data: str, tmp_path: Path) -> None:
        hub_model("llava").model.language_model.save_pretrained(tmp_path / "text")
        hub_processor("llava").tokenizer.save_pretrained(tmp_path / "text")
        assert "must answer questions about images" in self.refused(data, tmp_path / "text", tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_a_folder_that_is_gone(self, data: str, tmp_path: Path) -> None:
        assert "a model must be" in self.refused(data, tmp_path / "gone", tmp_path / "run")

    def test_nothing_to_train(self, data: str, tmp_path: Path) -> None:
        model = save_hub(tmp_path / "model", "llava")
        told = self.refused(data, model, tmp_path / "run", "--trainable", "*nothing*")
        assert "trainable must be 'mapping', 'lora' or a pattern" in told
        assert "lora:r=8,alpha=16" in self.refused(data, model, tmp_path / "other", "--trainable", "lora:r=none")
        assert not (tmp_path / "other").exists()
