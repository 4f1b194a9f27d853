"""Pruned trials: calibrated once, tuned, the same numbers every time, and nothing left on the model."""

import json

import pytest
import torch
from safetensors.torch import save_file

from objectives.flops import costs
from objectives.workload import Workload
from spaces.plan import Plan
from tests.workers.test_trial import RECIPE, RUNGS, always, numbers, untouched
from workers import session as sessions
from workers.reports import TrialState
from workers.requests import Rung, TrialRequest
from workers.sources import DataSource
from workers.trial import Worker, run_trial

PLANS = ("{w50,h50}....", ".{w2:4/ffn/image}a{ffn50}.bv{h50}", "{m50/attn}...b")


@pytest.fixture
def make(tiny_source):
    def request(text, **changes):
        plan = json.loads(Plan.parse(text).to_json())
        values = {"model": tiny_source, "data": DataSource(name="tiny"), "tuning": RECIPE, "rungs": RUNGS, "threads": 1}
        return TrialRequest(plan=plan, **{**values, **changes})

    return request


@pytest.mark.parametrize("text", PLANS)
def test_a_pruned_trial_is_tuned_and_leaves_nothing(make, text):
    worker = Worker()
    report = run_trial(worker, make(text), always)
    assert (report.state, report.reason, report.plan) == (TrialState.COMPLETE, None, str(Plan.parse(text)))
    assert report.rungs[-1].tune_accuracy is not None
    untouched(worker)
    load = Workload.from_dict(worker.session.workload(make(text)).to_dict())
    counted = {name: value for name, value in report.rungs[0].costs.items() if name != "routes"}
    assert counted == costs(worker.session.shape, Plan.parse(text), load).as_dict()


@pytest.mark.slow
def test_numbers_do_not_depend_on_what_ran_before(make):
    worker = Worker()
    run_trial(worker, make("b..f"), always)
    run_trial(worker, make(PLANS[0]), always)
    assert numbers(run_trial(worker, make(PLANS[1]), always)) == numbers(run_trial(Worker(), make(PLANS[1]), always))


def test_the_model_is_calibrated_once_and_only_for_plans_that_need_it(make, monkeypatch):
    calls, really = [], sessions.calibrate
    monkeypatch.setattr(sessions, "calibrate", lambda *given: calls.append(given) or really(*given))
    worker, once = Worker(), (Rung(questions=6),)
    for text, wanted in (("a...", 0), ("{m50}....", 0), ("{w50}....", 1), ("{ffn50/image}....", 1), (".{h50}...", 1)):
        run_trial(worker, make(text, rungs=once), always)
        assert len(calls) == wanted


def test_a_stored_mapping_module_does_not_change_the_masks(make, tmp_path):
    worker, text = Worker(), PLANS[0]
    run_trial(worker, make(text, artifacts=str(tmp_path)), always)
    norms = worker.session.pruning_inputs.norms
    torch.manual_seed(1)
    state = {name: value + 0.3 * torch.randn_like(value) for name, value in worker.session.dense.items()}
    save_file(state, tmp_path / "other.safetensors")
    fresh = Worker()
    run_trial(fresh, make(text, rungs=(Rung(questions=6),), mapping_module=str(tmp_path / "other.safetensors")), always)
    again = fresh.session.pruning_inputs.norms
    assert all(torch.equal(again[mode][name], norms[mode][name]) for mode in norms for name in norms[mode])
