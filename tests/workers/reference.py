"""A slow LLaVA forward under a plan, written from the op table and the weights, one row and one head at a time.

Shares no code with the adapter or with transformers' decoder, so that both can be judged by it.
"""

import torch
from torch import Tensor

from spaces.plan import Op, Plan


def reference_logits(model, plan: Plan, batch: dict[str, Tensor]) -> list[Tensor]:
    """Logits (tokens without padding, vocabulary) of every row of a left-padded batch, float32."""
    weights = {name.removeprefix("model."): tensor for name, tensor in model.state_dict().items()}
    rows = []
    for ids, mask, pixels in zip(batch["input_ids"], batch["attention_mask"], batch["pixel_values"], strict=True):
        hidden = _embed(model, weights, ids[mask.bool()], pixels)
        for index, op in enumerate(plan.ops):
            hidden = _block(model.config.text_config, weights, f"language_model.layers.{index}.", op, hidden)
        hidden = _norm(hidden, weights["language_model.norm.weight"], model.config.text_config.rms_norm_eps)
        rows.append(hidden @ weights["lm_head.weight"].T)
    return rows


def _embed(model, weights, ids: Tensor, pixels: Tensor) -> Tensor:
    tower = model.model.vision_tower(pixels[None], output_hidden_states=True)
    features = tower.hidden_states[model.config.vision_feature_layer][0, 1:]
    first = (
        features @ weights["multi_modal_projector.linear_1.weight"].T + weights["multi_modal_projector.linear_1.bias"]
    )
    visual = torch.nn.functional.gelu(first) @ weights["multi_modal_projector.linear_2.weight"].T
    visual = visual + weights["multi_modal_projector.linear_2.bias"]
    hidden = weights["language_model.embed_tokens.weight"][ids].clone()
    hidden[ids == model.config.image_token_index] = visual
    return hidden


def _block(config, weights, prefix: str, op: Op, x: Tensor) -> Tensor:
    def attention(h: Tensor) -> Tensor:
        return _attention(config, weights, prefix + "self_attn.", norm("input_layernorm", h))

    def ffn(h: Tensor) -> Tensor:
        return _ffn(weights, prefix + "mlp.", norm("post_attention_layernorm", h))

    def norm(name: str, h: Tensor) -> Tensor:
        return _norm(h, weights[f"{prefix}{name}.weight"], config.rms_norm_eps)

    if op == Op.KEEP:
        h = x + attention(x)
        return h + ffn(h)
    if op == Op.SKIP_ATTN:
        return x + ffn(x)
    if op == Op.SKIP_FFN:
        return x + attention(x)
    if op == Op.SKIP_BLOCK:
        return x
    assert op == Op.PARALLEL
    return x + attention(x) + ffn(x)


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps)


def _attention(config, weights, prefix: str, x: Tensor) -> Tensor:
    size, group = config.head_dim, config.num_attention_heads // config.num_key_value_heads
    query, key, value = (x @ weights[f"{prefix}{name}_proj.weight"].T for name in "qkv")
    heads = []
    for head in range(config.num_attention_heads):
        own, shared = slice(head * size, (head + 1) * size), slice(head // group * size, (head // group + 1) * size)
        heads.append(_head(_rotate(query[:, own]), _rotate(key[:, shared]), value[:, shared]))
    return torch.cat(heads, dim=-1) @ weights[f"{prefix}o_proj.weight"].T


def _head(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    rows = []
    for t in range(len(query)):
        scores = key[: t + 1] @ query[t] / query.shape[-1] ** 0.5
        rows.append(torch.softmax(scores, dim=0) @ value[: t + 1])
    return torch.stack(rows)


def _rotate(x: Tensor, base: float = 10000.0) -> Tensor:
    """Rotary positions 0, 1, ...: the pair (i, i + size/2) of row t turns by t / base^(2 i / size)."""
    half = x.shape[-1] // 2
    angle = torch.arange(len(x))[:, None] / base ** (torch.arange(half) / half)
    left, right = x[:, :half], x[:, half:]
    return torch.cat([left * angle.cos() - right * angle.sin(), right * angle.cos() + left * angle.sin()], dim=-1)


def _ffn(weights, prefix: str, x: Tensor) -> Tensor:
    gate, up = (x @ weights[f"{prefix}{name}_proj.weight"].T for name in ("gate", "up"))
    return (gate * torch.sigmoid(gate) * up) @ weights[f"{prefix}down_proj.weight"].T
