"""Invariants 1, 2, 3 and 5 of applying a plan, over every op in every scope and over mixed plans."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache, StaticCache

from spaces.block import SINGLE_OPS
from spaces.plan import Group, Op, Plan, PlanError, Scope
from tests.fast import draws
from tests.spaces.drawn import plans
from tests.workers.reference import reference_logits
from tests.workers.tiny import IMAGE_TOKEN, NUM_BLOCKS, inputs, tiny_model
from workers.apply_plan import apply_plan
from workers.blocks.anatomy import anatomy_of
from workers.blocks.token_groups import CODES, token_groups

MODEL = tiny_model()
SDPA = tiny_model(attn="sdpa")
CHANGES = [op for op in SINGLE_OPS if op is not Op.KEEP]
SINGLE = [Plan.dense(NUM_BLOCKS).replace(i, op) for op in CHANGES for i in (0, NUM_BLOCKS - 1)]
EVERYWHERE = [Plan.of([op if scope == "all" else f"{op}:{scope}"] * NUM_BLOCKS) for op in CHANGES for scope in Scope]
PAIRS = [Plan.parse(f"{pair}{mark}..") for pair in ("()", "[]") for mark in ("", "v", "t", "g")]
MIXED = [Plan.parse(text) for text in ("afpb", "avbtpgfv", "bgag()v", "pv[]tav")]
EACH = pytest.mark.parametrize("plan", [Plan.dense(NUM_BLOCKS), *SINGLE, *EVERYWHERE, *PAIRS, *MIXED], ids=str)
FEW = pytest.mark.parametrize("plan", [*EVERYWHERE[::3], *PAIRS[::3], *MIXED], ids=str)
ANY = plans(NUM_BLOCKS, NUM_BLOCKS)
BEAMS = {"num_beams": 3}
OPTIONS = {"do_sample": False, "suppress_tokens": [IMAGE_TOKEN]}


def logits(model, batch, **kwargs):
    with torch.no_grad():
        return model(**batch, **kwargs).logits


def positions_of(batch):
    return (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)


def with_answers(batch, answers):
    """Labels on the last tokens of every row, so that they count as generated, and the lengths of the prompts."""
    labels, mask = torch.full_like(batch["input_ids"], -100), batch["attention_mask"].bool()
    for row, count in enumerate(answers):
        places = mask[row].nonzero().flatten()[mask[row].sum() - count :]
        labels[row, places] = batch["input_ids"][row, places]
    return labels, [int(row.sum()) - count for row, count in zip(mask, answers, strict=True)]


def cached_logits(model, batch, cut: int, cache) -> torch.Tensor:
    """Prefill of `cut` tokens, then one token at a time."""
    ids, mask = batch["input_ids"], batch["attention_mask"]
    positions = positions_of(batch)
    parts = []
    for start, end in [(0, cut), *((t, t + 1) for t in range(cut, ids.shape[1]))]:
        step = {"input_ids": ids[:, start:end], "attention_mask": mask[:, :end]}
        if start == 0:
            step["pixel_values"] = batch["pixel_values"]
        parts.append(logits(model, step, position_ids=positions[:, start:end], past_key_values=cache, use_cache=True))
    return torch.cat(parts, dim=1)


def check_reference(plan, batch, answers, model=MODEL, tolerance=2e-4):
    labels, prompts = with_answers(batch, answers)
    with apply_plan(model, plan):
        got = logits(model, batch, position_ids=positions_of(batch), labels=labels)
    wanted = reference_logits(model, plan, batch, prompts)
    for row, mask, want in zip(got, batch["attention_mask"], wanted, strict=True):
        torch.testing.assert_close(row[mask.bool()], want, rtol=tolerance, atol=tolerance)


def check_cached(plan, cut=8):
    batch = inputs()
    mask = batch["attention_mask"].bool()
    labels = batch["input_ids"].clone()
    labels[:, :cut] = -100
    with apply_plan(MODEL, plan):
        whole = logits(MODEL, batch, position_ids=positions_of(batch), labels=labels)
        stepwise = cached_logits(MODEL, batch, cut, cache=DynamicCache(config=MODEL.config))
    torch.testing.assert_close(stepwise[mask], whole[mask], rtol=1e-4, atol=1e-4)


@st.composite
def batches(draw):
    """A batch of one to three rows, padded on either side, with none to two images each, and answer lengths."""
    images = draw(st.lists(st.integers(0, 2), min_size=1, max_size=3).map(tuple))
    lengths = tuple(draw(st.integers(1, 5)) for _ in images)
    batch = inputs(lengths, draw(st.integers(0, 99)), images, draw(st.sampled_from(["left", "right"])))
    return batch, [draw(st.integers(0, length)) for length in lengths]


class TestOutputs:
    @EACH
    def test_equal_the_independent_reference(self, plan):
        check_reference(plan, inputs(), (1, 3))

    @settings(max_examples=draws(60))
    @given(plan=ANY, drawn=batches())
    def test_equal_the_reference_for_mixed_plans_and_batches(self, plan, drawn):
        check_reference(plan, *drawn)

    @settings(max_examples=draws(30))
    @given(plan=ANY, drawn=batches())
    def test_equal_the_reference_under_the_default_attention(self, plan, drawn):
        check_reference(plan, *drawn, model=SDPA)

    @EACH
    def test_equal_under_the_default_attention(self, plan):
        batch, mask = inputs(), inputs()["attention_mask"].bool()
        labels, _ = with_answers(batch, (2, 2))
        with apply_plan(MODEL, plan), apply_plan(SDPA, plan):
            sdpa, eager = (logits(model, batch, labels=labels)[mask] for model in (SDPA, MODEL))
        torch.testing.assert_close(sdpa, eager, rtol=1e-4, atol=1e-4)

    @FEW
    def test_half_precision_is_close_to_full(self, plan):
        batch, model = inputs((4, 4)), tiny_model().to(torch.bfloat16)
        labels, _ = with_answers(batch, (2, 2))
        with apply_plan(MODEL, plan), apply_plan(model, plan):
            full = logits(MODEL, batch, labels=labels)
            half = logits(model, {**batch, "pixel_values": batch["pixel_values"].bfloat16()}, labels=labels)
        assert half.dtype == torch.bfloat16
        error = (half.float() - full).norm() / full.norm()
        assert error < 0.06

    @EACH
    def test_the_plan_matters(self, plan):
        batch = inputs()
        labels, _ = with_answers(batch, (1, 3))
        dense = logits(MODEL, batch, labels=labels)
        with apply_plan(MODEL, plan):
            changed = logits(MODEL, batch, labels=labels)
        assert torch.equal(dense, changed) == plan.is_dense

    @pytest.mark.parametrize("text", ["bgagfgpg", "()g[]g"])
    def test_what_is_for_generated_tokens_leaves_a_prompt_alone(self, text):
        batch = inputs()
        with apply_plan(MODEL, Plan.parse(text)):
            assert torch.allclose(logits(MODEL, batch), logits(tiny_model(), batch), rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("text", ["bvavfvpv", "()v[]v"])
    def test_what_is_for_visual_tokens_leaves_text_alone(self, text):
        batch = inputs(images=(0, 0))
        with apply_plan(MODEL, Plan.parse(text)):
            assert torch.allclose(logits(MODEL, batch), logits(tiny_model(), batch), rtol=1e-5, atol=1e-5)


class TestCache:
    @EACH
    def test_logits_equal_those_without_cache(self, plan):
        check_cached(plan)

    @settings(max_examples=draws(40))
    @given(plan=ANY, cut=st.integers(8, 10))
    def test_logits_equal_those_without_cache_for_mixed_plans(self, plan, cut):
        check_cached(plan, cut)

    @EACH
    @pytest.mark.parametrize("search", [{}, BEAMS], ids=["greedy", "beam"])
    def test_generate_equals_generate_without_cache(self, plan, search):
        batch = inputs()
        options = {"max_new_tokens": 5, "min_new_tokens": 5, **OPTIONS, **search}
        with apply_plan(MODEL, plan):
            with_cache = MODEL.generate(**batch, **options)
            without = MODEL.generate(**batch, **options, use_cache=False)
        assert torch.equal(with_cache, without)

    @EACH
    def test_generate_says_what_the_reference_says(self, plan):
        batch = inputs()
        with apply_plan(MODEL, plan):
            ids = MODEL.generate(**batch, max_new_tokens=4, min_new_tokens=4, **OPTIONS)
        width = batch["input_ids"].shape[1]
        mask = torch.cat([batch["attention_mask"], torch.ones(2, 3, dtype=torch.long)], dim=1)
        read = {**batch, "input_ids": ids[:, :-1], "attention_mask": mask}
        wanted = reference_logits(MODEL, plan, read, batch["attention_mask"].sum(-1).tolist())
        for row, want in zip(ids, wanted, strict=True):
            scores = want[-4:].clone()
            scores[:, [IMAGE_TOKEN, 2]] = -torch.inf  # image and end tokens are suppressed
            assert torch.equal(row[width:], scores.argmax(-1))

    @EACH
    def test_static_cache_equals_dynamic(self, plan):
        batch = inputs()
        options = {"max_new_tokens": 4, "min_new_tokens": 4, "disable_compile": True, **OPTIONS}
        with apply_plan(MODEL, plan):
            dynamic = MODEL.generate(**batch, **options)
            static = MODEL.generate(**batch, **options, cache_implementation="static")
        assert torch.equal(dynamic, static)

    @EACH
    def test_keys_and_values_are_stored_only_where_a_later_token_attends(self, plan):
        batch = inputs()
        cache = DynamicCache(config=MODEL.config)
        with apply_plan(MODEL, plan):
            logits(MODEL, batch, past_key_values=cache, use_cache=True)
        rows, tokens = batch["input_ids"].shape
        text = MODEL.config.text_config
        full = (rows, text.num_key_value_heads, tokens, text.head_dim)
        for block, layer in zip(plan.blocks, cache.layers, strict=True):
            forgotten = block.op in (Op.SKIP_ATTN, Op.SKIP_BLOCK) and block.scope in (Scope.ALL, Scope.GENERATED)
            assert tuple(layer.keys.shape) == ((rows, 1, tokens, 1) if forgotten else full)

    @pytest.mark.parametrize("text", ["ab.f", "avbt()g", "bgagavf"])
    def test_the_placeholder_works_in_a_static_cache_by_hand(self, text):
        batch, plan = inputs(), Plan.parse(text)
        text = MODEL.config.text_config
        mask = batch["attention_mask"].bool()
        with apply_plan(MODEL, plan):
            dynamic = cached_logits(MODEL, batch, 8, DynamicCache(config=text))
            static = cached_logits(MODEL, batch, 8, StaticCache(config=text, max_cache_len=32))
        torch.testing.assert_close(static[mask], dynamic[mask], rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("text", ["bvatfvpt", "()v[]t", "abfp"])
    def test_a_prompt_may_be_read_in_pieces(self, text):
        batch = inputs((6, 6))
        options = {"max_new_tokens": 3, "min_new_tokens": 3, **OPTIONS}
        with apply_plan(MODEL, Plan.parse(text)):
            whole = MODEL.generate(**batch, **options)
            pieces = MODEL.generate(**batch, **options, prefill_chunk_size=5)
        assert torch.equal(whole, pieces)


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

    def test_groups_that_nobody_knows(self):
        embeddings = torch.zeros(1, 3, MODEL.config.text_config.hidden_size)
        with (
            apply_plan(MODEL, Plan.parse("bv...")),
            pytest.raises(
                ValueError, match="must know the token groups of all 1 x 3 rows fed, got none: pass input_ids"
            ),
        ):
            MODEL(inputs_embeds=embeddings)
        with apply_plan(MODEL, Plan.parse("b...")):
            MODEL(inputs_embeds=embeddings)

    def test_groups_told_for_other_rows(self):
        with (
            apply_plan(MODEL, Plan.parse("bv...")),
            token_groups(torch.zeros(1, 2, dtype=torch.long)),
            pytest.raises(ValueError, match=r"got groups for \(1, 2\)"),
        ):
            MODEL(input_ids=torch.tensor([[5, 6, 7]]))

    def test_a_prompt_in_pieces_whose_keys_are_not_kept(self):
        with (
            apply_plan(MODEL, Plan.parse("bg...")),
            pytest.raises(ValueError, match="under 'skip_block:generated' a prompt must be read in one pass"),
        ):
            MODEL.generate(**inputs((6, 6)), max_new_tokens=2, prefill_chunk_size=5)

    def test_attention_by_scope_under_other_kernels(self):
        model = tiny_model()
        anatomy_of(model)
        model.config.text_config._attn_implementation = "flash_attention_2"
        state = snapshot(model)
        message = "with eager or sdpa attention, got 'skip_attn:visual' at block 1 with flash_attention_2"
        with pytest.raises(PlanError, match=message), apply_plan(model, Plan.parse(".av..")):
            pass
        assert snapshot(model) == state
        with apply_plan(model, Plan.parse("afvpv.")):
            pass

    def test_attention_by_scope_with_queries_and_keys_in_one_product(self):
        model = tiny_model()
        anatomy_of(model)
        del model.model.language_model.layers[1].self_attn.k_proj
        message = "if q_proj, k_proj and v_proj are separate, got 'skip_block:prompt' at block 1, which has no k_proj"
        with pytest.raises(PlanError, match=message), apply_plan(model, Plan.parse(".bt..")):
            pass


class TestTokenGroups:
    def test_told_groups_win_over_what_the_call_shows(self):
        batch = inputs((4,))
        all_text = torch.full_like(batch["input_ids"], CODES[Group.TEXT])
        with apply_plan(MODEL, Plan.parse("bvbv..")):
            scoped = logits(MODEL, batch)
            with token_groups(all_text):
                assert torch.allclose(logits(MODEL, batch), logits(tiny_model(), batch), atol=1e-5)
            assert torch.equal(logits(MODEL, batch), scoped)

    def test_a_failed_generate_leaves_nothing_behind(self):
        batch = inputs((4,))
        labels, _ = with_answers(batch, (2,))
        with apply_plan(MODEL, Plan.parse("btbt..")):
            before = logits(MODEL, batch, labels=labels)
            with pytest.raises(ValueError):
                MODEL.generate(**batch, max_new_tokens=2, no_such_option=1)
            assert torch.equal(logits(MODEL, batch, labels=labels), before)

    def test_positional_arguments_are_seen(self):
        batch = inputs((4,))
        with apply_plan(MODEL, Plan.parse("bvbv..")), torch.no_grad():
            positional = MODEL(batch["input_ids"], batch["pixel_values"], batch["attention_mask"]).logits
            assert torch.equal(positional, logits(MODEL, batch))

    def test_generate_of_positional_inputs(self):
        batch = inputs((4,))
        ids = batch.pop("input_ids")
        with apply_plan(MODEL, Plan.parse("bvat..")):
            positional = MODEL.generate(ids, **batch, max_new_tokens=3, **OPTIONS)
            assert torch.equal(positional, MODEL.generate(input_ids=ids, **batch, max_new_tokens=3, **OPTIONS))


@FEW
def test_gradients_equal_those_of_the_reference(plan):
    model, batch = tiny_model(), inputs()
    weight = model.model.multi_modal_projector.linear_1.weight.requires_grad_(True)
    labels, prompts = with_answers(batch, (1, 3))
    mask = batch["attention_mask"].bool()
    with apply_plan(model, plan):
        got = model(**batch, position_ids=positions_of(batch), labels=labels).logits[mask]
        (got_gradient,) = torch.autograd.grad(got.square().mean(), weight)
    want = torch.cat(reference_logits(model, plan, batch, prompts))
    (want_gradient,) = torch.autograd.grad(want.square().mean(), weight)
    assert want_gradient.abs().sum() > 0
    torch.testing.assert_close(got_gradient, want_gradient, rtol=2e-3, atol=1e-5)


def snapshot(model):
    """Weights by address and version, and every attribute that instances carry."""
    tensors = [(name, tensor.data_ptr(), tensor._version) for name, tensor in model.state_dict().items()]
    attributes = [(name, sorted(vars(module)), vars(module).get("forward")) for name, module in model.named_modules()]
    return tensors, attributes
