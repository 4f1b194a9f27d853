"""Slopes of gates against finite differences of the plain forward from pixels, by scaled weights of every family.

The reference knows no hooks, batches, padding, packs or KV cache: one question at a time, in float64, with the last
weights of all sub-layers scaled by their gates.
"""

import json
from contextlib import contextmanager
from functools import cache
from itertools import product
from unittest.mock import patch

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from spaces.plan import Op, Plan, Scope
from tests.fast import but_slow
from tests.workers.hub import ALL_KINDS, FEW, hub_model, hub_processor, hub_samples
from tests.workers.test_apply_plan import snapshot
from workers.apply_plan import apply_plan
from workers.blocks.anatomy import anatomy_of
from workers.evaluation import importance as measuring
from workers.evaluation.importance import DRAWS, gate_importance, gate_slopes, random_gates
from workers.inference.check_finite import NonFinite
from workers.inference.packed_split import PackedSplit
from workers.inference.prepare import prepare
from workers.models.chat_template import PromptEncoder
from workers.models.load_model import assemble
from workers.models.processor import on_device
from workers.models.prompt_forms import PROMPT_FORMS
from workers.reports import TrialReport, TrialState
from workers.requests import Rung, TrialRequest
from workers.sources import DataSource
from workers.trial import Worker, run_trial

STEP = 2e-3
"""Step of the finite differences: long, because norms compute in float32 in any model."""
SHORT_STEPS = dict.fromkeys(("blip-2", "instructblip", "qwen3_vl_moe"), 5e-4)
"""Shorter steps, because ReLUs are not differentiable at 0, and routers of experts are not continuous."""
OUTPUTS = ("o_proj.", "out_proj.", "down_proj", "fc2.")
"""Names of the last weights of a sub-layer, and of their bias."""
POST_NORMS = {"gemma3": ("post_attention_layernorm", "post_feedforward_layernorm")}
"""Families that normalize the output of a sub-layer; their norms multiply by 1 + weight."""
GATES = 0.3 + 0.7 * torch.rand(4, 2, 3, generator=torch.Generator().manual_seed(1))
"""(blocks, 2, questions). Not near 0, where a norm after a sub-layer is not linear within a step."""
ASKED = (1, 5, 0, 6, 2)
"""Questions of `hub_samples` on three images of different shapes, with answers of two to four tokens. Three are of one
image: a pack puts them next to each other, which permutes the first three, and all five by a permutation that is not
its own inverse."""
EACH = pytest.mark.parametrize("family", but_slow(ALL_KINDS, FEW[:2]))


@cache
def model_of(family):
    return assemble(hub_model(family), PromptEncoder(hub_processor(family), PROMPT_FORMS.get(family)))


@cache
def split_of(family):
    samples = hub_samples("search")
    return prepare(model_of(family), [samples[index] for index in ASKED])


@cache
def exact_of(family):
    """The same model in float64."""
    model = hub_model(family).double()
    if hasattr(model.config.get_text_config(), "num_experts_per_tok"):
        model.set_experts_implementation("eager")  # torch groups no matrix products in float64
    return model


def last_weights(family, part, half):
    """Return pairs of a last weight of attention (0) or FFN (1) and the constant that the model adds to it."""
    if family in POST_NORMS:
        return [(getattr(part.block, POST_NORMS[family][half]).weight, 1.0)]
    modules = (part.attention,) if half == 0 else part.ffn
    owners = {name: child for name, child in part.block.named_children() if child in modules}
    named = [(f"{name}.{path}", w) for name, child in owners.items() for path, w in child.named_parameters()]
    found = [(weight, 0.0) for name, weight in named if any(end in name for end in OUTPUTS)]
    assert found, "the last weights are known by name"
    return found


@contextmanager
def scaled(family, model, gates):
    """Inside the `with`, the output of sub-layer h of block b is multiplied by `gates[b][h]`."""
    saved = []
    try:
        for part, pair in zip(anatomy_of(model).parts, gates, strict=True):
            for half, gate in enumerate(pair):
                for weight, offset in last_weights(family, part, half):
                    saved.append((weight, weight.detach().clone()))
                    weight.data.add_(offset).mul_(gate).sub_(offset)
        yield
    finally:
        for weight, before in saved:
            weight.data.copy_(before)


