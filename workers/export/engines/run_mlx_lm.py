"""Runs an exported language model in mlx-lm; a script for a separate process, see `run_mlx_vlm.py`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.utils import load_model


def main(work: Path) -> None:
    """Compute the log-probabilities of the last positions of each question."""
    request = json.loads((work / "request.json").read_text())
    inputs: Any = mx.load(str(work / "inputs.safetensors"))
    model, _ = load_model(Path(request["folder"]))
    outputs = {}
    for number in range(request["questions"]):
        logits = model(inputs[f"{number}.input_ids"])[0, -request["positions"] :].astype(mx.float32)
        outputs[str(number)] = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    mx.save_safetensors(str(work / "outputs.safetensors"), outputs)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
