"""Builds the embedded model, a small stock `LlavaForConditionalGeneration`, and runs it for training."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from workers.blocks.anatomy import text_config
from workers.embedded.digits import IMAGE_SIZE
from workers.embedded.words import PATCH_SIZE
from workers.inference.packed_batch import PackedBatch

FEATURE_LAYER = -1
Share = tuple[int, int]
"""Number of heads and number of FFN channels."""


def build_model(num_blocks: int, processor: LlavaProcessor) -> LlavaForConditionalGeneration:
    """Return the model with random weights, in float32 and evaluation mode."""
    tokenizer = processor.tokenizer
    vision = CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=num_blocks,
        num_attention_heads=6,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(processor.image_token),
        vision_feature_layer=FEATURE_LAYER,
        vision_feature_select_strategy="default",
        image_seq_length=(IMAGE_SIZE // PATCH_SIZE) ** 2,
    )
    config.pad_token_id = tokenizer.pad_token_id
    model: LlavaForConditionalGeneration = LlavaForConditionalGeneration(config).float().eval()
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.bos_token_id = tokenizer.bos_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return model


def see(model: LlavaForConditionalGeneration, pixels: Tensor) -> Tensor:
    """Return the input of the projector, (N, visual tokens, vision width), for (N, 3, 32, 32) normalized pixels."""
    tower = model.model.vision_tower
    features: Tensor = tower(pixels, output_hidden_states=True).hidden_states[FEATURE_LAYER][:, 1:]
    return features


def read(model: LlavaForConditionalGeneration, features: Tensor, batch: PackedBatch) -> Tensor:
    """Return logits, (labeled positions, vocabulary), of packed questions.

    Args:
        model: the model.
        features: the image features that `batch.images` indexes.
        batch: the packed questions.
    """
    decoder = model.model.language_model
    visual = model.model.multi_modal_projector(features)[batch.images]
    hidden = decoder.embed_tokens(batch.input_ids)
    hidden = hidden.masked_scatter((batch.input_ids == model.config.image_token_id)[..., None], visual)
    rotary, mask = decoder.rotary_emb(hidden, batch.position_ids), batch.mask(hidden.dtype)
    for block in decoder.layers:
        normed = block.input_layernorm(hidden)
        hidden = hidden + block.self_attn(normed, position_embeddings=rotary, attention_mask=mask)[0]
        hidden = hidden + block.mlp(block.post_attention_layernorm(hidden))
    logits: Tensor = model.lm_head(decoder.norm(hidden[batch.labels >= 0]))
    return logits


def unfold(model: LlavaForConditionalGeneration, shares: Sequence[Sequence[Share]]) -> None:
    """Replace each block of the decoder, in place, by several that divide its heads and FFN channels among them.

    The other heads and channels of a new block start with zero output weights, which are trained.

    Args:
        model: the model, changed in place.
        shares: per block, the shares of its new blocks.
    """
    decoder = model.model.language_model
    pairs = zip(decoder.layers, shares, strict=True)
    blocks = [part for block, parts in pairs for part in _parts(block, parts)]
    for index, block in enumerate(blocks):
        block.self_attn.layer_idx = index
    decoder.layers = nn.ModuleList(blocks)
    decoder.config.num_hidden_layers = text_config(model).num_hidden_layers = len(blocks)


@torch.no_grad()
def _parts(block: LlamaDecoderLayer, shares: Sequence[Share]) -> Iterator[LlamaDecoderLayer]:
    head_size, first_head, first_channel = block.self_attn.head_dim, 0, 0
    for heads, channels in shares:
        part = copy.deepcopy(block)
        _keep_columns(part.self_attn.o_proj.weight, first_head * head_size, heads * head_size)
        _keep_columns(part.mlp.down_proj.weight, first_channel, channels)
        first_head, first_channel = first_head + heads, first_channel + channels
        yield part


def _keep_columns(weight: Tensor, first: int, count: int) -> None:
    weight[:, :first] = 0
    weight[:, first + count :] = 0
