"""Invariants 4 and 5: the closed form equals torch's counter, and what is skipped is not executed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from objectives.flops import flops
from objectives.workload import Workload
from spaces.plan import Op, Plan
from tests.workers.tiny import IMAGE_TOKEN, NUM_BLOCKS, NUM_VISUAL, inputs, tiny_model
from workers.apply_plan import apply_plan
from workers.describe import shape_of
from workers.families import families_of

MODEL = tiny_model()
SHAPE = shape_of(families_of(MODEL.config.to_dict()), bytes_per_parameter=4)
OPS = st.lists(st.sampled_from(list(Op)), min_size=NUM_BLOCKS, max_size=NUM_BLOCKS)


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


@pytest.mark.parametrize("op", list(Op))
@pytest.mark.parametrize("generated", [1, 4])
def test_closed_form_is_exact_for_every_op(op, generated):
    check(Plan.of([op] * NUM_BLOCKS), text_tokens=5, generated=generated, batch=1)


@settings(max_examples=25, deadline=None)
@given(OPS.map(Plan.of), st.integers(2, 9), st.integers(1, 5), st.integers(1, 3))
def test_closed_form_is_exact_for_mixed_plans(plan, text_tokens, generated, batch):
    check(plan, text_tokens, generated, batch)


@pytest.mark.parametrize("op", list(Op))
def test_skipped_operators_are_not_executed(op):
    places = count(Plan.of([Op.KEEP, op, Op.KEEP, Op.KEEP]), 5, 3, 1).get_flop_counts()
    block = f"{type(MODEL).__name__}.model.language_model.layers.1"
    assert (sum(places.get(f"{block}.self_attn", {}).values()) > 0) == op.runs_attention
    assert (sum(places.get(f"{block}.mlp", {}).values()) > 0) == op.runs_ffn
