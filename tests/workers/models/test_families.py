"""The invariants on the decoder of every family, against a reference that knows a block by its output weights only.

The decoder gets embeddings and their token groups, so that one test covers all families; what is before the
decoder (tower, projector, the way a family writes image tokens) is not run here.
"""

from contextlib import ExitStack, contextmanager
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache

from objectives.flops import flops
from objectives.workload import Workload
from spaces.block import SINGLE_OPS
from spaces.kinds import BlockKind
from spaces.plan import Block, Op, Plan, PlanError, Scope
from spaces.shape import ModelShape, VisionShape
from tests.fast import but_slow, draws
from tests.spaces.drawn import fitted, plans
from tests.workers.test_apply_plan import snapshot
from tests.workers.zoo import FAMILIES, NUM_BLOCKS, OTHERS, TEXT, zoo_model
from workers.apply_plan import apply_plan
from workers.blocks.anatomy import anatomy_of, find_blocks
from workers.blocks.token_groups import CODES, token_groups

EACH = pytest.mark.parametrize("family", but_slow([*FAMILIES, *OTHERS], ("llava", "qwen3_vl", "gemma3", "aya_vision")))
LEVELS = [Block(op, scope) for op in SINGLE_OPS if op is not Op.KEEP for scope in Scope]
PAIRS = [Plan.parse(f".{pair}{scope.mark}.") for pair in ("()", "[]") for scope in Scope]
PLANS = [*(Plan.of([level] * NUM_BLOCKS) for level in LEVELS), *PAIRS, Plan.parse("avbtpgfv"), Plan.parse("bga()v")]
KINDS = "tvvtvvttgg"
"""The groups of the rows: two images, text around them, two tokens fed back."""
PROMPT = KINDS.index("g")
MODELS = {}


@pytest.fixture
def model(family):
    if family not in MODELS:
        MODELS[family] = zoo_model(family)
    return MODELS[family]


def rows(seed=0, batch=2):
    """Embeddings (B, T, width), a mask with padding on the left of the first sequence, and the groups of the rows."""
    letters = {group[0]: code for group, code in CODES.items()}
    embeddings = torch.randn(batch, len(KINDS), TEXT["hidden_size"], generator=torch.Generator().manual_seed(seed))
    mask = torch.ones(batch, len(KINDS), dtype=torch.long)
    mask[0, :2] = 0
    return embeddings, mask, torch.tensor([[letters[kind] for kind in KINDS]] * batch)


@torch.no_grad()
def read(model, embeddings, mask, groups, cache=None):
    with token_groups(groups):
        decoder = anatomy_of(model).decoder
        output = decoder(
            inputs_embeds=embeddings, attention_mask=mask, past_key_values=cache, use_cache=cache is not None
        )
    return output.last_hidden_state


def read_in_steps(model, embeddings, mask, groups):
    cache = DynamicCache(config=model.config.get_text_config())
    cuts = [0, PROMPT, *range(PROMPT + 1, len(KINDS) + 1)]
    parts = [read(model, embeddings[:, a:b], mask[:, :b], groups[:, a:b], cache) for a, b in pairwise(cuts)]
    return torch.cat(parts, dim=1)


@contextmanager
def zeroed(*modules):
    """Set their parameters to 0, so that they add nothing to the residual."""
    saved = [(parameter, parameter.clone()) for module in modules for parameter in module.parameters()]
    try:
        for parameter, _ in saved:
            parameter.zero_()
        yield
    finally:
        for parameter, before in saved:
            parameter.copy_(before)


def last_linear(module):
    return [each for each in module.modules() if isinstance(each, torch.nn.Linear)][-1]


@torch.no_grad()
def reference(model, plan, embeddings, mask, groups):
    """Every block is run with zeroed sub-layers on the input that the table names; then rows are chosen by scope."""
    anatomy = anatomy_of(model)
    outputs = []  # of blocks that wait for the second of their pair
    with ExitStack() as stack:
        for block, level, before in zip(anatomy.blocks, plan.blocks, (None, *plan.blocks), strict=False):
            attention = next(child for child in block.children() if hasattr(child, "layer_idx"))
            ends = last_linear(attention), block.fc2 if hasattr(block, "fc2") else last_linear(block.mlp)
            stack.callback(vars(block).pop, "forward")
            block.forward = reference_block(block.forward, *ends, level, before, groups, outputs)
        return anatomy.decoder(inputs_embeds=embeddings, attention_mask=mask, use_cache=False).last_hidden_state


def reference_block(run, attention_end, ffn_end, level, before, groups, outputs):
    scope = before.scope if level.op is Op.PAIRED else level.scope
    inside = torch.isin(groups, torch.tensor([CODES[group] for group in scope.groups]))[..., None]

    def forward(x, *args, **kwargs):
        def halves(*silent):
            with zeroed(*silent):
                return run(x, *args, **kwargs)

        if level.op is Op.PAIRED:
            given, first = outputs.pop()
            x = torch.where(inside, given, x)
            second = halves()
            deltas = (first - given) + (second - x)
            return torch.where(inside, given + deltas / (2 if before.variant == "mean" else 1), second)
        usual = halves()
        if level.op is Op.PAIR:
            outputs.append((x, usual))
            return usual
        no_attention, no_ffn = halves(attention_end), halves(ffn_end)
        changed = {
            Op.KEEP: usual,
            Op.SKIP_ATTN: no_attention,
            Op.SKIP_FFN: no_ffn,
            Op.SKIP_BLOCK: x,
            Op.PARALLEL: no_ffn + no_attention - x,
        }
        return torch.where(inside, changed[level.op], usual)

    return forward


