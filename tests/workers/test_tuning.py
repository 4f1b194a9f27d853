"""Tuning changes the mapping module only, and is deterministic."""

import pytest
import torch

from spaces.plan import Plan
from workers.apply_plan import apply_plan
from workers.data.load_split import load_samples
from workers.inference.check_finite import NonFinite
from workers.inference.packed_forward import embed
from workers.inference.prepare import prepare
from workers.models.load_model import load_model
from workers.models.trainable import copy_state, put_state
from workers.requests import TuningRecipe
from workers.sources import DataSource
from workers.tuning import Tuning, TuningSchedule, cosine

RECIPE = TuningRecipe(learning_rate=5e-3, images_per_step=3, questions_per_image=2)


@pytest.fixture(scope="module")
def train(loaded):
    return prepare(loaded, load_samples(DataSource(name="tiny"), "train"))


@pytest.fixture(autouse=True)
def dense(loaded):
    before = copy_state(loaded.weights)
    yield before
    put_state(loaded.weights, before)


def tuned(loaded, train, *until, recipe=RECIPE, seed=0, plan="a..."):
    schedule = TuningSchedule(loaded, train, recipe, seed)
    schedule.learn_dense(until[-1])
    tuning = Tuning(schedule, until[-1])
    with apply_plan(loaded.model, Plan.parse(plan)):
        for steps in until:
            tuning.until(steps)
    return copy_state(loaded.weights)


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def loss_under(loaded, train, plan, recipe=RECIPE):
    schedule = TuningSchedule(loaded, train, recipe, seed=9)
    with apply_plan(loaded.model, Plan.parse(plan)), torch.no_grad():
        return Tuning(schedule, 1).loss(0).item()


def test_only_the_mapping_module_changes(loaded, train, dense):
    frozen = {n: p.clone() for n, p in loaded.model.named_parameters() if "projector" not in n}
    after = tuned(loaded, train, 3)
    assert all(torch.equal(frozen[n], p) for n, p in loaded.model.named_parameters() if n in frozen)
    assert all(not torch.equal(after[name], dense[name]) for name in dense), "every tensor of it is trained"
    assert {n for n, p in loaded.model.named_parameters() if p.requires_grad}.isdisjoint(frozen)


def test_wider_models_are_tuned_in_smaller_steps(loaded, train):
    schedule = TuningSchedule(loaded, train, TuningRecipe(), seed=0)
    width = loaded.model.config.text_config.hidden_size
    assert schedule.learning_rate == pytest.approx(2e-3 * 96 / width)
    assert TuningSchedule(loaded, train, RECIPE, seed=0).learning_rate == 5e-3


def test_the_loss_falls(loaded, train):
    before = loss_under(loaded, train, "a...")
    tuned(loaded, train, 40)
    assert loss_under(loaded, train, "a...") < before - 0.1


@pytest.mark.slow
def test_half_precision_learns_too(tiny_source):
    """Single steps this small are rounded away in bfloat16; their sum must not be."""
    loaded = load_model(tiny_source.model_copy(update={"dtype": "bfloat16"}))
    train = prepare(loaded, load_samples(DataSource(name="tiny"), "train"))
    before = copy_state(loaded.weights)
    after = tuned(loaded, train, 30, recipe=RECIPE.model_copy(update={"learning_rate": 2e-4}))
    moved = [(after[name] - before[name]).float().abs().max().item() for name in before]
    assert after["model.multi_modal_projector.linear_1.weight"].dtype == torch.bfloat16
    assert min(moved) > 5e-4 and max(moved) < 30 * 2e-4


def test_rung_by_rung_equals_in_one_go(loaded, train, dense):
    in_one_go = tuned(loaded, train, 9)
    put_state(loaded.weights, dense)
    assert same(tuned(loaded, train, 2, 5, 9), in_one_go)


def test_seed_decides_the_order(loaded, train, dense):
    one = tuned(loaded, train, 3, seed=1)
    put_state(loaded.weights, dense)
    assert same(tuned(loaded, train, 3, seed=1), one)
    put_state(loaded.weights, dense)
    assert not same(tuned(loaded, train, 3, seed=2), one)


def test_every_image_comes_before_any_comes_again(loaded, train):
    schedule = TuningSchedule(loaded, train, TuningRecipe(images_per_step=4, questions_per_image=3), seed=0)
    drawn = [schedule.batch(step).images.tolist() for step in range(4)]
    assert sorted(drawn[0] + drawn[1]) == sorted(drawn[2] + drawn[3]) == list(range(8))
    assert drawn[:2] != drawn[2:]


def test_the_loss_is_that_of_every_answer_by_itself(loaded, train):
    """Packed or not: the mean over answer tokens of the loss of plain sequences."""
    schedule = TuningSchedule(loaded, train, TuningRecipe(images_per_step=8, questions_per_image=3), seed=0)
    total, count = 0.0, 0
    for item in train.items:
        ids = torch.tensor([[*item.prompt, *item.answer]])
        with torch.no_grad():
            embeddings = embed(loaded, ids, train.features[[item.image]])
            logits = loaded.model(inputs_embeds=embeddings).logits[0, len(item.prompt) - 1 : -1]
        total += torch.nn.functional.cross_entropy(logits, torch.tensor(item.answer), reduction="sum").item()
        count += len(item.answer)
    with torch.no_grad():
        assert Tuning(schedule, 1).loss(0).item() == pytest.approx(total / count, rel=1e-4)


def test_divergence_from_the_dense_model_is_zero_for_the_dense_model(loaded, train):
    recipe = RECIPE.model_copy(update={"kl_weight": 3.0})
    with_kl, without = (TuningSchedule(loaded, train, each, seed=0) for each in (recipe, RECIPE))
    with_kl.learn_dense(1)
    with torch.no_grad():
        assert Tuning(with_kl, 1).loss(0).item() == pytest.approx(Tuning(without, 1).loss(0).item(), abs=1e-6)
        with apply_plan(loaded.model, Plan.parse("a...")):
            assert Tuning(with_kl, 1).loss(0).item() > Tuning(without, 1).loss(0).item() + 0.01
    assert len(with_kl.dense_logits(0)) == len(with_kl.batch(0).targets)


def test_a_loss_that_is_not_finite_is_an_error(loaded, train):
    with torch.no_grad():
        next(iter(loaded.weights.values())).fill_(float("nan"))
    with pytest.raises(NonFinite, match="loss must be finite"):
        tuned(loaded, train, 2, recipe=RECIPE)


def test_the_schedule():
    assert cosine(0, 10) == 1.0
    assert cosine(5, 10) == pytest.approx(0.5)
    assert 0 < cosine(9, 10) < 0.03


def test_logits_are_those_of_labeled_positions(loaded, train):
    schedule = TuningSchedule(loaded, train, RECIPE, seed=0)
    with torch.no_grad():
        logits = schedule.logits(0)
    assert logits.shape == (len(schedule.batch(0).targets), loaded.model.config.text_config.vocab_size)
