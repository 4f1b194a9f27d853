"""Decoders whose blocks have no closed form are refused; ordinary ones are taken."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from tests.workers.hub import ALL_KINDS, save_hub
from tests.workers.zoo import TEXT, VISION
from workers.describe import describe_model
from workers.models.check_flops import check_flops
from workers.models.count_on_meta import shape_without_weights
from workers.models.meta_model import weightless_model
from workers.sources import ModelSource


@pytest.mark.parametrize("family", [family for family in ALL_KINDS if family != "llava"])
def test_families_of_the_table_are_taken(family, tmp_path):
    assert describe_model(ModelSource(name=save_hub(tmp_path, family))).num_blocks == 4


@pytest.mark.parametrize("change", [{"head_size": 16}, {"ffn_size": 47}, {"gated_ffn": False}, {"num_kv_heads": 4}])
def test_a_shape_that_is_not_the_models_is_refused(change, tmp_path):
    source = ModelSource(name=save_hub(tmp_path, "qwen2_vl"))
    shape = describe_model(source)
    check_flops(weightless_model(source), shape)
    with pytest.raises(ValueError, match=r"in closed form must be those that torch counts, got \d+ for \d+ counted"):
        check_flops(weightless_model(source), replace(shape, **change))


@pytest.mark.parametrize(("text", "why"), [("olmo2", "pre-norm"), ("diffllama", "counted"), ("lfm2", "hybrid")])
def test_decoders_that_a_run_refuses_or_counts_wrongly_are_refused_without_weights(text, why):
    """Norms behind the sub-layers; attention with two scores per head; convolutions."""
    layers = {"layer_types": ["conv", "full_attention"] * 2} if text == "lfm2" else {}
    config = AutoConfig.for_model("llava", text_config={**TEXT, "model_type": text, **layers}, vision_config=VISION)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, attn_implementation="eager").eval()
    with pytest.raises(ValueError, match=why) as refusal:
        shape_without_weights(model, 4, None)
    assert "\n" not in str(refusal.value)
