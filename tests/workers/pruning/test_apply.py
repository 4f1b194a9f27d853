"""A model under a pruned plan against a copy with zeros in its weights, and the FLOPs that remain."""

import copy

import pytest
import torch
from hypothesis import given, settings
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, StaticCache

from objectives.flops import costs
from objectives.workload import Workload
from spaces.plan import Op, Plan, PlanError
from spaces.pruning import Calibration
from tests.fast import draws
from tests.spaces.drawn import pruned_plans
from tests.workers.pruning.test_masks import brute_force
from tests.workers.test_apply_plan import cached_logits, logits, positions_of, with_answers
from tests.workers.test_flops_counter import SHAPE
from tests.workers.tiny import IMAGE_TOKEN, NUM_BLOCKS, NUM_VISUAL, inputs, tiny_model
from workers.apply_plan import apply_plan
from workers.pruning.inputs import PruningInputs

MODEL = tiny_model()
ATTENTION, FFN = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")
HEAD, GROUPS, SHARED = 10, 2, 2  # head size, key-value heads, query heads of each
PLANS = [
    *("{w50}....", "{m50}....", "{w2:4}....", "{m4:8/ffn}....", "{w70/attn/image}....", "{saved}...."),
    *("{ffn50}....", "{ffn25/text}....", "{h50}....", "{ffn75,h50/image}....", "{w50,ffn50,h50}...."),
    *("a{w50}f{h50}p{ffn50}b", ".{w2:4}av{w50}bg{ffn50}pt{h50}", "({h50})g{w50}..{saved/ffn}"),
    *("fv{ffn50}at{h50}bv{h50,ffn50}.{m9}", "[]t{ffn50}.a"),
]  # fmt: skip


def layers(model):
    for index, block in enumerate(model.model.language_model.layers):
        for name in ATTENTION:
            yield index, f"self_attn.{name}", block.self_attn.get_submodule(name)
        for name in FFN:
            yield index, f"mlp.{name}", block.mlp.get_submodule(name)


def drawn_inputs(seed=0):
    """Return random norms and masks; other tests cover how they are measured."""
    generator = torch.Generator().manual_seed(seed)
    norms, masks = {mode: {} for mode in Calibration}, {}
    for index, path, layer in layers(MODEL):
        masks[f"{index}.{path}"] = torch.rand(layer.weight.shape, generator=generator) < 0.4
        for mode in Calibration:
            norms[mode][f"{index}.{path}"] = torch.rand(layer.in_features, generator=generator) + 0.01
    return PruningInputs(norms, masks)


INPUTS = drawn_inputs()


def kept(importance: list[float], count: int) -> list[int]:
    return sorted(sorted(range(len(importance)), key=lambda place: -importance[place])[:count])


def cut_out(model, index, pruning):
    """Return indices of removed channels and query features, by a brute force over the output matrices."""
    norms, block = INPUTS.norms[pruning.calibration], model.model.language_model.layers[index]
    down, out = block.mlp.down_proj, block.self_attn.o_proj
    added = {
        name: [
            float((layer.weight[:, j] * norms[f"{index}.{path}"][j]).double().norm()) for j in range(layer.in_features)
        ]
        for name, path, layer in (("ffn", "mlp.down_proj", down), ("heads", "self_attn.o_proj", out))
    }
    size = HEAD * SHARED
    groups = [sum(a * a for a in added["heads"][g * size : (g + 1) * size]) for g in range(GROUPS)]
    channels = set(range(len(added["ffn"]))) - set(
        kept(added["ffn"], max(1, int(len(added["ffn"]) * pruning.ffn_width / 100 + 0.5)))
    )
    gone = set(range(GROUPS)) - set(kept(groups, max(1, int(GROUPS * pruning.head_width / 100 + 0.5))))
    return sorted(channels), [g * size + place for g in sorted(gone) for place in range(size)]


