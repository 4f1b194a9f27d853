"""Options of the commands: made from the settings, listed in full, and suggested for names of other tools."""

import re

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from search import setting_options, strategies
from search.__main__ import app
from search.command_line import SYNONYMS
from search.setting_options import settings_of
from search.settings import PANELS, Settings
from spaces import spaces

RUNNER = CliRunner()


def told(*words: str) -> str:
    """Return the output of a command as one line without boxes."""
    done = RUNNER.invoke(app, words, env={"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"})
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", done.output).split())


def test_every_setting_is_an_option_of_its_panel_with_a_help_of_its_own() -> None:
    assert sorted(name for names in PANELS.values() for name in names) == sorted(Settings.model_fields)
    settings = list(settings_of())
    assert all(setting.field.description for setting in settings)
    assert len({setting.flag for setting in settings}) == len(settings)
    shown = told("run", "--help")
    assert not [setting.flag for setting in settings if setting.flag not in shown]


def test_values_reach_the_setting_that_the_option_is_of() -> None:
    given: dict[str, object] = {}
    setting_options.with_settings(lambda given: None)
    wrapped = setting_options.with_settings(lambda **values: given.update(values["given"]))
    parameters = wrapped.__signature__.parameters  # type: ignore[attr-defined]
    wrapped(**{name: f"value of {name}" for name in parameters})
    assert given == {setting.path: f"value of {setting.parameter.name}" for setting in settings_of()}


def test_the_help_lists_strategies_and_spaces_with_a_line_each() -> None:
    assert strategies.ABOUT.keys() == strategies.STRATEGIES.keys()
    assert spaces.ABOUT.keys() == spaces.SPACES.keys()
    shown = told("run", "--help")
    for about in (*strategies.ABOUT.values(), *spaces.ABOUT.values(), "python -m search.run --budget 200"):
        assert about in shown


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("--n-trials", "--budget"), ("--n_trials=3", "--budget"), ("--num_samples", "--budget"),
        ("--output_dir", "--out"), ("--max_flops", "--max-flops"), ("--budgt", "--budget"),
        ("--model_name_or_path", "--model"), ("--Seed", "--seed"), ("--trust_remote_code", "--trust-remote-code"),
    ],
)  # fmt: skip
def test_an_option_of_another_tool_suggests_ours(word: str, meant: str) -> None:
    assert f"did you mean {meant}?" in told("run", word, "1")


def test_suggestions_are_options_that_some_command_has() -> None:
    known = " ".join(told(name, "--help") for name in ("run", "export", "report"))
    assert not [ours for ours in set(SYNONYMS.values()) if not re.search(rf"{ours}\b", known)]


@pytest.mark.parametrize("name", ["run", "report", "status", "serve", "tune", "export", "dashboard", "trial"])
def test_the_front_door_lists_and_runs_every_command(name: str) -> None:
    assert f" {name} " in told("--help")
    assert f"{name} [OPTIONS]" in told(name, "--help")


@pytest.mark.parametrize("name", ["run", "report", "status", "serve", "tune", "export", "dashboard", "trial"])
def test_no_help_text_is_eaten_as_markup(name: str) -> None:
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    shown = told(name, "--help")
    for parameter in command.params:
        assert " ".join((getattr(parameter, "help", None) or "").split()) in shown
