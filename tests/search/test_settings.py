"""Settings from a file and the command line, and errors about invalid ones."""

from pathlib import Path

import pytest

from search.load_settings import load_settings
from search.settings import Settings, SettingsError, parse_rungs


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "search.yaml"
    file.write_text("budget: 7\nspace: blocks\nmodel: embedded\ndataset: {name: embedded, max_train: 9}\n")
    settings = load_settings(file, {"budget": 9, "model.dtype": "bfloat16"})
    assert (settings.budget, settings.space) == (9, "blocks")
    assert (settings.model.name, settings.model.dtype, settings.dataset.max_train) == ("embedded", "bfloat16", 9)


def test_settings_round_trip_through_json() -> None:
    settings = Settings(budget=3, max_flops=0.5, rungs=parse_rungs("0:16,5:all"))
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings


def test_rungs_are_read() -> None:
    assert [(r.tuning_steps, r.questions) for r in parse_rungs("0:256, 20:512,80:all")] == [
        (0, 256),
        (20, 512),
        (80, None),
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"space": "layer"}, "unknown space 'layer' (did you mean 'layers'?)"),
        ({"strategy": "evolutoin"}, "did you mean 'evolution'?"),
        ({"metric": "exactmatch"}, "unknown metric"),
        ({"callbacks": ["tensorbord"]}, "did you mean 'tensorboard'?"),
        ({"budget": 0}, "budget: input should be greater than or equal to 1, got 0"),
        ({"budget": -1}, "got -1"),
        ({"max_flops": 1.5}, "max_flops: input should be less than or equal to 1, got 1.5"),
        ({"model.dtype": "int8"}, "model.dtype"),
        ({"model.nam": "x"}, "did you mean 'model.name'?"),
        ({"budgt": 3}, "did you mean 'budget'?"),
        ({"rungs": [{"tuning_steps": 5}, {"tuning_steps": 0}]}, "in ascending order, got [5, 0]"),
        ({"dataset.question_colum": "q"}, "did you mean 'dataset.question_column'?"),
        ({"dataset.choices_as": "number"}, "dataset.choices_as: input should be 'letter' or 'text', got 'number'"),
        ({"dataset.max_eval": 0}, "dataset.max_eval: input should be greater than or equal to 1, got 0"),
        ({"dataset.streaming": True}, "streaming needs a limit on rows, got no max_eval"),
        ({"min_accuracy": 90}, "min_accuracy: input should be less than or equal to 1, got 90"),
        ({"focus": [0.7, 0.4]}, "focus must be a range LOW:HIGH of FLOPs ratios within 0:1, got (0.7, 0.4)"),
        ({"time_limit": "inf"}, "time_limit: input should be a finite number, got inf"),
        ({"threads": "1000000000"}, "threads: input should be less than or equal to 1024, got 1000000000"),
        ({"seed": 2**64}, "seed: input should be less than 9223372036854775808"),
        ({"gpus_per_trial": 0.5}, "--gpus-per-trial needs Ray, got 0.5 without it"),
        ({"trials_per_gpu": 2}, "--trials-per-gpu needs Ray, got 2 without it"),
        ({"cpus_per_trial": 2}, "--cpus-per-trial needs Ray, got 2 without it"),
        ({"workers": 2, "gpus_per_trial": 0.5, "trials_per_gpu": 2}, "exclude each other, got 0.5 and 2: give one"),
        ({"workers": 2, "gpus_per_trial": 1.5}, "--gpus-per-trial above 1 must be a whole number, got 1.5"),
        ({"rungs": [{"split": "test"}]}, "'test' is for the final front"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(given: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, given)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_trials_per_gpu_share_one() -> None:
    assert load_settings(None, {"workers": 2, "trials_per_gpu": 4}).gpus_of_a_trial == 0.25
    assert load_settings(None, {"workers": 2, "gpus_per_trial": 0.5}).gpus_of_a_trial == 0.5


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [", "just words"])
def test_a_file_that_is_no_settings_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "search.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match="--config"):
        load_settings(file, {})


@pytest.mark.parametrize("text", ["", "5", "0:", "a:3", "0:16,,5:all", "-1:3"])
def test_malformed_rungs_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="steps:questions"):
        parse_rungs(text)


def test_what_may_change_on_resume_is_not_part_of_the_identity() -> None:
    first, second = Settings(budget=5, workers=1), Settings(budget=9, workers=4, final_seeds=1)
    assert first.identity() == second.identity()
    assert first.identity() != Settings(seed=1).identity()


def test_a_local_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_settings(None, {"model.name": "model"}).model.name == str(tmp_path / "model")
