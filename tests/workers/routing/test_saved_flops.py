"""FLOPs saved by a second answer, compared with a second pass that starts from the first one's hidden states."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from objectives.flops import flops
from objectives.workload import Workload
from spaces.plan import Plan
from tests.workers.tiny import NUM_VISUAL, inputs, tiny_model
from workers.apply_plan import apply_plan
from workers.models.llava_config import LlavaConfig
from workers.routing.costs import num_shared_blocks, saved_flops

MODEL = tiny_model()
SHAPE = LlavaConfig.of(MODEL.config.to_dict()).shape(bytes_per_parameter=4)
TEXT = 6


def first_pass(plan: Plan, inputs_of_block: int) -> torch.Tensor:
    """The hidden states that enter a block in the prompt pass of a plan."""
    caught = []
    block = MODEL.model.language_model.layers[inputs_of_block]
    hook = block.register_forward_pre_hook(lambda _, args, kwargs: caught.append(args[0]), with_kwargs=True)
    try:
        with apply_plan(MODEL, plan), torch.no_grad():
            MODEL(**inputs(lengths=(TEXT - 1,)))
    finally:
        hook.remove()
    return caught[0]


@pytest.mark.parametrize(("first", "second", "shared"), [(".fbb", ".faf", 2), ("bb..", "....", 0), ("a.f.", "a.f.", 4)])
def test_the_second_pass_from_the_first_difference_gives_the_same_logits_for_the_counted_flops(
    first: str, second: str, shared: int
) -> None:
    one, other = Plan.parse(first), Plan.parse(second)
    assert num_shared_blocks(one, other) == shared
    with apply_plan(MODEL, other), torch.no_grad():
        whole = MODEL(**inputs(lengths=(TEXT - 1,))).logits[0, -1]
    hidden = first_pass(one, min(shared, 3)) if shared < 4 else None
    workload = Workload(visual_tokens=NUM_VISUAL, text_tokens=TEXT, generated_tokens=1)
    tokens = [(NUM_VISUAL, TEXT, 1, 1)]
    saved = saved_flops(SHAPE, one, other, tokens, workload, same_weights=True)[0]
    if hidden is not None:
        rest = Plan.parse("b" * shared + second[shared:])
        with apply_plan(MODEL, rest), torch.no_grad(), FlopCounterMode(display=False) as counter:
            state = MODEL.model.language_model(inputs_embeds=hidden).last_hidden_state[:, -1:]
            logits = MODEL.lm_head(state)[0, -1]
        torch.testing.assert_close(logits, whole)
        assert counter.get_total_flops() == flops(SHAPE, other, workload).total - saved
    else:
        assert flops(SHAPE, other, workload).head == flops(SHAPE, other, workload).total - saved


def test_with_another_mapping_module_only_the_vision_tower_is_shared() -> None:
    workload = Workload(visual_tokens=NUM_VISUAL, text_tokens=TEXT, generated_tokens=3)
    one, other = Plan.parse(".fbb"), Plan.parse(".faf")
    tokens = [(NUM_VISUAL, TEXT, 3, 1)] * 2
    found = saved_flops(SHAPE, one, other, tokens, workload, same_weights=False)
    assert found.tolist() == [flops(SHAPE, other, workload).vision] * 2


def test_with_two_images_the_vision_tower_is_shared_for_both() -> None:
    mean = Workload(visual_tokens=NUM_VISUAL, text_tokens=TEXT, generated_tokens=1)
    one, other = Plan.parse("...."), Plan.parse("b...")
    single, double = saved_flops(
        SHAPE, one, other, [(NUM_VISUAL, TEXT, 1, 1), (2 * NUM_VISUAL, TEXT, 1, 2)], mean, same_weights=False
    )
    assert double == 2 * single
