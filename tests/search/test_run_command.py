"""The command of a run gives the settings of the run when it is typed."""

import shlex
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from search.load_settings import load_settings
from search.run_command import run_command
from search.setting_options import with_settings
from search.settings import Settings

CHANGED: dict[str, Any] = {
    "budget": 30, "space": "full", "prunings": ("ffn50", "h50"), "rungs": "0:16,5:all", "keep_fraction": 0.25,
    "focus": "0.4:0.7", "warm_start": ("runs/a b", "runs/c"), "allow_blind": True, "max_flops": 0.7, "seed": 3,
    "model": {"name": "org/model", "dtype": "bfloat16", "trust_remote_code": True},
    "dataset": {"name": "org/data", "config": "en", "test_split": "validation"}, "tuning": {"learning_rate": 0.001},
}  # fmt: skip


def typed(command: str) -> Settings:
    """The settings that `search.run` reads from a command line."""
    kept: list[dict[str, Any]] = []
    app = typer.Typer()
    app.command()(with_settings(lambda given: kept.append(given)))
    done = CliRunner().invoke(app, shlex.split(command)[3:], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return load_settings(None, kept[0])


def test_the_command_gives_the_same_settings(tmp_path: Path) -> None:
    for changed in ({}, CHANGED):
        settings = Settings.model_validate({**changed, "out": tmp_path / "run"})
        assert typed(run_command(settings.stored())) == settings
    assert run_command(Settings().stored()) == "python -m search.run"