def loss_of(family, loaded, sample, gates):
    """NLL of the right answer in one pass of the float64 model over prompt, picture and answer."""
    model = exact_of(family)
    inputs = on_device(loaded.prompt_encoder.inputs([sample.question], [sample.image]), loaded.device, torch.float64)
    words = loaded.processor.tokenizer(sample.answers[0], add_special_tokens=False).input_ids
    answer = torch.tensor([[*words, 2]])
    longer = {"input_ids": answer[:, :-1], "attention_mask": torch.ones_like(answer[:, :-1])}
    longer["mm_token_type_ids"] = torch.zeros_like(answer[:, :-1])
    longer["token_type_ids"] = torch.full_like(answer[:, :-1], int(family == "paligemma"))  # there 0 is the prompt
    given = {name: torch.cat([value, longer[name]], 1) if name in longer else value for name, value in inputs.items()}
    if "cross_attention_mask" in given:  # one row a token, all of the answer's like the prompt's last
        mask = given["cross_attention_mask"]
        given["cross_attention_mask"] = torch.cat([mask, mask[:, -1:].expand(-1, len(words), -1, -1)], 1)
    # where there are labels, an answer that is fed counts as generated for the scopes of a plan
    given["labels"] = given["input_ids"].clone()
    given["labels"][:, : -len(words)] = -100
    with scaled(family, model, gates), torch.no_grad():
        said = model(**given).logits[0, -answer.shape[1] :].double().log_softmax(-1)
    return -said.gather(-1, answer[0][:, None]).sum().item()


def slope(family, loaded, sample, given, block, half):
    """d NLL / d gate of a sub-layer at the (blocks, 2) gates given, by central differences of the fourth order."""

    def at(step):
        gates = given.double().clone()
        gates[block, half] += step
        return loss_of(family, loaded, sample, gates.tolist())

    step = SHORT_STEPS.get(family, STEP)
    return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)


def reference(family, questions):
    """(blocks, 2, questions), at the gates of each question."""
    loaded, samples, gates = model_of(family), split_of(family).samples, GATES[..., :questions]
    found = torch.zeros(gates.shape)
    for block, half, question in product(*map(range, gates.shape)):
        found[block, half, question] = slope(family, loaded, samples[question], gates[..., question], block, half)
    return found


def check_reference(family, questions):
    with patch("workers.evaluation.importance.random_gates", lambda num_blocks, count, seed: GATES[None, ..., :count]):
        (found,) = gate_slopes(model_of(family), split_of(family), questions, 0)
    # 1e-6, a rounding of a NLL of about 10 from float32 within the reference, times 16 by 12 steps
    torch.testing.assert_close(found, reference(family, questions), rtol=2e-3, atol=7e-4)
    return found


@EACH
def test_slopes_are_those_of_finite_differences(family):
    assert isinstance(split_of(family), PackedSplit) == (family == "llava")
    found = check_reference(family, 3).abs().mean(-1)
    assert found.min() > 0 and found.max() > 3 * found.min(), "the test would not see halves exchanged"


@pytest.mark.parametrize("family", ["llava", "qwen2_vl"])
def test_it_is_what_opening_wins(family):
    """Gains are summed over questions without the losses of others."""
    slopes = gate_slopes(model_of(family), split_of(family), len(ASKED), 0)
    assert len(slopes) == DRAWS > 1
    of_half = slopes.permute(1, 2, 0, 3).flatten(2).tolist()
    wanted = [[sum(max(-one, 0) for one in half) / (DRAWS * len(ASKED)) for half in block] for block in of_half]
    found = gate_importance(model_of(family), split_of(family), len(ASKED), 0)
    assert np.array(found) == pytest.approx(np.array(wanted))
    signs = slopes.sign()
    for summed in (0, -1):
        assert (signs.amin(summed) < signs.amax(summed)).any(), "the test would not see them added up first"