def with_zeros(plan):
    """A copy of the model in which every weight that a plan prunes is zero."""
    model = copy.deepcopy(MODEL)
    for index, path, layer in layers(model):
        pruning = plan.blocks[index].pruning
        if pruning is None:
            continue
        channels, features = cut_out(MODEL, index, pruning)
        gone = channels if path.endswith("down_proj") else features if path.endswith("o_proj") else []
        left = [column for column in range(layer.in_features) if column not in gone]
        half = "attn" if "attn" in path else "ffn"
        with torch.no_grad():
            layer.weight[:, gone] = 0
            if pruning.method == "saved" and pruning.linears in ("all", half):
                layer.weight *= INPUTS.masks[f"{index}.{path}"]
            elif pruning.method is not None and pruning.linears in ("all", half):
                norms = INPUTS.norms[pruning.calibration][f"{index}.{path}"][left]
                norms = norms if pruning.method == "wanda" else torch.ones(len(left))
                keep = torch.tensor(brute_force(layer.weight[:, left], norms, pruning))
                layer.weight[:, left] = layer.weight[:, left] * keep
    return model


def bare(plan):
    return Plan(tuple(block.pruned(None) for block in plan.blocks))


def check_zeros(plan, batch, answers=(1, 3)):
    labels, _ = with_answers(batch, answers)
    mask = batch["attention_mask"].bool()
    with apply_plan(MODEL, plan, INPUTS):
        got = logits(MODEL, batch, position_ids=positions_of(batch), labels=labels)
    model = with_zeros(plan)
    with apply_plan(model, bare(plan)):
        wanted = logits(model, batch, position_ids=positions_of(batch), labels=labels)
    # the sums of a narrow product are taken in another order than those with zeros in them
    torch.testing.assert_close(got[mask], wanted[mask], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("text", PLANS)
def test_equals_a_model_with_zeros(text):
    check_zeros(Plan.parse(text), inputs())


@pytest.mark.slow
@settings(max_examples=draws(40))
@given(pruned_plans(NUM_BLOCKS, NUM_BLOCKS))
def test_equals_a_model_with_zeros_for_mixed_plans(plan):
    check_zeros(plan, inputs())


@pytest.mark.parametrize("text", PLANS)
def test_the_model_is_as_it_was_afterwards(text):
    model = tiny_model()
    before, batch = {name: value.clone() for name, value in model.state_dict().items()}, inputs()
    was, attributes = logits(model, batch), {module: dict(vars(module)) for module in model.modules()}
    for fails in (False, True):
        try:
            with apply_plan(model, Plan.parse(text), INPUTS):
                assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
                assert not torch.equal(logits(model, batch), was)
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert torch.equal(logits(model, batch), was)
        assert {module: dict(vars(module)) for module in model.modules()} == attributes


@pytest.mark.parametrize("cache", ["dynamic", "static"])
@pytest.mark.parametrize("text", ["{h50}....", ".{h50,ffn50}av{h50}.{w50}bg{h50}", "at{h50}fg{h50}().{h50}"])
def test_logits_with_a_narrow_cache_equal_those_without(text, cache):
    plan, batch, cut = Plan.parse(text[: -len(".{h50}")] if text.startswith("at") else text), inputs(), 8
    mask, labels = batch["attention_mask"].bool(), batch["input_ids"].clone()
    labels[:, :cut] = -100
    made = DynamicCache(config=MODEL.config) if cache == "dynamic" else StaticCache(MODEL.config, max_cache_len=32)
    with apply_plan(MODEL, plan, INPUTS):
        whole = logits(MODEL, batch, position_ids=positions_of(batch), labels=labels)
        stepwise = cached_logits(MODEL, batch, cut, cache=made)
    torch.testing.assert_close(stepwise[mask], whole[mask], rtol=1e-4, atol=1e-4)
    heads = [layer.keys.shape[1] for layer in made.layers]
    narrow = [block.pruning is not None and block.pruning.head_width == 50 for block in plan.blocks]
    assert [count == 1 for count in heads] == [is_narrow for is_narrow in narrow]


def run_and_count(plan, text_tokens, generated):
    """FLOPs of `generate` in the decoder, and per linear layer the rows that it was run on and its matrix."""
    counter, rows, hooks = FlopCounterMode(display=False), [], []

    def note(key):
        def hook(_, args, out):
            if any(out.stride()):  # a skipped projection returns an expanded zero: all strides are 0
                rows.append((key, args[0].shape[:-1].numel()))

        return hook

    with apply_plan(MODEL, plan, INPUTS), torch.no_grad():
        for index, path, layer in layers(MODEL):
            hooks.append(layer.register_forward_hook(note((index, path))))
        try:
            with counter:
                MODEL.generate(
                    **inputs((text_tokens - 1,)),
                    max_new_tokens=generated,
                    min_new_tokens=generated,
                    do_sample=False,
                    suppress_tokens=[IMAGE_TOKEN],
                )
        finally:
            for hook in hooks:
                hook.remove()
    return counter.get_total_flops(), rows


def check_counts(plan, text_tokens=5, generated=3):
    """The closed form equals torch's counter; sparse FLOPs equal a count over the zeros of the weights that ran."""
    counted, rows = run_and_count(plan, text_tokens, generated)
    zeros = {}
    reference = with_zeros(plan)
    for index, path, layer in layers(reference):
        pruning = plan.blocks[index].pruning
        if pruning is None or pruning.method is None:
            continue
        channels, features = cut_out(MODEL, index, pruning)
        groups = sorted({feature // (HEAD * SHARED) for feature in features})
        keys = [g * HEAD + place for g in groups for place in range(HEAD)]
        name = path.rpartition(".")[2]
        gone_rows = {
            "q_proj": features,
            "k_proj": keys,
            "v_proj": keys,
            "gate_proj": channels,
            "up_proj": channels,
        }.get(name, [])
        gone_columns = {"o_proj": features, "down_proj": channels}.get(name, [])
        here = torch.ones(layer.weight.shape, dtype=torch.bool)
        here[gone_rows], here[:, gone_columns] = False, False
        zeros[index, path] = int(((layer.weight == 0) & here).sum())
    load = Workload(visual_tokens=NUM_VISUAL, text_tokens=text_tokens, generated_tokens=generated)
    found = costs(SHAPE, plan, load)
    assert counted == found.flops
    assert found.flops - found.sparse_flops == sum(2 * count * zeros.get(key, 0) for key, count in rows)


@pytest.mark.parametrize("text", [text for text in PLANS if "saved" not in text])
def test_costs_are_exact(text):
    check_counts(Plan.parse(text))


@pytest.mark.slow
@settings(max_examples=draws(25))
@given(pruned_plans(NUM_BLOCKS, NUM_BLOCKS))
def test_costs_are_exact_for_mixed_plans(plan):
    if not any(block.pruning and block.pruning.method == "saved" for block in plan.blocks):
        check_counts(plan)


def test_gradients_reach_the_input():
    embeddings = MODEL.get_input_embeddings()(inputs((4,))["input_ids"]).detach().requires_grad_(True)
    grads = []
    for model, plan in (
        (MODEL, Plan.parse("{w50,h50}..a.")),
        (with_zeros(Plan.parse("{w50,h50}..a.")), Plan.parse("..a.")),
    ):
        with apply_plan(model, plan, INPUTS):
            total = (
                model.model.language_model(inputs_embeds=embeddings, use_cache=False).last_hidden_state.square().sum()
            )
        grads.append(torch.autograd.grad(total, embeddings)[0])
    assert grads[0].abs().max() > 0
    torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".{w50}...", "Wanda and widths need norms of the input features, got them at block 1 without norms"),
        (".{ffn50}...", "pass apply_plan those of workers.pruning.calibrate, or prune by magnitude"),
        ("..{saved}..", "'{saved}' needs a mask file of the model, got it at block 2 without one: give --masks"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_changed(text, message):
    model = tiny_model()
    attributes = {module: dict(vars(module)) for module in model.modules()}
    with pytest.raises(PlanError, match=message.replace("{", r"\{")), apply_plan(model, Plan.parse("." + text[:-1])):
        raise AssertionError("must not be entered")
    assert {module: dict(vars(module)) for module in model.modules()} == attributes


def test_magnitude_needs_nothing():
    with apply_plan(MODEL, Plan.parse("{m2:4}....")):
        logits(MODEL, inputs())


def test_ops_that_run_nothing_of_a_block_are_unpruned():
    assert [block.pruning for block in Plan.parse("{w50}..b.").blocks if block.op is Op.SKIP_BLOCK] == [None]
