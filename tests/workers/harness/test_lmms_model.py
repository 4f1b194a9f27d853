"""The model `skipsearch` in lmms-eval answers as the in-search model does. `make lmms` installs lmms-eval."""

from dataclasses import replace
from statistics import fmean

import pytest
from safetensors.torch import load_file, save_file

pytest.importorskip("lmms_eval", reason="lmms-eval is not installed: make lmms")

from lmms_eval.evaluator import simple_evaluate
from lmms_eval.models import get_model
from lmms_eval.tasks import TaskManager

from spaces.plan import Plan
from tests.workers.harness.digits_task import CHOOSES, GENERATES, samples, write_task
from workers.apply_plan import apply_plan
from workers.evaluation.evaluate import answer
from workers.evaluation.likelihood import answer_log_probs
from workers.export.request import ExportRequest
from workers.export.write import export
from workers.inference.plain_split import PlainSplit
from workers.models.load_model import load_model
from workers.models.stored_mapping_module import labels
from workers.models.trainable import copy_state, put_state
from workers.requests import Rung, TrialRequest
from workers.sources import ModelSource

PLAN, SCOPED = "..fa.....fb.", "..fag.bv..fb.."
QUESTIONS = 24
SOURCE = ModelSource(device="cpu")


@pytest.fixture(scope="module")
def embedded():
    return load_model(SOURCE)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    write_task(folder, samples(QUESTIONS), "digits", **GENERATES)
    write_task(folder, samples(8, "is_there"), "yes_no", **CHOOSES)
    return folder


@pytest.fixture(scope="module")
def tuned(embedded, tmp_path_factory):
    """A mapping module of the plan that answers otherwise than the dense one."""
    file = tmp_path_factory.mktemp("artifacts") / "tuned.safetensors"
    state = {name: (tensor * 0.7).contiguous() for name, tensor in embedded.weights.items()}
    save_file(state, file, labels(TrialRequest(plan=Plan.parse(PLAN))))
    return file


@pytest.fixture(scope="module")
def exports(tuned, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "made"
    made = {"stock": (PLAN, "transformers", str(tuned)), "remote": (SCOPED, "remote-code", None)}
    requests = {
        name: ExportRequest(
            trial=TrialRequest(plan=Plan.parse(plan), model=SOURCE, rungs=(Rung(split="test"),), threads=1,
                               mapping_module=mapping), form=form, questions=8)
        for name, (plan, form, mapping) in made.items()
    }  # fmt: skip
    export(requests, folder, say=lambda _: None)
    return folder


def run(tasks, model, arguments, task="digits", **options):
    """Return what lmms-eval logs: responses in the order of the questions, the mean score, and all of each question."""
    manager = TaskManager("ERROR", include_path=str(tasks), include_defaults=False, model_name=model)
    options = {"device": "cpu", "bootstrap_iters": 0, **options}
    found = simple_evaluate(model, arguments, tasks=[task], task_manager=manager, **options)
    logged = sorted(found["samples"][task], key=lambda each: each["doc_id"])
    (score,) = (v for name, v in found["results"][task].items() if name in ("exact_match,none", "acc,none"))
    return [each["resps"] for each in logged], score, logged


def generated(*arguments, **options):
    responses, score, _ = run(*arguments, **options)
    return [texts[0][0].strip() for texts in responses], score


def in_search(embedded, plan, file=None):
    """Return the answers of the in-search model under a plan, and their accuracy."""
    limit = GENERATES["generation_kwargs"]["max_new_tokens"]
    chosen = [replace(each, max_new_tokens=limit) for each in samples(QUESTIONS)]
    dense = copy_state(embedded.weights)
    try:
        put_state(embedded.weights, load_file(file) if file else dense)
        with apply_plan(embedded.model, Plan.parse(plan)):
            texts = answer(embedded, PlainSplit(embedded, chosen), QUESTIONS)
    finally:
        put_state(embedded.weights, dense)
    return texts, sum(text in each.answers for text, each in zip(texts, chosen, strict=True)) / QUESTIONS


def test_lmms_eval_finds_the_model_by_its_entry_point():
    assert get_model("skipsearch").__name__ == "SkipsearchChat"
    assert get_model("skipsearch", force_simple=True).__name__ == "Skipsearch"


@pytest.mark.parametrize("simple", [False, True], ids=["chat", "simple"])
@pytest.mark.parametrize("plan", [PLAN, SCOPED])
def test_a_base_model_under_a_plan_answers_as_in_the_search(embedded, tasks, plan, simple):
    found = generated(tasks, "skipsearch", f"base=embedded,plan={plan}", batch_size=5, force_simple=simple)
    assert found == in_search(embedded, plan)
    assert found[0] != in_search(embedded, "." * len(Plan.parse(plan)))[0], "the plan must change answers"


def test_a_base_model_without_a_plan_is_dense(embedded, tasks):
    texts, score = generated(tasks, "skipsearch", "base=embedded")
    assert (texts, score) == in_search(embedded, "............")
    assert score > 0.8


def test_a_mapping_module_of_a_trial_is_used(embedded, tasks, tuned):
    found = generated(tasks, "skipsearch", f"base=embedded,plan={PLAN},mapping={tuned}")
    assert found == in_search(embedded, PLAN, tuned) != in_search(embedded, PLAN)


def test_exported_folders_answer_as_in_the_search(embedded, tasks, exports, tuned):
    assert generated(tasks, "skipsearch", f"pretrained={exports / 'stock'}") == in_search(embedded, PLAN, tuned)
    assert generated(tasks, "skipsearch", f"pretrained={exports / 'remote'}") == in_search(embedded, SCOPED)


def test_lmms_evals_own_class_runs_an_exported_folder(embedded, tasks, exports, tuned):
    pytest.importorskip("decord", reason="llava_hf of lmms-eval imports decord")
    found = generated(tasks, "llava_hf", f"pretrained={exports / 'stock'},dtype=float32,device_map=cpu")
    assert found == in_search(embedded, PLAN, tuned)


@pytest.mark.parametrize("plan", [PLAN, SCOPED])
def test_choices_have_the_losses_of_the_in_search_model(embedded, tasks, plan):
    arguments = f"base=embedded,plan={plan},dtype=float32"
    responses, _, _ = run(tasks, "skipsearch", arguments, "yes_no", force_simple=True)
    chosen, choices = samples(8, "is_there"), CHOOSES["doc_to_choice"]
    pairs = [(index, text) for index in range(len(chosen)) for text in choices]
    with apply_plan(embedded.model, Plan.parse(plan)):
        expected = [-fmean(row) for row in answer_log_probs(embedded, PlainSplit(embedded, chosen), pairs)]
    losses = [values[0][0] for each in responses for values in each]
    assert losses == pytest.approx(expected, abs=1e-4)
