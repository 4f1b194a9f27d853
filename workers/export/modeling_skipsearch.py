"""A LLaVA whose decoder layers may hold attention and FFN in parallel, or only one of the two.

Self-contained: torch and transformers are all it needs. `config.skipsearch` says what every layer holds, as a list of
`SF` (attention, then FFN), `P` (both read the layer's input), `S` (attention alone) or `F` (FFN alone); parts that a
layer does not hold have no parameters and cost nothing.

How a layer without attention meets the KV cache: transformers takes positions and masks from the cache length of one
layer, so it appends a placeholder of one number a token.
"""

from functools import cache
from typing import Any

from torch import Tensor, nn
from transformers import LlavaConfig, LlavaForConditionalGeneration

PARTS = {"S": ("self_attn", "input_layernorm"), "F": ("mlp", "post_attention_layernorm")}


class _Parallel:
    """y = x + SA(N1 x) + FFN(N2 x)"""

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        attention, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)
        return hidden_states + attention + self.mlp(self.post_attention_layernorm(hidden_states))


class _AttentionOnly:
    """y = x + SA(N1 x)"""

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        attention, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)
        return hidden_states + attention


class _FfnOnly:
    """y = x + FFN(N2 x)"""

    def forward(self, hidden_states: Tensor, past_key_values: Any = None, **kwargs: Any) -> Tensor:
        if past_key_values is not None:
            batch, new, _ = hidden_states.shape
            placeholder = hidden_states.new_zeros(batch, 1, new, 1)
            past_key_values.update(placeholder, placeholder, self.layer_idx)
        return hidden_states + self.mlp(self.post_attention_layernorm(hidden_states))


KINDS = {"P": _Parallel, "S": _AttentionOnly, "F": _FfnOnly}


@cache
def _changed(layer_class: type, kind: str) -> type:
    return type(f"{KINDS[kind].__name__.lstrip('_')}{layer_class.__name__}", (KINDS[kind], layer_class), {})


def change(layer: nn.Module, kind: str) -> None:
    """Turns an ordinary pre-norm decoder layer into one of that kind, in place."""
    if kind == "SF":
        return
    layer.layer_idx = layer.self_attn.layer_idx
    layer.__class__ = _changed(type(layer), kind)
    for half, parts in PARTS.items():
        if kind in PARTS and half != kind:
            for part in parts:
                delattr(layer, part)


class SkipsearchLlavaConfig(LlavaConfig):
    """LLaVA's, with `skipsearch`: what every decoder layer holds."""

    model_type = "skipsearch_llava"


class SkipsearchLlavaForConditionalGeneration(LlavaForConditionalGeneration):
    """LLaVA with the layers that its config lists."""

    config_class = SkipsearchLlavaConfig

    def __init__(self, config: SkipsearchLlavaConfig) -> None:
        super().__init__(config)
        for layer, kind in zip(self.model.language_model.layers, config.skipsearch, strict=True):
            change(layer, kind)
