"""FLOPs of a decoder are those that torch counts: in closed form for ordinary blocks, else counted, else refused."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForImageTextToText

from objectives.flops import flops
from objectives.memory import kv_bytes_per_token
from objectives.workload import Workload
from spaces.kinds import fitted
from spaces.plan import Plan
from tests.fast import but_slow
from tests.workers.blocks.test_decoder_kinds import FLAT_ROWS
from tests.workers.hub import ALL_KINDS, save_hub
from tests.workers.whole import first_sample
from tests.workers.zoo import TEXT, VISION, fill
from workers.apply_plan import apply_plan
from workers.describe import describe_model, describe_workload
from workers.models.check_flops import check_flops
from workers.models.count_head import runs_on_whole_prompt
from workers.models.count_on_meta import read_prompt_encoder, shape_without_weights
from workers.models.meta_model import weightless_model
from workers.sources import ModelSource

WORKLOAD = Workload(visual_tokens=0, text_tokens=11, generated_tokens=3, images=0, vision_flops=0, projector_flops=0)


@pytest.mark.parametrize(
    "family", but_slow([family for family in ALL_KINDS if family != "llava"], ("gemma3", "qwen3_vl", "mllama"))
)
def test_families_of_the_table_are_taken(family, tmp_path):
    assert describe_model(ModelSource(name=save_hub(tmp_path, family))).num_blocks == 4


@pytest.mark.parametrize(
    "change",
    but_slow([{"head_size": 16}, {"ffn_size": 47}, {"gated_ffn": False}, {"num_kv_heads": 4}], [{"ffn_size": 47}]),
)
def test_a_shape_that_is_not_the_models_gets_counted_blocks(change, tmp_path):
    source = ModelSource(name=save_hub(tmp_path, "qwen2_vl"))
    shape = describe_model(source)
    assert check_flops(weightless_model(source), shape) == shape
    counted = check_flops(weightless_model(source), replace(shape, **change))
    assert all(kind.counted is not None for kind in counted.kinds)
    for text in ("....", "avbtpgfv", "b()f"):
        plan = Plan.parse(text)
        assert flops(counted, plan, WORKLOAD) == flops(shape, plan, WORKLOAD)
        assert kv_bytes_per_token(counted, plan) == kv_bytes_per_token(shape, plan)


MOE = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
DECODERS = {
    "gpt_neox": {},
    "diffllama": {},
    "phi3": {},
    "cohere": {},
    "llama4_text": {**FLAT_ROWS},
    "aria_text": {"moe_num_experts": 4, "moe_topk": 2, "moe_num_shared_experts": 1},
    "ernie4_5_moe": {**MOE, "moe_num_experts": 4, "moe_k": 2, "moe_layer_start_index": 1},
    "qwen2_moe": {**MOE, "num_experts": 4, "shared_expert_intermediate_size": 40},
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "gpt_oss": {"num_local_experts": 4, "sliding_window": 6},
    "gemma3_text": {"sliding_window": 6, "query_pre_attn_scalar": 8},
    "gemma4_text": {"sliding_window": 6, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0}
    | {"global_head_dim": 16, "vocab_size_per_layer_input": 64},
    "biogpt": {},
    "xglm": {},
}
"""Decoders with a fused attention, two scores per head, experts of several forms, windows and heads of two sizes."""
FEW = ("gpt_neox", "llama4_text", "gemma4_text")


def built(text, device):
    options = {**TEXT, "model_type": text, **DECODERS[text]}
    config = AutoConfig.for_model("llava", text_config=options, vision_config=VISION, image_token_index=60)
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(config, attn_implementation="eager", dtype=torch.float32)
    return model.eval()


@pytest.mark.parametrize("text", but_slow(DECODERS, FEW[:2]))
def test_the_ledger_equals_the_counter_on_the_running_decoder(text):
    """Prefill, decode steps with a KV cache beyond the window, and the LM head, dense and under plans."""
    shape, model = shape_without_weights(built(text, "meta"), 4, None), built(text, "cpu")
    fill(model)
    if "expert" in str(model):
        model.set_experts_implementation("eager")  # torch's counter doesn't see grouped matrix products
    ids = torch.arange(3, 14)[None]
    for plan in (fitted(Plan.parse(each), shape.kinds) for each in ("....", "aa.b", "f.pf", ".().", "fvbvav.")):
        counter = FlopCounterMode(display=False)
        with apply_plan(model, plan), counter:
            model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=3, min_new_tokens=3, pad_token_id=0)
        places = {name: sum(found.values()) for name, found in counter.get_flop_counts().items()}
        rotary = max((n for name, n in places.items() if name.endswith("rotary_emb") and "language" in name), default=0)
        assert counter.get_total_flops() - rotary == flops(shape, plan, WORKLOAD).total, str(plan)


REFUSED = {"olmo2": "pre-norm", "exaone4": "pre-norm", "doge": "counted", "lfm2": "hybrid"}
"""Norms behind the sub-layers, scores that depend on values, convolutions."""


@pytest.mark.parametrize("text", REFUSED)
def test_decoders_that_a_run_refuses_or_nothing_explains_are_refused_without_weights(text):
    layers = {"layer_types": ["conv", "full_attention"] * 2} if text == "lfm2" else {}
    config = AutoConfig.for_model("llava", text_config={**TEXT, "model_type": text, **layers}, vision_config=VISION)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, attn_implementation="eager").eval()
    with pytest.raises(ValueError, match=REFUSED[text]) as refusal:
        shape_without_weights(model, 4, None)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("family", but_slow(("qwen2_vl", "blip-2", "mllama"), ("qwen2_vl",)))
def test_a_head_on_the_whole_prompt_is_noticed(family, tmp_path):
    """Where a model's forward ignores which logits are wanted, `generate` runs the head on every row."""
    source = ModelSource(name=save_hub(tmp_path, family))
    model, (prompt_encoder, _) = weightless_model(source), read_prompt_encoder(source)
    inputs = prompt_encoder.inputs([first_sample().question], [first_sample().image])
    assert not runs_on_whole_prompt(model, inputs)
    part = model.language_model if family == "blip-2" else model
    own = part.forward
    part.forward = lambda *args, logits_to_keep=0, **kwargs: own(*args, **kwargs)
    assert runs_on_whole_prompt(model, inputs)
    workload = replace(describe_workload(source, [first_sample()]), generated_tokens=3)
    more = replace(workload, extra_head_rows=workload.prompt_tokens - 1)
    shape, dense = describe_model(source), Plan.dense(4)
    rows = 2 * shape.hidden_size * shape.vocab_size
    assert flops(shape, dense, more).head - flops(shape, dense, workload).head == rows * (workload.prompt_tokens - 1)
