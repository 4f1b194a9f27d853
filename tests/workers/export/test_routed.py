"""An export with a router: the same plans and answers as in the search, in a fresh process and by budget."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from spaces.plan import Plan
from tests.workers.tiny import NUM_BLOCKS
from tests.workers.tiny import inputs as tiny_inputs
from workers.apply_plan import apply_plan
from workers.data.load_split import load_samples
from workers.export import modeling_routed, write_routed
from workers.export.fresh_process import encode
from workers.export.route import ExportError
from workers.export.routed_model import routed_model
from workers.export.routed_request import RoutedRequest
from workers.export.write_routed import export_routed
from workers.inference.prepare import prepare
from workers.models.load_model import load_model
from workers.models.stored_mapping_module import labels
from workers.requests import TrialRequest
from workers.routing.questions import read_questions
from workers.routing.router import train_router
from workers.sources import DataSource

PLANS = ("bb..", "a.fv.", "." * NUM_BLOCKS)
DIAL = (
    {"flops_ratio": 0.5, "accuracy": 0.1, "plan": 0},
    {"flops_ratio": 0.7, "accuracy": 0.2, "price": 0.0},
    {"flops_ratio": 1.0, "accuracy": 0.3, "plan": 2},
)


@pytest.fixture(scope="module")
def request_(tiny_source: Any, tmp_path_factory: pytest.TempPathFactory) -> RoutedRequest:
    """Three plans, the first two with mapping modules of their own, and a router that sends kinds to different ones."""
    folder, loaded = tmp_path_factory.mktemp("routed"), load_model(tiny_source)
    trials = []
    for number, text in enumerate(PLANS):
        trial = TrialRequest(
            plan=Plan.parse(text), model=tiny_source, data=DataSource(name="tiny"), number=number, threads=1
        )
        if number < 2:
            torch.manual_seed(number)
            state = {name: torch.randn_like(weight) for name, weight in loaded.weights.items()}
            save_file(state, folder / f"{number}.safetensors", labels(trial))
            trial = trial.model_copy(update={"mapping_module": str(folder / f"{number}.safetensors")})
        trials.append(trial)
    known = read_questions(loaded, prepare(loaded, load_samples(DataSource(name="tiny"), "test")))
    right = torch.eye(len(PLANS))[[int(kind[-1]) for kind in known.kinds]]
    router = train_router(torch.from_numpy(known.text), right, hidden=8, weight_decay=0.0, seed=0, epochs=300)
    save_file(router.state_dict(), folder / "router.safetensors")
    return RoutedRequest(
        trials=tuple(trials), router=str(folder / "router.safetensors"), ratios=(0.5, 0.8, 1.0), dial=DIAL, default=1,
        single=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(request_: RoutedRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("routed") / "model"
    export_routed(request_, place, say=lambda line: None)
    return place


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    kind = modeling_routed.RoutedLlavaForConditionalGeneration
    return kind.from_pretrained(folder, attn_implementation="sdpa").eval()


@pytest.fixture(scope="module")
def inputs(loaded: Any) -> dict[str, Tensor]:
    samples = load_samples(DataSource(name="tiny"), "test")[:6]
    prompts = [loaded.prompt_encoder.prompt(sample.question, 1) for sample in samples]
    return encode(loaded.processor, prompts, [sample.images for sample in samples], "cpu")


@pytest.mark.slow
def test_a_fresh_process_takes_the_plans_and_gives_the_answers_of_the_search(folder: Path) -> None:
    checked = json.loads((folder / "routing.json").read_text())["checked"]
    assert (checked["questions"], checked["other_plans"], checked["other_answers"]) == (24, 0, 0)
    assert set(checked["seconds"]) == {"routed", "one plan", "plan 0", "plan 1", "plan 2"}


@pytest.mark.slow
def test_a_batch_is_answered_plan_by_plan(model: Any, inputs: dict[str, Tensor], request_: RoutedRequest) -> None:
    """The reference is the base model under each plan, one question at a time, with the stored mapping module."""
    plans = model.plans_of(inputs["input_ids"], inputs["attention_mask"]).tolist()
    assert plans == [0, 1, 2, 0, 1, 2]
    length = inputs["input_ids"].shape[1]
    made = model.generate(**inputs, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    source = load_model(request_.trials[0].model)
    dense = {name: weight.detach().clone() for name, weight in source.weights.items()}
    for row, plan in enumerate(plans):
        file = request_.trials[plan].mapping_module
        state = dense if file is None else load_file(file)
        with torch.no_grad():
            for name, weight in source.weights.items():
                weight.copy_(state[name])
        kept = inputs["attention_mask"][row].bool()
        one = {name: value[row : row + 1] for name, value in inputs.items()}
        one |= {name: one[name][:, kept] for name in ("input_ids", "attention_mask")}
        with apply_plan(source.model, Plan.parse(PLANS[plan])):
            alone = source.model.generate(**one, max_new_tokens=4, min_new_tokens=4, do_sample=False)
        assert made[row, length:].tolist() == alone[0, kept.sum() :].tolist()
        assert torch.equal(made[row, :length], inputs["input_ids"][row])


@pytest.mark.slow
def test_budgets_turn_the_dial(model: Any, inputs: dict[str, Tensor]) -> None:
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    assert set(model.plans_of(ids, mask, compute=0.6).tolist()) == {0}
    assert set(model.plans_of(ids, mask, compute=1.0).tolist()) == {2}
    assert model.plans_of(ids, mask, compute=0.9).tolist() == model.plans_of(ids, mask).tolist()
    assert max(model.plans_of(ids, mask, max_flops=0.8).tolist()) <= 1
    assert set(model.plans_of(ids, mask, max_flops=0.5).tolist()) == {0}
    assert set(model.plans_of(ids, mask, compute=1.0, max_flops=0.5).tolist()) == {0}
    with pytest.raises(ValueError, match=r"compute must be at least 0\.5 of the dense FLOPs, got 0\.3"):
        model.generate(**inputs, compute=0.3)
    with pytest.raises(ValueError, match=r"max_flops must be at least 0\.5"):
        model.generate(**inputs, max_flops=0.1)
    with pytest.raises(ValueError, match="got num_return_sequences=2"):
        model.generate(**inputs, num_return_sequences=2)
    with pytest.raises(ValueError, match="must have 6 images together, got 5"):
        model.generate(**{**inputs, "pixel_values": inputs["pixel_values"][:5]})


@pytest.mark.slow
def test_questions_with_several_images_or_none_get_their_own_images(
    model: Any, request_: RoutedRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference is the base model with one question at a time, under a plan that keeps the dense mapping module."""
    batch = tiny_inputs(lengths=(3, 5, 4, 4), images=(2, 0, 1, 2))
    options = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    made, length = model.generate(**batch, plan=2, **options), batch["input_ids"].shape[1]
    source, first = load_model(request_.trials[2].model).model, 0
    for row, count in enumerate((2, 0, 1, 2)):
        kept = batch["attention_mask"][row].bool()
        one = {name: batch[name][row : row + 1, kept] for name in ("input_ids", "attention_mask")}
        if count:
            one["pixel_values"] = batch["pixel_values"][first : first + count]
        first += count
        assert made[row, length:].tolist() == source.generate(**one, **options)[0, kept.sum() :].tolist()
    with pytest.raises(ValueError, match="knows questions with 1 images, got one with 0: choose a plan"):
        model.generate(**batch)
    monkeypatch.setitem(model.config.routed, "images", [0, 1, 2])
    plans = torch.tensor([2, 0, 2, 0])
    monkeypatch.setattr(model, "plans_of", lambda *_, **__: plans, raising=False)
    mixed = model.generate(**batch, **options)
    alone = {plan: model.generate(**batch, plan=plan, **options) for plan in (0, 2)}
    for row, plan in enumerate(plans.tolist()):
        assert mixed[row].tolist() == alone[plan][row].tolist()


@pytest.mark.slow
def test_exchanged_mapping_modules_are_noticed(
    request_: RoutedRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exchanged(*given: Any) -> Any:
        built = routed_model(*given)
        built.mappings = torch.nn.ModuleList([built.mappings[number] for number in (1, 0, 2)])
        return built

    monkeypatch.setattr(write_routed, "routed_model", exchanged)
    with pytest.raises(ExportError, match="have another answer"):
        export_routed(request_, tmp_path / "model", say=lambda line: None)
    assert not (tmp_path / "model").exists()


def test_plans_that_do_not_share_their_weights_are_refused(request_: RoutedRequest, tmp_path: Path) -> None:
    trial = request_.trials[0]
    pruned = trial.model_copy(update={"plan": Plan.parse("{h50}....")})
    lora = trial.model_copy(update={"model": trial.model.model_copy(update={"trainable": "lora"})})
    for other, told in ((pruned, "must share their weights"), (lora, "got --trainable lora")):
        with pytest.raises(ExportError, match=told):
            export_routed(request_.model_copy(update={"trials": (other,)}), tmp_path / "model")
