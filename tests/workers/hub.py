"""Model folders as a hub holds them: one small model of each family, with its own processor and a word tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForImageTextToText

from tests.workers.hub_kind import QWEN, SIZE, TILES, Kind, clip, video_free
from tests.workers.hub_more import MORE
from tests.workers.zoo import FAMILIES, TEXT, VISION, fill
from workers.data.sample import Sample
from workers.models.attention_choice import with_attention
from workers.models.processor import images_only

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "user:", "assistant:", "what", "is", "the", "color", "digit", "?", "red"]
WORDS += ["blue", "one", "two", "answer", "en", "Question:", "Answer:", "Short", "answer:", "many", "things", "here"]
VOCABULARY = 160
TEMPLATE = """\
{{ bos_token }}{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}\
{% if part['type'] == 'image' %}IMAGE {% else %}{{ part['text'] }} {% endif %}{% endfor %}{% endfor %}\
{% if add_generation_prompt %}assistant:{% endif %}"""


def _llava(tokenizer: Any, template: str) -> Any:
    return hf.LlavaProcessor(clip(), tokenizer, 8, "default", template, num_additional_image_tokens=1)


def _llava_next(tokenizer: Any, template: str) -> Any:
    images = hf.LlavaNextImageProcessorPil(
        size={"shortest_edge": 16}, crop_size=SIZE, image_grid_pinpoints=[[16, 32], [32, 16], [32, 32]]
    )
    return hf.LlavaNextProcessor(images, tokenizer, 8, "default", template, num_additional_image_tokens=1)


def _llava_onevision(tokenizer: Any, template: str) -> Any:
    images = hf.LlavaOnevisionImageProcessorPil(size=SIZE, image_grid_pinpoints=[[16, 32], [32, 16], [32, 32]])
    return video_free("LlavaOnevisionProcessor", images, tokenizer, None, 4, "full", chat_template=template)


def _qwen(kind: str, merge: int = 2) -> Callable[[Any, str], Any]:
    def make(tokenizer: Any, template: str) -> Any:
        images = hf.Qwen2VLImageProcessorPil(patch_size=4, min_pixels=256, max_pixels=1024)
        return video_free(kind, images, tokenizer, None, chat_template=template)

    return make


def _idefics(tokenizer: Any, template: str) -> Any:
    images = hf.Idefics3ImageProcessorPil(size={"longest_edge": 32}, max_image_size={"longest_edge": 16})
    return hf.Idefics3Processor(images, tokenizer, image_seq_len=1, chat_template=template)


def _smolvlm(tokenizer: Any, template: str) -> Any:
    images = hf.SmolVLMImageProcessorPil(size={"longest_edge": 32}, max_image_size={"longest_edge": 16})
    return video_free("SmolVLMProcessor", images, tokenizer, None, image_seq_len=1, chat_template=template)


def _paligemma(tokenizer: Any, template: str) -> Any:
    images = hf.SiglipImageProcessorPil(size=SIZE)
    images.image_seq_length = 4
    return hf.PaliGemmaProcessor(images, tokenizer)


def _gemma3(tokenizer: Any, template: str) -> Any:
    return hf.Gemma3Processor(hf.Gemma3ImageProcessorPil(size=SIZE), tokenizer, template, image_seq_length=4)


def _internvl(tokenizer: Any, template: str) -> Any:
    images = hf.GotOcr2ImageProcessorPil(size=SIZE, crop_to_patches=True, min_patches=1, max_patches=4)
    return video_free("InternVLProcessor", images, tokenizer, None, 1, chat_template=template)


def _blip(tokenizer: Any, template: str) -> Any:
    return hf.Blip2Processor(hf.BlipImageProcessorPil(size=SIZE), tokenizer, 4)


def _instructblip(tokenizer: Any, template: str) -> Any:
    return hf.InstructBlipProcessor(hf.BlipImageProcessorPil(size=SIZE), tokenizer, word_tokenizer(), 4)


def _mllama(tokenizer: Any, template: str) -> Any:
    return hf.MllamaProcessor(hf.MllamaImageProcessorPil(size=SIZE, max_image_tiles=4), tokenizer, template)


LLAVA_TILES = {"image_grid_pinpoints": [[16, 32], [32, 16], [32, 32]]}
IDEFICS = ("<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *TILES)
KINDS = {
    "llava": Kind(_llava),
    "llava_next": Kind(_llava_next, config=LLAVA_TILES),
    "llava_onevision": Kind(
        _llava_onevision,
        specials=("<video>",),
        config={
            **LLAVA_TILES,
            "text_config": {**TEXT, "model_type": "qwen2"},
            "vision_config": {**VISION, "model_type": "siglip_vision_model"},
        },
    ),
    "qwen2_vl": Kind(_qwen("Qwen2VLProcessor"), **QWEN),
    "qwen2_5_vl": Kind(_qwen("Qwen2_5_VLProcessor"), **QWEN),
    "qwen3_vl": Kind(_qwen("Qwen3VLProcessor"), **QWEN),
    "idefics3": Kind(_idefics, specials=IDEFICS),
    "smolvlm": Kind(_smolvlm, specials=(*IDEFICS, "<video>")),
    "paligemma": Kind(_paligemma, named={"image_token": "<image>"}, template=False),
    "gemma3": Kind(
        _gemma3,
        image="<image_soft_token>",
        specials=("<start_of_image>", "<end_of_image>"),
        placeholder="<start_of_image>",
        named={
            "image_token": "<image_soft_token>",
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
        },
    ),
    "internvl": Kind(
        _internvl,
        image="<IMG_CONTEXT>",
        specials=("<img>", "</img>", "<video>"),
        named={
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    ),
    "blip-2": Kind(_blip, template=False),
    "instructblip": Kind(_instructblip, template=False),
}

MLLAMA_VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_global_layers": 1,
    "attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
    "max_num_tiles": 4,
    "intermediate_layers_indices": [0],
    "vision_output_dim": 32,
    "supported_aspect_ratios": [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]],
}
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
MORE_KINDS = {
    "mllama": Kind(
        _mllama,
        image="<|image|>",
        config={
            "text_config": {**TEXT, "cross_attention_layers": [1], "rope_parameters": ROPE},
            "vision_config": MLLAMA_VISION,
        },
    ),
    "qwen3_vl_moe": Kind(
        _qwen("Qwen3VLProcessor"),
        config={
            **FAMILIES["qwen3_vl"],
            "text_config": {
                **FAMILIES["qwen3_vl"]["text_config"],
                "num_experts": 4,
                "num_experts_per_tok": 2,
                "moe_intermediate_size": 24,
                "mlp_only_layers": [1],
            },
        },
        **QWEN,
    ),
}
"""Families whose blocks are not all plain: cross-attention to image features, mixtures of experts."""
ALL_KINDS = {**KINDS, **MORE_KINDS}
"""Families that the tests of every part run on."""
TABLE_KINDS = {**ALL_KINDS, **MORE}
"""Families of docs/families.md."""
FEW = ("llava", "qwen3_vl", "gemma3", "mllama")
"""Families of the fast run: a plain one, features added after a block, norms around sub-layers, cross-attention."""


def word_tokenizer(specials: tuple[str, ...] = (), named: dict[str, str] | None = None, bos: bool = False) -> Any:
    words = {word: number for number, word in enumerate([*WORDS, *specials])}
    tokenizer = Tokenizer(models.WordLevel(words, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={**{f"special_{i}": each for i, each in enumerate(specials)}, **(named or {})},
    )


def hub_processor(family: str) -> Any:
    kind = TABLE_KINDS[family]
    specials = (kind.image, *kind.specials)
    tokenizer = word_tokenizer(specials, kind.named, bos="blip" in family)
    return kind.processor(tokenizer, TEMPLATE.replace("IMAGE", kind.placeholder or kind.image))


def hub_model(family: str, attn: str = "sdpa", seed: int = 0, **text: Any) -> torch.nn.Module:
    """Random weights, large enough that every sub-layer matters; the ids of special tokens are the tokenizer's."""
    torch.manual_seed(seed)
    kind = TABLE_KINDS[family]
    ids = {token: len(WORDS) + number for number, token in enumerate((kind.image, *kind.specials))}
    base = {
        "vision_config": VISION,
        "text_config": {**TEXT, "model_type": "llama"},
        **FAMILIES.get(family, {}),
        **kind.config,
    }
    options = {
        **base,
        "text_config": {**base["text_config"], "vocab_size": VOCABULARY, "tie_word_embeddings": False, **text},
        "tie_word_embeddings": text.get("tie_word_embeddings", False),
        "image_token_id": ids[kind.image],
        "image_token_index": ids[kind.image],
    }
    for key, token in {
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
        "image_start_token_id": "<|begin_of_image|>",
        "image_end_token_id": "<|end_of_image|>",
        "video_token_index": "<video>",
        "boi_token_index": "<start_of_image>",
        "eoi_token_index": "<end_of_image>",
    }.items():
        if token in ids:
            options[key] = ids[token]
    model, _ = with_attention(
        AutoConfig.for_model(family, **options),
        attn,
        lambda kind: AutoModelForImageTextToText.from_config(
            AutoConfig.for_model(family, **options), attn_implementation=kind, dtype=torch.float32
        ),
    )
    fill(model)
    model.generation_config.update(eos_token_id=2, pad_token_id=0, bos_token_id=1)
    return model.eval().requires_grad_(False)


def save_hub(folder: Path, family: str, seed: int = 0, **text: Any) -> str:
    """Write a local model folder."""
    hub_model(family, seed=seed, **text).save_pretrained(folder)
    processor = hub_processor(family)
    vars(processor).pop("video_processor", None)  # a stand-in that can't be saved
    with images_only():
        processor.save_pretrained(folder)
    return str(folder)


QUESTIONS = (("what is the color ?", "red"), ("what is the digit ?", "one two"), ("is the color red ?", "blue red one"))
SHAPES = ((64, 64), (40, 100), (90, 30))
"""Width and height of the pictures, in turn."""


def hub_samples(split: str, images: int = 6) -> list[Sample]:
    """Three kinds of questions on each of a few images of different shapes."""
    first = 100 * ("train", "tune", "search", "test").index(split)
    samples = []
    for image in range(images):
        width, height = SHAPES[image % len(SHAPES)]
        pixels = np.random.default_rng(first + image).integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels)
        samples += [
            Sample(picture, f"{split}-{image}", question, (answer,), f"kind-{kind}")
            for kind, (question, answer) in enumerate(QUESTIONS)
        ]
    return samples
