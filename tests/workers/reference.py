"""A slow LLaVA forward under a plan, written from the op table and the weights, one row and one head at a time.

Shares no code with the adapter or with transformers' decoder, so that both can be judged by it. Every token makes its
keys and values from its own input to the block, whether it attends itself or not.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from spaces.plan import Plan

IN_SCOPE = {"all": "vtg", "visual": "v", "prompt": "vt", "generated": "g"}


def reference_logits(model, plan: Plan, batch: dict[str, Tensor], prompts: list[int] | None = None) -> list[Tensor]:
    """Logits (tokens without padding, vocabulary) of every row of a padded batch, float32.

    `prompts`: tokens of every row, padding aside, before the first generated one; None: all of them.
    """
    rows, pixels = [], list(batch.get("pixel_values", ()))
    for row, (ids, mask) in enumerate(zip(batch["input_ids"], batch["attention_mask"], strict=True)):
        ids = ids[mask.bool()]
        kinds = ["v" if token == model.config.image_token_index else "t" for token in ids.tolist()]
        own = [pixels.pop(0) for _ in range(kinds.count("v") // model.config.image_seq_length)]
        if prompts is not None:
            kinds[prompts[row] :] = "g" * (len(kinds) - prompts[row])
        rows.append(_row_logits(model, plan, ids, kinds, own))
    return rows


def _row_logits(model, plan: Plan, ids: Tensor, kinds: list[str], pixels: list[Tensor]) -> Tensor:
    weights = {name.removeprefix("model."): tensor for name, tensor in model.named_parameters()}
    config = model.config.text_config
    hidden = _embed(model, weights, ids, pixels)
    index = 0
    while index < len(plan):
        block = plan.blocks[index]
        inside = torch.tensor([kind in IN_SCOPE[block.scope] for kind in kinds])[:, None]
        if block.op == "pair":
            first = _block(config, weights, index, "keep", inside, hidden)
            read = torch.where(inside, hidden, first)
            second = _block(config, weights, index + 1, "keep", inside, read)
            deltas = (first - hidden) + (second - read)
            joined = hidden + (deltas / 2 if block.variant == "mean" else deltas)
            hidden, index = torch.where(inside, joined, second), index + 2
        else:
            hidden, index = _block(config, weights, index, block.op, inside, hidden), index + 1
    hidden = _norm(hidden, weights["language_model.norm.weight"], config.rms_norm_eps)
    return hidden @ weights["lm_head.weight"].T


def _embed(model, weights, ids: Tensor, pixels: list[Tensor]) -> Tensor:
    hidden = weights["language_model.embed_tokens.weight"][ids].clone()
    if not pixels:
        return hidden
    tower = model.model.vision_tower(torch.stack(pixels), output_hidden_states=True)
    features = tower.hidden_states[model.config.vision_feature_layer][:, 1:].flatten(0, 1)
    first = (
        features @ weights["multi_modal_projector.linear_1.weight"].T + weights["multi_modal_projector.linear_1.bias"]
    )
    visual = torch.nn.functional.gelu(first) @ weights["multi_modal_projector.linear_2.weight"].T
    visual = visual + weights["multi_modal_projector.linear_2.bias"]
    hidden[ids == model.config.image_token_index] = visual
    return hidden


def _block(config, weights, index: int, op: str, inside: Tensor, x: Tensor) -> Tensor:
    prefix = f"language_model.layers.{index}."

    def norm(name: str, h: Tensor) -> Tensor:
        return _norm(h, weights[f"{prefix}{name}.weight"], config.rms_norm_eps)

    def attention(h: Tensor) -> Tensor:
        return _attention(config, weights, prefix + "self_attn.", norm("input_layernorm", h))

    def ffn(h: Tensor) -> Tensor:
        return _ffn(weights, prefix + "mlp.", norm("post_attention_layernorm", h))

    attended = x + attention(x)
    usual = attended + ffn(attended)
    changed: dict[str, Callable[[], Tensor]] = {
        "keep": lambda: usual,
        "skip_attn": lambda: x + ffn(x),
        "skip_ffn": lambda: attended,
        "skip_block": lambda: x,
        "parallel": lambda: attended + ffn(x),
    }
    return torch.where(inside, changed[op](), usual)


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
