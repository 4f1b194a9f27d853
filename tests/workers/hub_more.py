"""More families as a hub holds them, each with a processor of its real kind: see `tests.workers.hub`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers as hf

from tests.workers.hub_kind import QWEN, SIZE, TILES, Kind, clip, video_free
from tests.workers.zoo import GOT_VISION, MROPE, PIXTRAL, QWEN_VISION, TEXT, VISION

PIXELS = {"shortest_edge": 256, "longest_edge": 1024}
BIGGER = {"height": 32, "width": 32}
GRID = {"image_grid_pinpoints": [[16, 32], [32, 16], [32, 32]]}
GLM: dict[str, Any] = {
    "image": "<|image|>",
    "specials": ("<|video|>", "<|begin_of_image|>", "<|end_of_image|>"),
    "placeholder": "<|begin_of_image|><|image|><|end_of_image|>",
}
SIGLIP = {**VISION, "model_type": "siglip_vision_model"}
QWEN2 = {**TEXT, "model_type": "qwen2"}


def _vipllava(tokenizer: Any, template: str) -> Any:
    return hf.LlavaProcessor(clip(), tokenizer, 8, "default", template, num_additional_image_tokens=1)


def _got_ocr2(tokenizer: Any, template: str) -> Any:
    processor = hf.GotOcr2Processor(hf.GotOcr2ImageProcessorPil(size={"height": 32, "width": 32}), tokenizer)
    processor.num_image_tokens = 1
    return processor


def _aya_vision(tokenizer: Any, template: str) -> Any:
    images = hf.GotOcr2ImageProcessorPil(size=SIZE, crop_to_patches=True, min_patches=1, max_patches=2)
    return hf.AyaVisionProcessor(images, tokenizer, 4, 16, downsample_factor=2, chat_template=template)


def _deepseek_vl(tokenizer: Any, template: str) -> Any:
    return hf.DeepseekVLProcessor(hf.DeepseekVLImageProcessorPil(size=SIZE), tokenizer, template, 4)


def _janus(tokenizer: Any, template: str) -> Any:
    return hf.JanusProcessor(hf.JanusImageProcessorPil(size=SIZE), tokenizer, template, num_image_tokens=4)


def _aria(tokenizer: Any, template: str) -> Any:
    return hf.AriaProcessor(hf.AriaImageProcessorPil(), tokenizer, template, size_conversion={980: 4})


def _idefics2(tokenizer: Any, template: str) -> Any:
    images = hf.Idefics2ImageProcessorPil(size={"shortest_edge": 16, "longest_edge": 32}, do_image_splitting=False)
    return hf.Idefics2Processor(images, tokenizer, 3, template)


def _ovis2(tokenizer: Any, template: str) -> Any:
    images = hf.Ovis2ImageProcessorPil(size=SIZE, crop_to_patches=True, min_patches=1, max_patches=2)
    return hf.Ovis2Processor(images, tokenizer, template, image_seq_length=4)


def _lighton_ocr(tokenizer: Any, template: str) -> Any:
    images = hf.PixtralImageProcessorPil(size={"longest_edge": 32}, patch_size={"height": 16, "width": 16})
    return hf.LightOnOcrProcessor(images, tokenizer, 8, 2, template)


def _llava_next_video(tokenizer: Any, template: str) -> Any:
    images = hf.LlavaNextImageProcessorPil(
        size={"shortest_edge": 16}, crop_size=SIZE, image_grid_pinpoints=GRID["image_grid_pinpoints"]
    )
    options = {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return video_free("LlavaNextVideoProcessor", None, images, tokenizer, chat_template=template, **options)


def _video_llava(tokenizer: Any, template: str) -> Any:
    images = hf.VideoLlavaImageProcessor(size={"shortest_edge": 16}, crop_size=SIZE)
    return video_free("VideoLlavaProcessor", images, None, tokenizer, patch_size=8, chat_template=template)


def _granite_docling(tokenizer: Any, template: str) -> Any:
    images = hf.GraniteDoclingImageProcessorPil(size=SIZE, max_patches=2)
    return hf.GraniteDoclingProcessor(images, tokenizer, 1, template)


def _granite4_vision(tokenizer: Any, template: str) -> Any:
    images = hf.LlavaNextImageProcessorPil(
        size={"shortest_edge": 32}, crop_size=BIGGER, image_grid_pinpoints=[[32, 64], [64, 32]]
    )
    return hf.Granite4VisionProcessor(images, tokenizer, 8, "full", template, downsample_rate="1/2")


def _qianfan_ocr(tokenizer: Any, template: str) -> Any:
    images = hf.GotOcr2ImageProcessorPil(size=SIZE, crop_to_patches=True, min_patches=1, max_patches=2)
    return hf.QianfanOCRProcessor(images, tokenizer, 1, template)


def _glm(kind: str, images: str) -> Callable[[Any, str], Any]:
    def make(tokenizer: Any, template: str) -> Any:
        reader = getattr(hf, images)(patch_size=4, size=PIXELS)
        return video_free(kind, reader, tokenizer, None, chat_template=template)

    return make


def _paddleocr_vl(tokenizer: Any, template: str) -> Any:
    images = hf.PaddleOCRVLImageProcessorPil(patch_size=4, size=PIXELS)
    return hf.PaddleOCRVLProcessor(images, tokenizer, template)


def _video_llama_3(tokenizer: Any, template: str) -> Any:
    images = hf.VideoLlama3ImageProcessorPil(patch_size=8, size=PIXELS)
    return video_free("VideoLlama3Processor", images, tokenizer, None, chat_template=template)


def _deepseek_vl_hybrid(tokenizer: Any, template: str) -> Any:
    images = hf.DeepseekVLHybridImageProcessorPil(size=SIZE, high_res_size={"height": 64, "width": 64})
    return hf.DeepseekVLHybridProcessor(images, tokenizer, template, 4)


def _paired(family: str, **text: Any) -> dict[str, Any]:
    """The text config of a GLM, whose heads rotate half of their channels."""
    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5, "mrope_section": [1, 1, 0]}
    vision = {**QWEN_VISION, "out_hidden_size": 32, "temporal_patch_size": 2, "image_size": 16}
    return {"text_config": {**TEXT, "rope_parameters": rope, **text}, "vision_config": vision}


MORE: dict[str, Kind] = {
    "vipllava": Kind(_vipllava, config={"vision_feature_layers": [-1, -1]}),
    "aya_vision": Kind(
        _aya_vision,
        image="<|IMG_PATCH|>",
        specials=("<image>", "<|START_OF_IMG|>", "<|END_OF_IMG|>", "TILE_GLOBAL", "TILE_1", "TILE_2", "TILE"),
        placeholder="<image>",
        config={
            "text_config": {**TEXT, "model_type": "cohere2", "sliding_window": 4},
            "vision_config": {**SIGLIP, "patch_size": 4},
        },
    ),
    "deepseek_vl": Kind(_deepseek_vl, named={"image_token": "<image>"}, config={"vision_config": SIGLIP}),
    "janus": Kind(
        _janus,
        specials=("<begin_of_image>", "<end_of_image>"),
        named={"image_token": "<image>", "boi_token": "<begin_of_image>", "eoi_token": "<end_of_image>"},
        config={
            "vision_config": {**VISION, "model_type": "janus_vision_model", "projection_dim": 32, "mlp_ratio": 1.5},
            "vq_config": {"base_channels": 32, "channel_multiplier": [1], "num_embeddings": 8, "latent_channels": 32},
        },
    ),
    "aria": Kind(
        _aria,
        named={"image_token": "<image>"},
        config={
            "text_config": {**TEXT, "moe_num_experts": 4, "moe_topk": 2, "moe_num_shared_experts": 1},
            "vision_config": {**VISION, "model_type": "idefics3_vision", "image_size": 980, "patch_size": 140},
            "projector_patch_to_query_dict": {49: 4},
        },
    ),
    "idefics2": Kind(
        _idefics2,
        specials=("<fake_token_around_image>", "<end_of_utterance>"),
        config={
            "text_config": {**TEXT, "model_type": "mistral"},
            "vision_config": {**VISION, "image_size": 32},
            "perceiver_config": {
                "hidden_size": 32,
                "resampler_n_latents": 3,
                "resampler_depth": 1,
                "resampler_n_heads": 2,
                "resampler_head_dim": 8,
                "num_key_value_heads": 1,
            },
        },
    ),
    "ovis2": Kind(
        _ovis2,
        image="<IMG_ATOM>",
        specials=("<IMG_START>", "<IMG_END>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<image>"),
        placeholder="<image>",
        config={
            "text_config": QWEN2,
            "vision_config": {**VISION, "vocab_size": 40},
            "hidden_size": 32,
            "vocab_size": 160,
            "visual_indicator_token_ids": [28, 29, 30, 31, 32],
        },
    ),
    "lighton_ocr": Kind(
        _lighton_ocr,
        image="<|image_pad|>",
        specials=("<|vision_pad|>", "<|vision_end|>"),
        named={
            "image_token": "<|image_pad|>",
            "image_break_token": "<|vision_pad|>",
            "image_end_token": "<|vision_end|>",
        },
        config={"text_config": {**TEXT, "model_type": "qwen3"}, "vision_config": PIXTRAL},
    ),
    "llava_next_video": Kind(_llava_next_video, specials=("<video>",), config=GRID),
    "video_llava": Kind(_video_llava, specials=("<video>",)),
    "granite_docling": Kind(
        _granite_docling,
        specials=("<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *TILES),
        named={"image_token": "<image>"},
        config={
            "text_config": TEXT,
            "vision_config": {**VISION, "scale_factor": 2, "out_hidden_size": 32},
        },
    ),
    "granite4_vision": Kind(
        _granite4_vision,
        config={
            "text_config": TEXT,
            "vision_config": {**SIGLIP, "hidden_size": 64, "image_size": 32},
            "image_grid_pinpoints": [[32, 64], [64, 32]],
            "downsample_rate": "1/2",
            "deepstack_layer_map": [[-1, 0]],
            "vision_feature_select_strategy": "full",
            "spatial_target_layers": [],
            "qformer_config": {"intermediate_size": 24, "num_hidden_layers": 1},
        },
    ),
    "qianfan_ocr": Kind(
        _qianfan_ocr,
        image="<IMG_CONTEXT>",
        specials=("<img>", "</img>", "<image>"),
        placeholder="<image>",
        named={
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "image_token": "<IMG_CONTEXT>",
            "context_image_token": "<IMG_CONTEXT>",
        },
        config={
            "text_config": {**TEXT, "model_type": "qwen3"},
            "vision_config": {**VISION, "image_size": [16, 16], "patch_size": [8, 8]},
        },
    ),
    "glm4v": Kind(_glm("Glm4vProcessor", "Glm4vImageProcessorPil"), **GLM, config=_paired("glm4v")),
    "glm46v": Kind(
        _glm("Glm46VProcessor", "Glm46VImageProcessorPil"), **GLM, config=_paired("glm46v", model_type="glm4v_text")
    ),
    "glm_ocr": Kind(_glm("Glm46VProcessor", "Glm46VImageProcessorPil"), **GLM, config=_paired("glm_ocr")),
    "glm4v_moe": Kind(
        _glm("Glm4vProcessor", "Glm4vImageProcessorPil"),
        **GLM,
        config=_paired("glm4v_moe", n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, n_group=1),
    ),
    "paddleocr_vl": Kind(
        _paddleocr_vl,
        image="<|IMAGE_PLACEHOLDER|>",
        specials=("<|IMAGE_START|>", "<|IMAGE_END|>"),
        placeholder="<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>",
        named={"image_token": "<|IMAGE_PLACEHOLDER|>"},
        config={
            "text_config": {**TEXT, "rope_parameters": MROPE},
            "vision_config": {**VISION, "patch_size": 4, "spatial_merge_size": 2},
        },
    ),
    "video_llama_3": Kind(
        _video_llama_3,
        **{**QWEN, "placeholder": "<|image_pad|>"},
        config={"text_config": QWEN2, "vision_config": {**VISION, "model_type": "video_llama_3_vision"}},
    ),
    "deepseek_vl_hybrid": Kind(
        _deepseek_vl_hybrid,
        named={"image_token": "<image>"},
        config={
            "vision_config": SIGLIP,
            "high_res_vision_config": {
                "model_type": "sam_vision_model",
                "hidden_size": 16,
                "output_channels": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 64,
                "patch_size": 16,
                "mlp_dim": 24,
                "global_attn_indexes": [0],
            },
        },
    ),
}
"""Families of docs/families.md beside those of `tests.workers.hub`."""
GOT_OCR2 = Kind(
    _got_ocr2,
    image="<imgpad>",
    specials=("<img>", "</img>", "<|im_start|>", "<|im_end|>"),
    template=False,
    config={"text_config": QWEN2, "vision_config": GOT_VISION},
)
"""A family without a chat template, of which only prompts are tested: its processor writes 256 tokens per image."""
