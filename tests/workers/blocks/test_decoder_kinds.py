"""Decoders that differ from Llama's in how they pass a cache or return rows, and those that are refused as hybrid."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from spaces.plan import Plan, PlanError
from spaces.scope import Group
from tests.workers.zoo import NUM_BLOCKS, TEXT, fill
from workers.apply_plan import apply_plan
from workers.blocks.anatomy import anatomy_of, find_blocks
from workers.blocks.token_groups import CODES, token_groups

CACHED_BY_ANOTHER_NAME = {"model_type": "gpt_neox"}
FLAT_ROWS = {
    "model_type": "llama4_text",
    "intermediate_size_mlp": 48,
    "num_local_experts": 2,
    "num_experts_per_tok": 1,
    "interleave_moe_layer_step": 2,
    "attention_chunk_size": 64,
}
HYBRIDS = {
    "convolutions": {"model_type": "lfm2", "layer_types": ["conv", "full_attention"] * 2},
    "linear attention": {
        "model_type": "qwen3_next",
        "layer_types": ["linear_attention", "full_attention"] * 2,
        "num_experts": 2,
    },
    "shared keys": {"model_type": "gemma3n_text", "num_kv_shared_layers": 2},
}


def decoder(text, device="cpu"):
    config = AutoConfig.for_model(**{**TEXT, **text})
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    if device == "cpu":
        fill(model)
    return model


@torch.no_grad()
def whole_and_cached(model, plan):
    """Logits of six tokens in one pass, and of a prompt of three with the others fed one at a time."""
    ids = torch.tensor([[1, 7, 9, 11, 13, 15], [1, 8, 4, 3, 6, 5]])
    cache, parts = DynamicCache(config=model.config), []
    with apply_plan(model, plan):
        whole = model(ids, use_cache=False).logits
        for start, end in [(0, 3), (3, 4), (4, 5), (5, 6)]:
            parts.append(model(ids[:, start:end], past_key_values=cache, use_cache=True).logits)
    return whole, torch.cat(parts, 1)


@pytest.mark.parametrize("text", ["....", "a...", "b...", ".a.b", "aa.f", "bb.."])
def test_cached_logits_equal_those_without_a_cache_whatever_the_argument_is_called(text):
    """GPT-NeoX hands the cache to its blocks and attentions as `layer_past`."""
    whole, cached = whole_and_cached(decoder(CACHED_BY_ANOTHER_NAME), Plan.parse(text))
    torch.testing.assert_close(cached, whole, rtol=1e-4, atol=1e-4)


def test_rows_outside_a_scope_get_their_own_output_from_experts_that_return_flat_rows():
    """With every FFN of every generated token skipped, prompt rows are as in the plan that keeps all."""
    model = decoder(FLAT_ROWS)
    ids = torch.tensor([[1, 7, 9, 11, 13, 15]])
    groups = torch.full_like(ids, CODES[Group.TEXT])
    groups[:, 4:] = CODES[Group.GENERATED]
    with torch.no_grad(), token_groups(groups):
        dense = model(ids).logits
        with apply_plan(model, Plan.parse("fg" * NUM_BLOCKS)):
            scoped = model(ids).logits
        with apply_plan(model, Plan.parse("f" * NUM_BLOCKS)):
            without = model(ids).logits
    torch.testing.assert_close(scoped[:, :4], dense[:, :4], rtol=1e-4, atol=1e-4)
    assert (scoped[:, 4:] - dense[:, 4:]).abs().max() > 1e-3
    assert not torch.equal(scoped[:, 4:], without[:, 4:]), "earlier rows, which were not skipped, are attended to"


@pytest.mark.parametrize("kind", HYBRIDS)
def test_hybrid_decoders_are_refused_in_one_line(kind):
    model = decoder(HYBRIDS[kind], "meta")
    with pytest.raises(PlanError, match="hybrid") as refusal:
        find_blocks(model)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 300


def test_a_decoder_that_is_no_hybrid_is_taken():
    assert len(anatomy_of(decoder(CACHED_BY_ANOTHER_NAME)).parts) == NUM_BLOCKS
