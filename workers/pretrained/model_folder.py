"""Assembles the pretrained parts to a stock FastVLM and writes it as a folder for `from_pretrained`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import FastVlmConfig, FastVlmForConditionalGeneration, GenerationConfig, LlavaProcessor

from workers.pretrained.language_model import IMAGE_TOKEN, read_language_model
from workers.pretrained.learned_queries import config_of, write_folder
from workers.pretrained.modeling_learned_queries import LearnedQueriesForConditionalGeneration
from workers.pretrained.vision_tower import IMAGE_SIZE, STRIDE, image_processor, read_vision_weights, vision_config

MAPPING_FILE = Path(__file__).parent / "checkpoint" / "mapping.safetensors"
"""Weights of the trained mapping module, part of the package."""
CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message['role'] }}
{% if message['content'] is string -%}
{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}<image>{%- else -%}{{- part['text'] -}}{%- endif -%}
{%- endfor -%}
{%- endif -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}
"""
"""The template of SmolLM2 without its system turn and with images."""


def build_model(packages: Path, learned_queries: bool = False) -> tuple[Any, LlavaProcessor]:
    """Return the model with pretrained parts and an untrained mapping module, in float32, and its processor.

    Args:
        packages: folder of unpacked packages.
        learned_queries: True for the source paper's mapping module, False for FastVLM's two linear layers.

    Raises:
        MissingPackage: a package cannot be had.
    """
    text_config, text_weights, tokenizer = read_language_model(packages)
    image_token = tokenizer.get_vocab()[IMAGE_TOKEN]
    vision, text = vision_config().to_dict(), text_config.to_dict()
    if learned_queries:
        config: Any = config_of(vision, text, image_token, tie_word_embeddings=True)
        model: Any = LearnedQueriesForConditionalGeneration(config)
    else:
        config = FastVlmConfig(
            vision_config=vision,
            text_config=text,
            image_token_index=image_token,
            image_seq_length=(IMAGE_SIZE // STRIDE) ** 2,
            tie_word_embeddings=True,
        )
        model = FastVlmForConditionalGeneration(config)
    model.float().eval()
    model.model.vision_tower.load_state_dict(read_vision_weights(packages))
    decoder = {name.removeprefix("model."): weight for name, weight in text_weights.items() if "lm_head" not in name}
    model.model.language_model.load_state_dict(decoder)
    model.tie_weights()
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    sizes = (IMAGE_SIZE, config.num_queries - 1) if learned_queries else (STRIDE, 0)
    return model, _processor(tokenizer, *sizes)


def _processor(tokenizer: Any, patch_size: int, more: int) -> LlavaProcessor:
    """Return the processor, whose prompts have a placeholder per patch of an image, and `more` of them."""
    return LlavaProcessor(
        image_processor=image_processor(),
        tokenizer=tokenizer,
        patch_size=patch_size,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE_TOKEN,
        num_additional_image_tokens=more,
    )


@torch.no_grad()
def initialize(mapping: nn.Module, scale: float, seed: int) -> None:
    """Initialize the mapping module at random, with outputs at the scale of token embeddings.

    Args:
        mapping: the mapping module, changed in place; its last linear layer returns the visual tokens.
        scale: standard deviation of token embeddings.
        seed: seed of the random numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = [module for module in mapping.modules() if isinstance(module, nn.Linear)]
    for layer in layers:
        gain = scale if layer is layers[-1] else 1.0
        layer.weight.normal_(0, gain / math.sqrt(layer.in_features), generator=generator)
        layer.bias.zero_()
    for queries in mapping.parameters(recurse=False):
        queries.normal_(generator=generator)


def write_model(packages: Path, folder: Path, learned_queries: bool = False) -> None:
    """Write the model and its processor, with the shipped mapping module or an untrained one of learned queries.

    Args:
        packages: folder of unpacked packages.
        folder: folder to write.
        learned_queries: True for the source paper's mapping module with random weights, whose code the folder then has.

    Raises:
        MissingPackage: a package cannot be had.
    """
    model, processor = build_model(packages, learned_queries)
    if learned_queries:
        scale = float(model.get_input_embeddings().weight.detach().std())
        initialize(model.model.multi_modal_projector, scale, seed=0)
        write_folder(model, processor, folder)
        return
    stored = {name: weight.float() for name, weight in load_file(MAPPING_FILE).items()}
    model.model.multi_modal_projector.load_state_dict(stored)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
