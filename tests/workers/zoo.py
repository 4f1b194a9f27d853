"""Small models with random weights, one of each family; their vision parts are as small as they can be."""

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

NUM_BLOCKS = 4
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": NUM_BLOCKS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 64,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
MROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
QWEN_VISION = {"depth": 1, "num_heads": 2, "patch_size": 4, "hidden_size": 16, "intermediate_size": 24}
OPT = {
    "model_type": "opt",
    "hidden_size": 32,
    "word_embed_proj_dim": 32,
    "ffn_dim": 48,
    "num_hidden_layers": NUM_BLOCKS,
    "num_attention_heads": 4,
    "vocab_size": 64,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}
QFORMER = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 64,
    "encoder_hidden_size": 16,
}
FAMILIES = {
    "llava": {"image_token_index": 60},
    "llava_next": {"image_token_index": 60, "image_grid_pinpoints": [[16, 16]]},
    "llava_onevision": {"image_token_index": 60, "video_token_index": 61},
    "qwen2_vl": {
        "text_config": {**TEXT, "rope_parameters": MROPE},
        "vision_config": {"depth": 1, "embed_dim": 16, "num_heads": 2, "hidden_size": 32, "patch_size": 4},
    },
    "qwen2_5_vl": {
        "text_config": {**TEXT, "rope_parameters": MROPE},
        "vision_config": {**QWEN_VISION, "out_hidden_size": 32, "fullatt_block_indexes": [0]},
    },
    "qwen3_vl": {
        "text_config": {**TEXT, "rope_parameters": MROPE},
        "vision_config": {**QWEN_VISION, "out_hidden_size": 32, "deepstack_visual_indexes": [0]},
    },
    "idefics3": {"text_config": {**TEXT, "model_type": "llama"}, "image_token_id": 60, "scale_factor": 2},
    "smolvlm": {"text_config": {**TEXT, "model_type": "llama"}, "image_token_id": 60, "scale_factor": 2},
    "paligemma": {
        "text_config": {**TEXT, "model_type": "gemma"},
        "vision_config": {**VISION, "model_type": "siglip_vision_model", "projection_dim": 32},
        "projection_dim": 32,
        "image_token_index": 60,
    },
    "gemma3": {
        "text_config": {**TEXT, "sliding_window": 4, "query_pre_attn_scalar": 8, "sliding_window_pattern": 2},
        "vision_config": {**VISION, "model_type": "siglip_vision_model"},
        "mm_tokens_per_image": 4,
        "image_token_index": 60,
        "image_token_id": 60,
    },
    "internvl": {
        "text_config": {**TEXT, "model_type": "qwen2"},
        "vision_config": {**VISION, "model_type": "internvl_vision", "image_size": [16, 16], "patch_size": [8, 8]},
        "image_token_id": 60,
    },
    "blip-2": {"text_config": OPT, "qformer_config": QFORMER, "num_query_tokens": 4, "image_token_index": 60},
    "instructblip": {"text_config": OPT, "qformer_config": QFORMER, "num_query_tokens": 4, "image_token_index": 60},
}

PIXTRAL = {"model_type": "pixtral", **VISION}
GOT_VISION = {
    "hidden_size": 16,
    "output_channels": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
    "mlp_dim": 24,
    "global_attn_indexes": [0],
}
OTHERS = {
    "mistral3": {
        "text_config": {**TEXT, "model_type": "mistral"},
        "vision_config": PIXTRAL,
        "image_token_index": 60,
    },
    "got_ocr2": {
        "text_config": {**TEXT, "model_type": "qwen2"},
        "vision_config": GOT_VISION,
        "image_token_index": 60,
    },
    "vipllava": {"image_token_index": 60, "vision_feature_layers": [-1]},
    "aya_vision": {
        "text_config": {**TEXT, "model_type": "cohere2", "sliding_window": 4},
        "vision_config": {**VISION, "model_type": "siglip_vision_model"},
        "image_token_index": 60,
    },
}
"""Families that no row or list names: ordinary pre-norm blocks, and one whose blocks are parallel already."""


def zoo_model(family: str, attn: str = "eager", seed: int = 0) -> torch.nn.Module:
    """A model of a family, in evaluation mode, weights large enough that every sub-layer matters."""
    torch.manual_seed(seed)
    options = {"vision_config": VISION, **{**FAMILIES, **OTHERS}[family]}
    text = options.get("text_config", {**TEXT, "model_type": "llama"})
    if family == "llava_onevision":
        text = {**TEXT, "model_type": "qwen2"}
        options["vision_config"] = {**VISION, "model_type": "siglip_vision_model"}
    config = AutoConfig.for_model(family, **{**options, "text_config": text})
    model = AutoModelForImageTextToText.from_config(config, attn_implementation=attn, dtype=torch.float32)
    fill(model)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def fill(model: torch.nn.Module) -> None:
    """Random weights, large enough that every sub-layer matters."""
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=0.25)
        elif "norm" in name:
            parameter.uniform_(0.5, 1.5)
        else:
            parameter.normal_(std=0.3)