def test_gates_are_uniform_and_independent():
    gates = random_gates(6, 4000, seed=7)
    assert gates.shape == (DRAWS, 6, 2, 4000) and torch.equal(gates, random_gates(6, 4000, seed=7))
    rows = torch.cat([gates, random_gates(6, 4000, seed=8)]).flatten(0, 2)
    # The largest of some hundred such distances of 4,000 draws is above 0.035 once in 100.
    assert all(kstest(row, "uniform").statistic < 0.035 for row in rows)
    correlations = torch.corrcoef(rows) - torch.eye(len(rows))
    assert correlations.abs().max() < 0.08, "five standard deviations"


def test_of_one_question():
    check_reference("qwen2_vl", 1)


@pytest.mark.parametrize("text", but_slow(["b.af", "pv().", "avfg[]", "ptag.f"], ["b.af", "avfg[]"]))
@pytest.mark.parametrize("family", ["llava", "qwen2_vl"])
def test_under_a_plan_it_is_that_of_the_plan(family, text):
    plan = Plan.parse(text)
    with apply_plan(model_of(family).model, plan), apply_plan(exact_of(family), plan):
        found = check_reference(family, 2)
    skips = [(Op.SKIP_BLOCK, Op.SKIP_ATTN), (Op.SKIP_BLOCK, Op.SKIP_FFN)]
    for pair, level in zip(found.abs().amax(-1).tolist(), plan.blocks, strict=True):
        assert [value == 0 for value in pair] == [level.scope is Scope.ALL and level.op in ops for ops in skips]


@pytest.mark.parametrize(("text", "zeros"), [(".c..", {(1, 0)}), ("bbbb", {(b, h) for b in range(4) for h in (0, 1)})])
def test_where_no_image_is_read(text, zeros):
    with apply_plan(model_of("mllama").model, Plan.parse(text)):
        found = gate_slopes(model_of("mllama"), split_of("mllama"), 3, 0).abs().amax((0, -1))
    assert {(block, half) for block in range(4) for half in (0, 1) if found[block, half] == 0} == zeros


@EACH
def test_it_does_not_depend_on_batches(family, monkeypatch):
    alone = {}
    for at_once in (1, 2, len(ASKED)):
        monkeypatch.setattr(measuring, "AT_ONCE", at_once)
        alone[at_once] = gate_slopes(model_of(family), split_of(family), len(ASKED), 0)
    for other in (alone[2], alone[len(ASKED)]):
        # float32 sums in another order, and padding of another width: the largest seen is 1.7e-4, one slope of 160
        torch.testing.assert_close(other, alone[1], rtol=3e-4, atol=3e-5)


def test_few_questions_are_read_at_once(monkeypatch):
    loaded, samples = model_of("llava"), hub_samples("search")
    prepared, seen = prepare(loaded, samples), []
    hook = loaded.decoder.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(len(kwargs["inputs_embeds"])), with_kwargs=True
    )
    try:
        gate_importance(loaded, prepared, 18, 0)
    finally:
        hook.remove()
    assert seen == [8] * DRAWS + [8] * DRAWS + [2] * DRAWS


@pytest.mark.parametrize("family", ["llava", "qwen3_vl", "gemma3", "mllama", "instructblip"])
def test_bfloat16_stays_near_float32(family):
    exact = torch.tensor(gate_importance(model_of(family), split_of(family), 5, 0))
    half = assemble(hub_model(family).bfloat16(), model_of(family).prompt_encoder)
    found = torch.tensor(gate_importance(half, prepare(half, split_of(family).samples), 5, 0))
    # 8 bits of mantissa through four blocks of random weights, behind gates that may be nearly shut
    torch.testing.assert_close(found, exact, rtol=0.3, atol=0.02 * exact.max().item())


def hooks_of(model):
    return [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()]