def fit(model, plan):
    return fitted(plan, tuple(parts.kind for parts in anatomy_of(model).parts))


def check(model, plan, seed=0):
    plan = fit(model, plan)
    embeddings, mask, groups = rows(seed)
    real = mask.bool()
    want = reference(model, plan, embeddings, mask, groups)[real]
    with apply_plan(model, plan):
        whole = read(model, embeddings, mask, groups)[real]
        steps = read_in_steps(model, embeddings, mask, groups)[real]
    torch.testing.assert_close(whole, want, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(steps, whole, rtol=1e-3, atol=1e-3)


@EACH
def test_outputs_equal_the_reference_with_and_without_cache(model, family):
    for plan in PLANS:
        check(model, plan)


@EACH
@settings(max_examples=draws(8))
@given(plan=plans(NUM_BLOCKS, NUM_BLOCKS), seed=st.integers(0, 99))
def test_outputs_equal_the_reference_for_mixed_plans(family, plan, seed):
    check(MODELS.setdefault(family, zoo_model(family)), plan, seed)


@EACH
def test_leaving_restores_the_model_bit_for_bit(model, family):
    inputs = rows()
    untouched, state = read(model, *inputs), snapshot(model)
    with apply_plan(model, Plan.dense(NUM_BLOCKS)):
        assert torch.equal(read(model, *inputs), untouched)
    for plan in PLANS[::5]:
        with apply_plan(model, fit(model, plan)):
            assert not torch.equal(read(model, *inputs), untouched)
        assert snapshot(model) == state
        assert torch.equal(read(model, *inputs), untouched)


@EACH
def test_closed_form_equals_the_counter(model, family):
    caches = DynamicCache(config=model.config.get_text_config()).layers
    is_opt = family in ("blip-2", "instructblip")
    shape = ModelShape(
        num_blocks=NUM_BLOCKS,
        hidden_size=TEXT["hidden_size"],
        num_heads=4,
        num_kv_heads=4 if is_opt else 2,
        head_size=8,
        ffn_size=TEXT["intermediate_size"],
        gated_ffn=not is_opt,
        vocab_size=TEXT["vocab_size"],
        vision=VisionShape(
            num_layers=1, hidden_size=2, num_heads=1, ffn_size=2, num_channels=3, image_size=2, patch_size=2
        ),
        projector=(),
        visual_tokens_per_image=4,
        bytes_per_parameter=4,
        kinds=tuple(BlockKind(window=cache.sliding_window if cache.is_sliding else None) for cache in caches),
    )
    workload = Workload(visual_tokens=4, text_tokens=4, generated_tokens=3, batch=1)
    embeddings, mask, groups = (each[1:] for each in rows())
    for plan in (fit(model, each) for each in [Plan.dense(NUM_BLOCKS), *PLANS[::4], *PLANS[-2:]]):
        counter = FlopCounterMode(display=False)
        with apply_plan(model, plan), counter:
            read_in_steps(model, embeddings, mask, groups)
        ledger = flops(shape, plan, workload)
        assert counter.get_total_flops() - rotary_flops(counter) == ledger.prefill + ledger.decode, str(plan)


def rotary_flops(counter):
    """Some families make their rotary tables by a matrix product, which the closed form leaves out."""
    places = {name: sum(found.values()) for name, found in counter.get_flop_counts().items()}
    return max((count for name, count in places.items() if name.endswith("rotary_emb")), default=0)


def test_only_the_family_that_is_parallel_already_is_seen_as_such():
    parallel = [f for f in (*FAMILIES, *OTHERS) if anatomy_of(zoo_model(f)).parts[0].is_parallel]
    assert parallel == ["aya_vision"]


def test_groups_follow_from_what_a_family_calls_its_image_token():
    assert anatomy_of(zoo_model("llava_onevision")).image_tokens == {60, 61}
    assert anatomy_of(zoo_model("blip-2")).image_tokens == {60}


def test_post_norm_blocks_are_refused_by_name_and_reason():
    model = zoo_model("blip-2")
    for block in find_blocks(model)[1]:
        block.do_layer_norm_before = False
    message = r"got language_model.model.decoder.layers.0: .*; take another model"
    with pytest.raises(PlanError, match=message), apply_plan(model, Plan.parse("b...")):
        pass


def test_a_block_that_is_parallel_already_has_no_parallel():
    model = zoo_model("llava")
    for block in find_blocks(model)[1]:
        block.forward = parallel_forward(block)
    assert all(part.is_parallel for part in anatomy_of(model).parts)
    message = "got 'parallel:visual' at block 1: its attention and FFN read the same input already"
    with pytest.raises(PlanError, match=message), apply_plan(model, Plan.parse(".pv..")):
        pass


def parallel_forward(block):
    def forward(hidden_states, **kwargs):
        attended, _ = block.self_attn(hidden_states=block.input_layernorm(hidden_states), **kwargs)
        return hidden_states + attended + block.mlp(block.post_attention_layernorm(hidden_states))

    return forward


def test_a_model_without_decoder_blocks_is_refused():
    model = zoo_model("llava")
    del model.model.language_model.layers[2].self_attn
    with pytest.raises(PlanError, match="one list of 4 decoder blocks with an attention each, got none"):
        find_blocks(model)
