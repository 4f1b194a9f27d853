"""Invariants 1, 2, 3 and 5 of applying a plan, over every op and over mixed plans."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache, StaticCache

from spaces.plan import Op, Plan, PlanError
from tests.workers.reference import reference_logits
from tests.workers.tiny import IMAGE_TOKEN, NUM_BLOCKS, inputs, tiny_model
from workers.apply_plan import apply_plan

MODEL = tiny_model()
SDPA = tiny_model(attn="sdpa")
SINGLE = [Plan.dense(NUM_BLOCKS).replace(i, op) for op in Op if op != Op.KEEP for i in (0, NUM_BLOCKS - 1)]
EVERYWHERE = [Plan.of([op] * NUM_BLOCKS) for op in Op]
EACH = pytest.mark.parametrize("plan", [*SINGLE, *EVERYWHERE, Plan.parse("afpb")], ids=str)
ANY = st.lists(st.sampled_from(list(Op)), min_size=NUM_BLOCKS, max_size=NUM_BLOCKS).map(Plan.of)
BEAMS = {"num_beams": 3}
OPTIONS = {"do_sample": False, "suppress_tokens": [IMAGE_TOKEN]}


def logits(model, batch, **kwargs):
    with torch.no_grad():
        return model(**batch, **kwargs).logits


def cached_logits(model, batch, cut: int, cache) -> torch.Tensor:
    """Prefill of `cut` tokens, then one token at a time."""
    ids, mask = batch["input_ids"], batch["attention_mask"]
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    parts = []
    for start, end in [(0, cut), *((t, t + 1) for t in range(cut, ids.shape[1]))]:
        step = {"input_ids": ids[:, start:end], "attention_mask": mask[:, :end]}
        if start == 0:
            step["pixel_values"] = batch["pixel_values"]
        parts.append(logits(model, step, position_ids=positions[:, start:end], past_key_values=cache, use_cache=True))
    return torch.cat(parts, dim=1)


def check_reference(plan):
    batch = inputs()
    with apply_plan(MODEL, plan):
        got = logits(MODEL, batch, position_ids=(batch["attention_mask"].cumsum(-1) - 1).clamp(min=0))
    for row, mask, want in zip(got, batch["attention_mask"], reference_logits(MODEL, plan, batch), strict=True):
        torch.testing.assert_close(row[mask.bool()], want, rtol=2e-4, atol=2e-4)


def check_cached(plan):
    batch = inputs()
    mask = batch["attention_mask"].bool()
    with apply_plan(MODEL, plan):
        whole = logits(MODEL, batch, position_ids=(mask.long().cumsum(-1) - 1).clamp(min=0))
        stepwise = cached_logits(MODEL, batch, cut=8, cache=DynamicCache(config=MODEL.config))
    torch.testing.assert_close(stepwise[mask], whole[mask], rtol=1e-4, atol=1e-4)


class TestOutputs:
    @EACH
    def test_equal_the_independent_reference(self, plan):
        check_reference(plan)

    @settings(max_examples=25, deadline=None)
    @given(plan=ANY)
    def test_equal_the_reference_for_mixed_plans(self, plan):
        check_reference(plan)

    @EACH
    def test_equal_under_the_default_attention(self, plan):
        batch, mask = inputs(), inputs()["attention_mask"].bool()
        with apply_plan(MODEL, plan), apply_plan(SDPA, plan):
            torch.testing.assert_close(logits(SDPA, batch)[mask], logits(MODEL, batch)[mask], rtol=1e-4, atol=1e-4)

    @EACH
    def test_the_plan_matters(self, plan):
        batch = inputs()
        dense = logits(MODEL, batch)
        with apply_plan(MODEL, plan):
            changed = logits(MODEL, batch)
        assert torch.equal(dense, changed) == plan.is_dense


class TestCache:
    @EACH
    def test_logits_equal_those_without_cache(self, plan):
        check_cached(plan)

    @settings(max_examples=25, deadline=None)
    @given(plan=ANY)
    def test_logits_equal_those_without_cache_for_mixed_plans(self, plan):
        check_cached(plan)

    @EACH
    @pytest.mark.parametrize("search", [{}, BEAMS], ids=["greedy", "beam"])
    def test_generate_equals_generate_without_cache(self, plan, search):
        batch = inputs()
        options = {"max_new_tokens": 6, "min_new_tokens": 6, **OPTIONS, **search}
        with apply_plan(MODEL, plan):
            with_cache = MODEL.generate(**batch, **options)
            without = MODEL.generate(**batch, **options, use_cache=False)
        assert torch.equal(with_cache, without)

    @EACH
    def test_static_cache_equals_dynamic(self, plan):
        batch = inputs()
        options = {"max_new_tokens": 5, "min_new_tokens": 5, "disable_compile": True, **OPTIONS}
        with apply_plan(MODEL, plan):
            dynamic = MODEL.generate(**batch, **options)
            static = MODEL.generate(**batch, **options, cache_implementation="static")
        assert torch.equal(dynamic, static)

    @EACH
    def test_skipped_attention_stores_one_number_a_token(self, plan):
        batch = inputs()
        cache = DynamicCache(config=MODEL.config)
        with apply_plan(MODEL, plan):
            logits(MODEL, batch, past_key_values=cache, use_cache=True)
        rows, tokens = batch["input_ids"].shape
        text = MODEL.config.text_config
        full = (rows, text.num_key_value_heads, tokens, text.head_dim)
        for op, layer in zip(plan.ops, cache.layers, strict=True):
            assert tuple(layer.keys.shape) == (full if op.runs_attention else (rows, 1, tokens, 1))

    def test_the_placeholder_works_in_a_static_cache_by_hand(self):
        batch, plan = inputs(), Plan.parse("ab.f")
        text = MODEL.config.text_config
        mask = batch["attention_mask"].bool()
        with apply_plan(MODEL, plan):
            dynamic = cached_logits(MODEL, batch, 8, DynamicCache(config=text))
            static = cached_logits(MODEL, batch, 8, StaticCache(config=text, max_cache_len=32))
        torch.testing.assert_close(static[mask], dynamic[mask], rtol=1e-5, atol=1e-5)


class TestRestore:
    def test_keep_everywhere_is_the_untouched_model_bit_for_bit(self):
        batch = inputs()
        untouched = logits(MODEL, batch)
        with apply_plan(MODEL, Plan.dense(NUM_BLOCKS)):
            assert torch.equal(logits(MODEL, batch), untouched)

    @EACH
    def test_leaving_restores_the_model_bit_for_bit(self, plan):
        batch = inputs()
        untouched, state = logits(MODEL, batch), snapshot(MODEL)
        with apply_plan(MODEL, plan):
            assert snapshot(MODEL)[0] == state[0], "weights are neither copied nor moved"
            logits(MODEL, batch)
        assert snapshot(MODEL) == state
        assert torch.equal(logits(MODEL, batch), untouched)

    def test_an_exception_restores_too(self):
        state = snapshot(MODEL)
        with pytest.raises(RuntimeError, match="inside"), apply_plan(MODEL, Plan.parse("abfp")):
            raise RuntimeError("inside")
        assert snapshot(MODEL) == state
        with apply_plan(MODEL, Plan.parse("p...")):
            pass

    def test_a_forward_set_by_others_comes_back(self):
        model = tiny_model()
        ffn = model.model.language_model.layers[1].mlp
        theirs = ffn.forward
        ffn.forward = lambda x: theirs(x)
        before = ffn.forward
        with apply_plan(model, Plan.parse(".f..")):
            assert ffn.forward is not before
        assert vars(ffn)["forward"] is before


class TestErrors:
    @pytest.mark.parametrize("text", ["...", "....."])
    def test_wrong_depth_changes_nothing(self, text):
        state = snapshot(MODEL)
        message = f"as many blocks as the model, {NUM_BLOCKS}, got {len(text)}"
        with pytest.raises(PlanError, match=message), apply_plan(MODEL, Plan.parse(text)):
            pass
        assert snapshot(MODEL) == state

    def test_nesting_is_refused_and_the_outer_plan_stays(self):
        batch = inputs()
        with apply_plan(MODEL, Plan.parse("a..b")):
            outer = logits(MODEL, batch)
            with pytest.raises(PlanError, match="one plan at a time"), apply_plan(MODEL, Plan.dense(NUM_BLOCKS)):
                pass
            assert torch.equal(logits(MODEL, batch), outer)


def test_the_ffn_norm_is_really_fed_the_block_input_under_gradient():
    model = tiny_model()
    model.model.multi_modal_projector.requires_grad_(True)
    with apply_plan(model, Plan.parse("pafb")):
        model(**inputs()).logits.square().mean().backward()
    assert model.model.multi_modal_projector.linear_1.weight.grad.abs().sum() > 0


def snapshot(model):
    """Weights by address and version, and every attribute that instances carry."""
    tensors = [(name, tensor.data_ptr(), tensor._version) for name, tensor in model.state_dict().items()]
    attributes = [(name, sorted(vars(module)), vars(module).get("forward")) for name, module in model.named_modules()]
    return tensors, attributes
