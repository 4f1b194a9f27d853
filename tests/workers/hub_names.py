"""Checkpoints with the tensor names and the config of those on the hub, which transformers converts on loading.

Both are written down from published checkpoints of each family, and not taken from transformers' own conversions.
"""

import copy
import json
import re
from pathlib import Path
from typing import Any

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
    """Return the weights of a model as the hub stores them; a tied output embedding is left out."""
    turned = TRANSPOSED.get(family, "$.")
    state = model.state_dict()
    if model.config.tie_word_embeddings:
        state = {name: tensor for name, tensor in state.items() if name != "lm_head.weight"}
    return {
        hub_name(family, name): (tensor.mT if re.search(turned, name) else tensor).contiguous().clone()
        for name, tensor in state.items()
        if "vision_tower.head." not in name  # published SigLIP towers have no pooling head
    }


FLAT = ("qwen2_vl", "qwen2_5_vl")
"""Families whose published configs have the text settings at the root."""
EXTRA = {"gemma3": {"mm_tokens_per_image": 4}}
"""Text settings that published configs leave out, where a small model differs from the default of an engine."""


def hub_config(family: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return a config of transformers 5 in the form of published ones, which transformers 4 wrote."""
    form = {**copy.deepcopy(config), "transformers_version": "4.57.1", "torch_dtype": config["dtype"]}
    form.pop("dtype")
    if form["vision_config"].get("model_type") == "siglip_vision_model":
        form["vision_config"]["vision_use_head"] = False
    if family in ("llava", "llava_next"):  # tokens of one picture or tile; published ones have 576
        form["image_seq_length"] = (form["vision_config"]["image_size"] // form["vision_config"]["patch_size"]) ** 2
    if family == "paligemma":
        form["hidden_size"] = config["text_config"]["hidden_size"]
    if family == "qwen3_vl":
        form["vision_config"]["model_type"] = family
    text = {**form.pop("text_config"), **EXTRA.get(family, {})}
    rope = text.pop("rope_parameters", None) or {}
    if "full_attention" in rope:
        text["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    if rope:
        text["rope_theta"] = rope.pop("rope_theta")
        scaling = {**rope, "type": "mrope"} if family in FLAT else rope
        text["rope_scaling"] = scaling if len(scaling) > 1 else None
    if family in FLAT:
        text.pop("model_type")
        form["vision_config"].pop("model_type")
        return {**text, **form}
    return {**form, "text_config": text}


def save_as_on_hub(folder: Path, family: str, **text: object) -> str:
    """Write a local model folder with the names of the hub; see `save_hub`."""
    save_hub(folder, family, **text)
    state = hub_state(family, hub_model(family, **text))
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(hub_config(family, config)))
    return str(folder)
