"""Long tuning of one plan: the best weights are kept, and an interruption changes nothing."""

import json

import pytest
import torch
from safetensors.torch import load_file

from spaces.plan import Plan
from workers.data.load_split import load_samples
from workers.evaluation.evaluate import evaluate
from workers.long_tuning import CHECKPOINT, tune_long
from workers.long_tuning_request import MODULE, LongTuning, stored_tuning
from workers.models.fresh_weights import draw_weights
from workers.models.trainable import copy_state, put_state
from workers.requests import Rung, TrialRequest, TuningRecipe
from workers.sources import DataSource

RECIPE = TuningRecipe(learning_rate=5e-3, images_per_step=2, questions_per_image=2)


@pytest.fixture
def request_of(tiny_source):
    def made(recipe=RECIPE, plan="a...", **options):
        trial = TrialRequest(
            run="r", number=3, plan=Plan.parse(plan), model=tiny_source, data=DataSource(name="tiny"), tuning=recipe,
            rungs=(Rung(split="test"),), threads=1,
        )  # fmt: skip
        return LongTuning(trial=trial, **{"steps": 6, "every": 2, "stop_after": 9, **options})

    return made


class Killed(BaseException):
    pass


def kill_at(step):
    """A listener that ends the process, as far as the tuning can tell, after the evaluation at a step."""

    def say(line):
        if line.startswith(f"step {step} "):
            raise Killed

    return say


def same(one, other):
    one, other = load_file(one / MODULE), load_file(other / MODULE)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize(("kl_weight", "from_scratch"), [(0.0, False), (0.5, False), (0.0, True)])
def test_an_interrupted_tuning_ends_with_the_same_weights(request_of, tmp_path, kl_weight, from_scratch):
    request = request_of(RECIPE.model_copy(update={"kl_weight": kl_weight}), from_scratch=from_scratch)
    whole = tune_long(request, tmp_path / "whole", say=lambda line: None)
    for step in (2, 4):
        with pytest.raises(Killed):
            tune_long(request, tmp_path / "parts", say=kill_at(step))
    parts = tune_long(request, tmp_path / "parts", say=lambda line: None)
    assert same(tmp_path / "whole", tmp_path / "parts")
    points = [[(p["step"], p["tune_accuracy"], p["loss"]) for p in each["curve"]] for each in (whole, parts)]
    assert points[0] == points[1]
    assert [step for step, *_ in points[0]] == [0, 2, 4, 6]
    assert whole["test"]["accuracy"] == parts["test"]["accuracy"]
    assert not (tmp_path / "parts" / CHECKPOINT).exists()


def test_the_test_split_is_used_once_however_often_the_tuning_is_killed(request_of, tmp_path, monkeypatch):
    splits = {name: load_samples(DataSource(name="tiny"), name)[0].image_id for name in ("tune", "test")}
    seen = []

    def counted(loaded, prepared, *rest):
        seen.append(prepared.samples[0].image_id)
        return evaluate(loaded, prepared, *rest)

    monkeypatch.setattr("workers.long_tuning.evaluate", counted)
    with pytest.raises(Killed):
        tune_long(request_of(steps=4), tmp_path, say=kill_at(2))
    assert seen == [splits["tune"]] * 2
    for _ in range(2):
        tune_long(request_of(steps=4), tmp_path, say=lambda line: None)
    assert seen == [splits["tune"]] * 3 + [splits["test"]]


def test_it_keeps_the_best_of_the_tune_split_and_stops_when_nothing_improves(request_of, tmp_path):
    record = tune_long(request_of(steps=40, stop_after=2), tmp_path, say=lambda line: None)
    curve = record["curve"]
    best = next(index for index, point in enumerate(curve) if point == record["best"])
    assert record["best"]["tune_accuracy"] == max(point["tune_accuracy"] for point in curve)
    assert len(curve) - 1 - best == 2 or record["steps"] == 40
    assert json.loads(json.dumps(stored_tuning(tmp_path))) == record


def test_other_settings_and_a_finished_tuning(request_of, tmp_path):
    request = request_of(steps=2)
    first, said = tune_long(request, tmp_path, say=lambda line: None), []
    assert tune_long(request, tmp_path, say=said.append) == first
    assert said == ["finished before, after 2 steps"], "it is tested once"
    with pytest.raises(ValueError, match=r"other settings \(steps\): use the same, or --restart"):
        tune_long(request_of(steps=4), tmp_path)
    with pytest.raises(ValueError, match=r"other settings \(plan\)"):
        tune_long(request_of(steps=2, plan=".a.."), tmp_path)


def test_adapters_are_tuned_with_the_plan_active_and_continue(request_of, tmp_path):
    request = request_of(RECIPE)
    model = request.trial.model.model_copy(update={"trainable": "lora:r=2,alpha=4"})
    request = request.model_copy(update={"trial": request.trial.model_copy(update={"model": model})})
    with pytest.raises(Killed):
        tune_long(request, tmp_path / "parts", say=kill_at(2))
    for name in ("parts", "whole"):
        tune_long(request, tmp_path / name, say=lambda line: None)
    assert same(tmp_path / "parts", tmp_path / "whole")
    tuned = load_file(tmp_path / "whole" / MODULE)
    assert tuned and all(".lora_" in name for name in tuned)
    assert stored_tuning(tmp_path / "whole")["request"]["trial"]["model"]["trainable"] == "lora:r=2,alpha=4"
    with pytest.raises(ValueError, match="needs whole weights, got low-rank adapters: leave --from-scratch out"):
        tune_long(request.model_copy(update={"from_scratch": True}), tmp_path / "scratch")


def test_training_from_scratch_starts_without_what_the_model_knew(request_of, tmp_path, loaded):
    record = tune_long(request_of(plan="a.b.", steps=4, from_scratch=True), tmp_path, say=lambda line: None)
    assert record["request"]["from_scratch"] and record["request"]["trial"]["mapping_module"] is None
    kept = load_file(tmp_path / MODULE)
    dense = copy_state(loaded.weights)
    assert kept.keys() == dense.keys()
    for name, weight in kept.items():
        if weight.ndim > 1:  # an untouched weight would correlate fully with that of the model
            both = torch.stack([weight.flatten(), dense[name].flatten()])
            assert abs(torch.corrcoef(both)[0, 1]) < 0.5
    assert [point["step"] for point in record["curve"]] == [0, 2, 4]


def test_training_from_scratch_starts_from_other_weights_of_every_seed(loaded):
    before = copy_state(loaded.weights)
    try:
        drawn = []
        for seed in (0, 0, 1):
            draw_weights(loaded, seed)
            drawn.append(copy_state(loaded.weights))
    finally:
        put_state(loaded.weights, before)
    matrices = [name for name, weight in before.items() if weight.ndim > 1]
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in before)
    assert all(not torch.equal(drawn[0][name], each) for name in matrices for each in (before[name], drawn[2][name]))
    assert all(torch.isfinite(weight).all() for weight in drawn[0].values())
