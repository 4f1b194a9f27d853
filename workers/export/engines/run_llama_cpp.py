"""Runs an exported GGUF in llama.cpp, through xllamacpp; a script for a separate process, see `run_mlx_vlm.py`.

llama.cpp returns log-probabilities for the next position and the likeliest tokens only; all others are NaN.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import xllamacpp
from safetensors.numpy import load_file, save_file

LIKELIEST = 512
"""Number of tokens whose log-probabilities are requested."""
SURE = 1e6
"""Bias on the logit of a text token, so that llama.cpp samples it; returned log-probabilities do not include it."""


def main(work: Path) -> None:
    """Compute the next-token log-probabilities of each question, and tokenize its text."""
    request = json.loads((work / "request.json").read_text())
    inputs = load_file(work / "inputs.safetensors")
    server = xllamacpp.Server(_parameters(request["folder"]))
    outputs = {}
    for number, text in enumerate(request["texts"]):
        ids = inputs[f"{number}.input_ids"][0].tolist()
        outputs[str(number)] = _next_token(server, ids, request["vocabulary"], request["plain_token"])
        outputs[f"{number}.input_ids"] = np.array(_tokens(server, text))
    save_file(outputs, work / "outputs.safetensors")


def _parameters(folder: str) -> Any:
    """Return settings for one request at a time, with keys and values in float32."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(Path(folder) / "model.gguf")
    parameters.n_ctx, parameters.n_parallel, parameters.warmup = 1024, 1, False
    parameters.cpuparams.n_threads = 1
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return parameters


def _next_token(server: Any, ids: list[int], vocabulary: int, plain_token: int) -> np.ndarray:
    answer = server.handle_completions(
        {
            "prompt": ids,
            "n_predict": 1,
            "n_probs": min(LIKELIEST, vocabulary),
            "logit_bias": [[plain_token, SURE]],
            "cache_prompt": False,
        }
    )
    row = np.full((1, vocabulary), np.nan, dtype=np.float32)
    for token in answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]:
        row[0, token["id"]] = token["logprob"]
    return row


def _tokens(server: Any, text: str) -> list[int]:
    body = json.dumps({"content": text, "add_special": True, "parse_special": True}).encode()
    request = urllib.request.Request(f"{server.listening_address}/tokenize", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        tokens: list[int] = json.load(reply)["tokens"]
    return tokens


if __name__ == "__main__":
    main(Path(sys.argv[1]))
