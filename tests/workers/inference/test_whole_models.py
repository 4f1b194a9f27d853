"""The invariants on whole models of every family: real pixels, image tokens, masks and positions, left padding.

Qwen3-VL adds image features after its first blocks: what the model adds between blocks stays, whatever a block skips.
"""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces.block import CROSS_OPS, SINGLE_OPS
from spaces.plan import Block, Op, Plan, PlanError, Scope
from tests.fast import but_slow, draws
from tests.spaces.drawn import fitted, plans
from tests.workers.hub import ALL_KINDS, FEW, hub_model
from tests.workers.whole import Case, case_of, check_outputs, check_restored, generated
from tests.workers.zoo import NUM_BLOCKS, TEXT
from workers.apply_plan import apply_plan
from workers.blocks.anatomy import anatomy_of

EACH = pytest.mark.parametrize("family", but_slow(ALL_KINDS, FEW))
LEVELS = [Block(op, scope) for scope in Scope for op in SINGLE_OPS if op is not Op.KEEP]
EVERY_LEVEL = [Plan.of(LEVELS[i : i + NUM_BLOCKS]) for i in range(0, len(LEVELS), NUM_BLOCKS)]
PAIRS = [Plan.parse(text) for text in (".()v.", "()[]g", "()t[]", "b[]v.")]
STATIC = [family for family in ALL_KINDS if family not in ("mllama", "gemma3")]


@EACH
def test_outputs_equal_the_reference_for_every_op_and_scope(family):
    case = case_of(family)
    for plan in EVERY_LEVEL + PAIRS:
        check_outputs(case, fitted(plan, case.kinds))


@EACH
@settings(max_examples=draws(5))
@given(plan=plans(NUM_BLOCKS, NUM_BLOCKS))
def test_outputs_equal_the_reference_for_mixed_plans(family, plan):
    case = case_of(family)
    check_outputs(case, fitted(plan, case.kinds))


@EACH
def test_leaving_restores_the_model_bit_for_bit(family):
    case = case_of(family)
    for plan in (EVERY_LEVEL[0], EVERY_LEVEL[2], PAIRS[0]):
        check_restored(case, fitted(plan, case.kinds))


@pytest.mark.parametrize("family", but_slow((family for family in ALL_KINDS if "blip" not in family), FEW))
def test_beams(family):
    case = case_of(family)
    for text in ("bf.a", "avbgftb"):
        check_outputs(case, fitted(Plan.parse(text), case.kinds), num_beams=2)


@pytest.mark.parametrize("family", but_slow(STATIC, ["llava", "qwen3_vl"]))
def test_static_cache(family):
    case = case_of(family)
    for text in ("bf.a", "avbgftb"):
        check_outputs(case, fitted(Plan.parse(text), case.kinds), cache_implementation="static")


def test_every_op_of_a_cross_attention_block():
    case = case_of("mllama")
    assert [kind.is_cross for kind in case.kinds] == [False, True, False, False]
    for op in CROSS_OPS:
        for scope in Scope:
            level = Block(op, Scope.ALL if op is Op.KEEP else scope)
            check_outputs(case, Plan.of(["keep", level, "skip_block", "skip_ffn"]))


def test_cross_attention_is_not_executed_where_it_is_skipped():
    """Its keys and values are not computed either, unless a later token attends."""
    case = case_of("mllama")
    attention = anatomy_of(case.model).parts[1].attention
    for text, keys, queries in ((".c..", 0, 0), (".cg..", 1, 1), (".ct..", 1, 2), ("....", 1, 3)):
        rows = {"k_proj": [], "q_proj": []}
        hooks = [
            attention.get_submodule(name).register_forward_hook(partial(note_if_run, found))
            for name, found in rows.items()
        ]
        with apply_plan(case.model, Plan.parse(text)):
            generated(case.model, case.inputs)
        for hook in hooks:
            hook.remove()
        assert (len(rows["k_proj"]), len(rows["q_proj"])) == (keys, queries), text


def note_if_run(found, module, args, output):
    if any(output.stride()):  # a skipped projection returns an expanded zero: all strides are 0
        found.append(output)


@pytest.mark.parametrize(
    ("family", "text", "message"),
    [
        ("mllama", ".a..", "got 'skip_attn' at block 1: it attends to image features; take skip_cross"),
        ("mllama", ".p..", "got 'parallel' at block 1: it attends to image features; take skip_cross"),
        ("mllama", "()..", "got 'paired' at block 1: it attends to image features, and only self-attention blocks"),
        ("mllama", "c...", "got 'skip_cross' at block 0: it has self-attention; take skip_attn"),
        ("llava", ".cv..", "got 'skip_cross:visual' at block 1: it has self-attention; take skip_attn"),
    ],
)
def test_ops_of_another_kind_of_block_are_refused(family, text, message):
    with pytest.raises(PlanError, match=message) as caught, apply_plan(case_of(family).model, Plan.parse(text)):
        pass
    assert "\n" not in str(caught.value)


@EACH
def test_bfloat16_stays_near_float32(family):
    case, plan = case_of(family), Plan.parse("avf.bt")
    plan = fitted(plan, case.kinds)
    half = hub_model(family, attn="eager").to(torch.bfloat16)
    inputs = {k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in case.inputs.items()}
    with apply_plan(case.model, plan), apply_plan(half, plan):
        exact, _ = generated(case.model, case.inputs, max_new_tokens=1, min_new_tokens=1)
        _, want = generated(case.model, case.inputs, max_new_tokens=1, min_new_tokens=1)
        _, got = generated(half, inputs, max_new_tokens=1, min_new_tokens=1)
    assert exact.shape[1] == case.inputs["input_ids"].shape[1] + 1
    error = (got.float() - want).pow(2).mean().sqrt() / want.pow(2).mean().sqrt()
    assert error < 0.1  # 8 bits of mantissa through four blocks and a tower of random weights


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("llava", {"num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 10, "hidden_size": 36}),
        ("llava", {"num_hidden_layers": 1}),
        ("qwen2_vl", {"num_key_value_heads": 1}),
        ("qwen3_vl", {"num_attention_heads": 3, "num_key_value_heads": 3}),
        ("paligemma", {"num_key_value_heads": 1, "head_dim": 12}),
        ("gemma3", {"sliding_window": 2, "layer_types": ["sliding_attention"] * NUM_BLOCKS}),
        ("idefics3", {"tie_word_embeddings": True}),
    ],
    ids=str,
)
@settings(max_examples=draws(3))
@given(data=st.data())
def test_odd_sizes(family, text, data):
    like = case_of(family)
    model = hub_model(family, attn="eager", **text)
    depth = text.get("num_hidden_layers", NUM_BLOCKS)
    case = Case(family, model, like.prompt_encoder, like.inputs)
    check_outputs(case, data.draw(plans(depth, depth)))


@pytest.mark.slow
def test_forty_blocks():
    case = case_of("llava")
    deep = Case("llava", hub_model("llava", attn="eager", num_hidden_layers=40), case.prompt_encoder, case.inputs)
    check_restored(deep, Plan.parse("avfgbt.p" * 8))
    check_outputs(deep, Plan.parse("bbb." * 9 + "avfgp."))


def test_zoo_text_is_what_odd_sizes_differ_from():
    assert (TEXT["num_attention_heads"], TEXT["num_key_value_heads"], TEXT["head_dim"]) == (4, 2, 8)
