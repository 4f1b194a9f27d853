"""Pruning on the decoders of every family, against a copy with zeros in its output matrices; and what is refused."""

import copy

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from spaces.plan import Plan, PlanError
from spaces.pruning import Calibration, Linears
from tests.workers.models.test_families import read, read_in_steps, rows
from tests.workers.zoo import FAMILIES, NUM_BLOCKS, TEXT, zoo_model
from workers.apply_plan import apply_plan
from workers.blocks.anatomy import Parts, anatomy_of
from workers.pruning.inputs import PruningInputs, layer_name
from workers.pruning.linears import attention_roles, linears_of, prunable

HEAD, CHANNELS = 8, 48


def block_layers(model):
    """(block, path, layer) of every linear layer of the decoder blocks, by class alone."""
    for index, block in enumerate(anatomy_of(model).blocks):
        for path, layer in block.named_modules():
            if isinstance(layer, torch.nn.Linear):
                yield index, path, layer


def norms_that_name(model, kept_channels, kept_features):
    """Norms by which just these channels, and features of the heads, are important."""
    norms = {}
    for index, path, layer in block_layers(model):
        norm = torch.full((layer.in_features,), 1e-3)
        name = path.rpartition(".")[2]
        norm[
            kept_channels if name in ("down_proj", "fc2") else kept_features if name in ("o_proj", "out_proj") else []
        ] = 1.0
        norms[layer_name(index, path)] = norm
    return PruningInputs({mode: norms for mode in Calibration})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_narrow_model_equals_one_with_zeros(family):
    model = zoo_model(family)
    groups = model.config.get_text_config().num_key_value_heads if family not in ("blip-2", "instructblip") else 4
    size = TEXT["num_attention_heads"] // groups * HEAD
    channels = torch.randperm(CHANNELS, generator=torch.Generator().manual_seed(1))[: CHANNELS // 2].sort().values
    features = torch.cat([torch.arange(g * size, (g + 1) * size) for g in range(groups) if g % 2])
    zeros = copy.deepcopy(model)
    with torch.no_grad():
        for _, path, layer in block_layers(zeros):
            name, keep = path.rpartition(".")[2], torch.ones(layer.in_features)
            if name in ("down_proj", "fc2"):
                keep = torch.zeros(CHANNELS).index_fill(0, channels, 1)
            elif name in ("o_proj", "out_proj"):
                keep = torch.zeros(layer.in_features).index_fill(0, features, 1)
            layer.weight *= keep
    batch = rows()
    want = read(zeros, *batch)
    real = batch[1].bool()
    with apply_plan(model, Plan.parse("{ffn50,h50}" + "." * NUM_BLOCKS), norms_that_name(model, channels, features)):
        got, stepwise = read(model, *batch), read_in_steps(model, *batch)
    torch.testing.assert_close(got[real], want[real], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(stepwise[real], want[real], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(got[real], read(model, *batch)[real], atol=1e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_matrix_of_a_block_is_pruned(family):
    """50 % of each row is zero: as many as there are columns, and the sums are those of the zeroed weights."""
    model = zoo_model(family)
    zeros, batch = copy.deepcopy(model), rows()
    with torch.no_grad():
        for _, _, layer in block_layers(zeros):
            lowest = layer.weight.abs().argsort(dim=1)[:, : layer.in_features // 2]
            layer.weight.scatter_(1, lowest, 0.0)
    with apply_plan(model, Plan.parse("{m50}" + "." * NUM_BLOCKS)):
        got = read(model, *batch)
    real = batch[1].bool()
    torch.testing.assert_close(got[real], read(zeros, *batch)[real], rtol=1e-5, atol=1e-5)


def causal(model_type, **changes):
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **{**TEXT, **changes})
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval().requires_grad_(False)


class TestRefused:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (
                "..{h50}",
                r"heads can be removed .* got block 1: its attention has no separate q_proj; keep all of them",
            ),
            (
                "..{ffn50}",
                r"FFN channels can be removed .* got block 1: its linear layers are 32 to 96, 48 to 32, not into",
            ),
        ],
    )
    def test_fused_projections_have_no_width(self, text, told):
        model = causal("phi3")
        inputs = norms_that_name(model, [], [])
        with pytest.raises(PlanError, match=told), apply_plan(model, Plan.parse(text + ".."), inputs):
            raise AssertionError("must not be entered")

    def test_fused_projections_can_be_sparse(self):
        model, ids = causal("phi3"), torch.arange(6)[None] + 5
        zeros = copy.deepcopy(model)
        with torch.no_grad():
            for _, _, layer in block_layers(zeros):
                layer.weight.scatter_(1, layer.weight.abs().argsort(dim=1)[:, : layer.in_features // 4], 0.0)
            with apply_plan(model, Plan.parse("{m25}....")):
                got = model(ids).logits
            torch.testing.assert_close(got, zeros(ids).logits, rtol=1e-5, atol=1e-5)

    def test_norms_over_all_heads_have_no_width(self):
        model = causal("olmo2")
        # its blocks are post-norm ones, which no plan expresses: the check is of the attention alone
        block = model.model.layers[0]
        parts = Parts(
            block, block.self_attn, block.post_attention_layernorm, (block.mlp,), block.post_feedforward_layernorm
        )
        with pytest.raises(PlanError, match=r"got block 0: its q_norm\.weight is not of one head; keep all of them"):
            attention_roles(parts, "block 0")

    def test_weights_in_no_linear_layer_are_named(self):
        model = causal("gpt2", n_embd=32, n_layer=4, n_head=4, n_positions=64)
        parts = anatomy_of(model).parts[0]
        with pytest.raises(
            PlanError, match=r"weights can be pruned in linear layers, got c_attn\.weight in the GPT2Att"
        ):
            linears_of(parts, Linears.ATTENTION)

    def test_experts_are_refused_and_the_attention_beside_them_is_pruned(self):
        experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "decoder_sparse_step": 1}
        model, ids = causal("qwen3_moe", **experts), torch.arange(6)[None] + 5
        zeros = copy.deepcopy(model)
        with (
            pytest.raises(PlanError, match=r"got experts\..* in the Qwen3Moe"),
            apply_plan(model, Plan.parse("{m50}....")),
        ):
            raise AssertionError("must not be entered")
        with torch.no_grad():
            for _, path, layer in block_layers(zeros):
                if "attn" in path:
                    layer.weight.scatter_(1, layer.weight.abs().argsort(dim=1)[:, : layer.in_features // 2], 0.0)
            with apply_plan(model, Plan.parse("{m50/attn}....")):
                got = model(ids).logits
            torch.testing.assert_close(got, zeros(ids).logits, rtol=1e-5, atol=1e-5)
        assert all(prunable(parts)[Linears.FFN] == {} for parts in anatomy_of(model).parts)

    def test_attention_to_image_features_is_refused_and_its_ffn_pruned(self):
        block = torch.nn.ModuleDict({"cross_attn": torch.nn.Linear(4, 4), "mlp": torch.nn.Linear(4, 4)})
        parts = Parts(block, block["cross_attn"], block, (block["mlp"],), block, is_cross=True)
        for half in (Linears.ATTENTION, Linears.ALL):
            with pytest.raises(PlanError, match="got a block with attention to image features: prune its FFN only"):
                linears_of(parts, half)
        assert prunable(parts) == {Linears.ATTENTION: {}, Linears.FFN: {"mlp": block["mlp"]}}
