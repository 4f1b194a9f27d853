"""Invariants 4 and 5: the closed form equals torch's counter, and what is skipped is not executed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from objectives.flops import flops
from objectives.workload import Workload
from spaces.block import SINGLE_OPS
from spaces.plan import Block, Group, Op, Plan, Scope
from tests.fast import draws
from tests.spaces.drawn import plans
from tests.workers.tiny import IMAGE_TOKEN, NUM_BLOCKS, NUM_VISUAL, inputs, tiny_model
from workers.apply_plan import apply_plan
from workers.models.llava_config import LlavaConfig

MODEL = tiny_model()
SHAPE = LlavaConfig.of(MODEL.config.to_dict()).shape(bytes_per_parameter=4)
LEVELS = [Block(op, scope) for op in SINGLE_OPS if op is not Op.KEEP for scope in Scope]
PAIRS = [Plan.parse(f"{pair}{scope.mark}..") for pair in ("()", "[]") for scope in Scope]
EVERYWHERE = [Plan.dense(NUM_BLOCKS), *(Plan.of([level] * NUM_BLOCKS) for level in LEVELS), *PAIRS]


def count(plan: Plan, text_tokens: int, generated: int, batch: int) -> FlopCounterMode:
    """Runs `generate` as a user would, under eager attention."""
    asked = inputs(lengths=(text_tokens - 1,) * batch)
    counter = FlopCounterMode(display=False)
    with apply_plan(MODEL, plan), counter, torch.no_grad():
        MODEL.generate(
            **asked,
            max_new_tokens=generated,
            min_new_tokens=generated,
            do_sample=False,
            suppress_tokens=[IMAGE_TOKEN],
        )
    return counter


def check(plan: Plan, text_tokens: int, generated: int, batch: int) -> None:
    workload = Workload(visual_tokens=NUM_VISUAL, text_tokens=text_tokens, generated_tokens=generated, batch=batch)
    counter = count(plan, text_tokens, generated, batch)
    ledger = flops(SHAPE, plan, workload)
    found = {place: sum(counts.values()) for place, counts in counter.get_flop_counts().items()}
    top = type(MODEL).__name__
    # `generate` encodes the images apart, so tower and projector are counted under their own class names.
    assert found["CLIPVisionModel"] == ledger.vision
    assert found["LlavaMultiModalProjector"] == ledger.projector
    assert found.get(f"{top}.model.language_model", 0) == ledger.prefill + ledger.decode
    assert found[f"{top}.lm_head"] == ledger.head
    assert counter.get_total_flops() == ledger.total


@pytest.mark.parametrize("plan", EVERYWHERE, ids=str)
@pytest.mark.parametrize("generated", [1, 4])
def test_closed_form_is_exact_for_every_op_and_scope(plan, generated):
    check(plan, text_tokens=5, generated=generated, batch=1)


@pytest.mark.slow
@settings(max_examples=draws(60))
@given(plans(NUM_BLOCKS, NUM_BLOCKS), st.integers(2, 9), st.integers(1, 5), st.integers(1, 3))
def test_closed_form_is_exact_for_mixed_plans(plan, text_tokens, generated, batch):
    check(plan, text_tokens, generated, batch)


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
@pytest.mark.parametrize("generated", [1, 3])
def test_skipped_operators_are_not_executed(level, generated):
    """Per sub-layer, the rows that its output projection was run on, one pass after another."""
    block, rows = MODEL.model.language_model.layers[1], {"attention": [], "ffn": []}
    projections = {"attention": block.self_attn.o_proj, "ffn": block.mlp.down_proj}
    hooks = [
        module.register_forward_hook(lambda _, args, __, name=name: rows[name].append(args[0].shape[:-1].numel()))
        for name, module in projections.items()
    ]
    try:
        count(Plan.of([Op.KEEP, level, Op.KEEP, Op.KEEP]), 5, generated, 1)
    finally:
        for hook in hooks:
            hook.remove()
    passes = [{Group.VISUAL: NUM_VISUAL, Group.TEXT: 5}, *[{Group.GENERATED: 1}] * (generated - 1)]
    runs = {"attention": level.runs_attention, "ffn": level.runs_ffn}
    for name, run in runs.items():
        wanted = [sum(number for group, number in tokens.items() if run(group)) for tokens in passes]
        assert rows[name] == [number for number in wanted if number]


@pytest.mark.parametrize(
    ("text", "projected"),
    [
        ("b", []),  # nothing can attend: neither computed nor stored
        ("bv", [(5, 9), (1, 1), (1, 1)]),  # (rows of queries, rows of keys) in the prefill and in two decode steps
        ("bt", [(0, 9), (1, 1), (1, 1)]),
        ("bg", [(9, 9)]),
        ("fg", [(9, 9), (1, 1), (1, 1)]),
    ],
)
def test_queries_and_keys_are_made_for_the_rows_that_need_them(text, projected):
    rows = {"q_proj": [], "k_proj": []}
    hooks = []
    for name, found in rows.items():
        module = MODEL.model.language_model.layers[1].self_attn.get_submodule(name)
        # a skipped projection returns an expanded zero: all strides are 0
        hooks.append(
            module.register_forward_hook(
                lambda _, args, out, found=found: found.append(args[0].shape[1]) if any(out.stride()) else None
            )
        )
    try:
        count(Plan.parse(f".{text}.."), 5, 3, 1)
    finally:
        for hook in hooks:
            hook.remove()
    assert rows["q_proj"] == [queries for queries, _ in projected if queries]
    assert rows["k_proj"] == [keys for _, keys in projected]


def test_without_a_cache_nothing_is_computed_for_rows_that_nobody_reads():
    """A prompt that skips attention, with no token after it, computes no keys and values."""
    counters = {}
    for text in ("bt", "b"):
        counters[text] = FlopCounterMode(display=False)
        with apply_plan(MODEL, Plan.parse(f"...{text}")), counters[text], torch.no_grad():
            MODEL(**inputs((5,)), use_cache=False)
    assert counters["bt"].get_total_flops() == counters["b"].get_total_flops()