@EACH
def test_the_model_is_left_as_it_was(family):
    loaded, prepared = model_of(family), split_of(family)
    batch = prepared.answer_batch(loaded, range(3), 1)
    with torch.no_grad():
        before, hooks, state = prepared.answer_logits(loaded, batch), hooks_of(loaded.model), snapshot(loaded.model)
        grads = [(weight.requires_grad, weight.grad) for weight in loaded.model.parameters()]
        found = gate_importance(loaded, prepared, 3, 0)
        assert torch.equal(prepared.answer_logits(loaded, batch), before)
    assert found == gate_importance(loaded, prepared, 3, 0), "it needs no gradients of its caller"
    assert (hooks_of(loaded.model), snapshot(loaded.model)) == (hooks, state)
    assert [(weight.requires_grad, weight.grad) for weight in loaded.model.parameters()] == grads
    assert all(grad is None for _, grad in grads)


@pytest.mark.parametrize("family", ["llava", "qwen2_vl"])
def test_logits_that_are_no_numbers(family):
    loaded, hooks = model_of(family), hooks_of(model_of(family).model)
    kept = loaded.head.weight[3].clone()
    try:
        loaded.head.weight.data[3] = float("inf")
        with pytest.raises(NonFinite, match="logits must be finite"):
            gate_importance(loaded, split_of(family), 2, 0)
    finally:
        loaded.head.weight.data[3] = kept
    assert hooks_of(loaded.model) == hooks


def test_gradients_that_are_no_numbers():
    loaded = model_of("llava")

    def overflow(module, args, logits):
        logits.register_hook(lambda gradient: gradient * float("inf"))

    hook = loaded.head.register_forward_hook(overflow)
    try:
        with pytest.raises(NonFinite, match="gradients of the gates must be finite"):
            gate_importance(loaded, split_of("llava"), 2, 0)
    finally:
        hook.remove()


def test_an_error_within_leaves_no_hooks(monkeypatch):
    loaded, prepared = model_of("llava"), split_of("llava")
    hooks = hooks_of(loaded.model)
    ffn = anatomy_of(loaded.model).parts[2].ffn[0]
    monkeypatch.setattr(ffn, "forward", lambda hidden_states: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        gate_importance(loaded, prepared, 2, 0)
    assert hooks_of(loaded.model) == hooks


class TestRungs:
    @pytest.fixture
    def request_of(self, tiny_source):
        def make(*rungs):
            plan = json.loads(Plan.parse("a..p").to_json())
            return TrialRequest(
                plan=plan, model=tiny_source, data=DataSource(name="tiny"), threads=1, seed=4, rungs=rungs
            )

        return make

    @pytest.mark.parametrize("error", [NonFinite("an overflow"), MemoryError(), torch.OutOfMemoryError()])
    def test_a_trial_goes_on_without_it(self, request_of, monkeypatch, error):
        def fail(*_):
            raise error

        monkeypatch.setattr("workers.rungs.gate_importance", fail)
        report = run_trial(
            Worker(), request_of(Rung(questions=5, importance=True), Rung(questions=7)), lambda rung: True
        )
        assert report.state is TrialState.COMPLETE, report.reason
        assert [rung.importance for rung in report.rungs] == [None, None]

    def test_a_rung_reports_it_where_asked(self, request_of):
        worker = Worker()
        request = request_of(Rung(questions=5, importance=True), Rung(questions=7), Rung(importance=True))
        assert TrialRequest.model_validate_json(request.model_dump_json()) == request
        report = run_trial(worker, request, lambda rung: True)
        assert report.state is TrialState.COMPLETE, report.reason
        first, second, third = report.rungs
        session = worker.session
        with apply_plan(session.loaded.model, Plan.parse("a..p")):
            wanted = [gate_importance(session.loaded, session.split("search"), count, 4) for count in (5, 24)]
        assert [first.importance, second.importance, third.importance] == [wanted[0], None, wanted[1]]
        assert wanted[0] != wanted[1]
        assert first.importance[0][0] == 0 < min(first.importance[0][1], *map(min, first.importance[1:]))
        assert first.seconds["importance"] > 0, "a lap of its own"
        again = TrialReport.model_validate_json(report.model_dump_json())
        assert again == report and again.rungs[0].importance == wanted[0]
