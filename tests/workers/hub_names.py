"""Checkpoints whose tensors have the names of those on the hub, which transformers renames while it loads them.

The names are written down from published checkpoints of each family, and not taken from transformers' own renamings.
"""

import re
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.workers.hub import hub_model, save_hub

LLAVA = {
    r"^lm_head": "language_model.lm_head",
    r"^model\.language_model": "language_model.model",
    r"^model\.vision_tower": "vision_tower.vision_model",
    r"^model\.": "",
}
"""Pattern of a name in the model -> name on the hub, as in llava-hf/llava-1.5-7b-hf. The first match counts."""
QWEN2 = {r"^model\.visual": "visual", r"^model\.language_model": "model"}
"""As in Qwen/Qwen2-VL-2B-Instruct."""
AS_IN_THE_MODEL: dict[str, str] = {}
HUB_NAMES = {
    "llava": LLAVA,
    "llava_next": LLAVA,
    "llava_onevision": LLAVA,
    "paligemma": LLAVA,
    "gemma3": LLAVA,
    "internvl": {**LLAVA, r"^model\.vision_tower": "vision_tower"},
    "mllama": LLAVA,
    "qwen2_vl": QWEN2,
    "qwen2_5_vl": QWEN2,
    "qwen3_vl": AS_IN_THE_MODEL,
    "qwen3_vl_moe": AS_IN_THE_MODEL,
    "idefics3": AS_IN_THE_MODEL,
    "smolvlm": AS_IN_THE_MODEL,
    "blip-2": AS_IN_THE_MODEL,
    "instructblip": AS_IN_THE_MODEL,
}
TRANSPOSED = {"qwen3_vl_moe": r"\.experts\.(gate_up|down)_proj$"}
"""Pattern of matrices that the hub stores transposed, as in Qwen/Qwen3-VL-30B-A3B-Instruct."""


def hub_name(family: str, name: str) -> str:
    """Return the name that a tensor of a model has in a checkpoint on the hub."""
    for pattern, hub in HUB_NAMES[family].items():
        if re.search(pattern, name):
            return re.sub(pattern, hub, name)
    return name


def hub_state(family: str, model: torch.nn.Module) -> dict[str, Tensor]:
    """Return the weights of a model as the hub stores them."""
    turned = TRANSPOSED.get(family, "$.")
    return {
        hub_name(family, name): (tensor.mT if re.search(turned, name) else tensor).contiguous().clone()
        for name, tensor in model.state_dict().items()
    }


def save_as_on_hub(folder: Path, family: str, **text: object) -> str:
    """Write a local model folder with the names of the hub; see `save_hub`."""
    save_hub(folder, family, **text)
    state = hub_state(family, hub_model(family, **text))
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    return str(folder)
