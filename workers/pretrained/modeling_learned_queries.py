"""FastVLM with the mapping module of the source paper (arXiv 2410.09454) in place of its two linear layers.

Learned queries and the projected image features run through pre-norm transformer layers; the outputs at the queries
become the visual tokens. Besides torch and transformers, this file needs nothing: it is copied into the model folder.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import FastVlmConfig, FastVlmForConditionalGeneration


class LearnedQueriesConfig(FastVlmConfig):
    """Config of FastVLM with the sizes of the mapping module."""

    model_type = "learned_queries_fast_vlm"
    mapping_layers: int = 5
    mapping_width: int = 256
    mapping_heads: int = 8
    num_queries: int = 10


class MappingLayer(nn.Module):
    """A pre-norm transformer layer without mask."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.ffn_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.attention_output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, states: Tensor) -> Tensor:
        """Return the next states, (B, T, width)."""
        states = states + self._attend(self.attention_norm(states))
        output: Tensor = states + self.down(F.gelu(self.up(self.ffn_norm(states))))
        return output

    def _attend(self, states: Tensor) -> Tensor:
        split = self.query_key_value(states).unflatten(-1, (3, self.heads, -1))  # (B, T, 3, heads, head size)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        output: Tensor = self.attention_output(mixed.transpose(1, 2).flatten(2))
        return output


class LearnedQueries(nn.Module):
    """The mapping module: image features to a fixed number of visual tokens."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config.mapping_width
        self.input = nn.Linear(config.vision_config.hidden_size, width)
        self.queries = nn.Parameter(torch.zeros(config.num_queries, width))
        self.layers = nn.ModuleList(MappingLayer(width, config.mapping_heads) for _ in range(config.mapping_layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, config.text_config.hidden_size)

    def forward(self, image_features: Tensor) -> Tensor:
        """Return the visual tokens, (images, queries, text width), of features (images, patches, vision width)."""
        queries = self.queries.expand(len(image_features), -1, -1)
        states = torch.cat([queries, self.input(image_features)], dim=1)
        for layer in self.layers:
            states = layer(states)
        tokens: Tensor = self.output(self.norm(states[:, : queries.shape[1]]))
        return tokens


class LearnedQueriesForConditionalGeneration(FastVlmForConditionalGeneration):
    """FastVLM whose mapping module is `LearnedQueries`."""

    config_class = LearnedQueriesConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model.multi_modal_projector = LearnedQueries(config)
