"""Runs an exported vision-language model in mlx-vlm; a script for a separate process: `python -I run_mlx_vlm.py WORK`.

It reads WORK/request.json and the model inputs of all questions in WORK/inputs.safetensors, and writes the
log-probabilities of the last positions to WORK/outputs.safetensors.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_vlm.utils import load_model

UNUSED = ("token_type_ids", "mm_token_type_ids", "batch_num_images")
"""Model inputs that mlx-vlm computes itself for a single question, or does not accept."""


def main(work: Path) -> None:
    """Compute the log-probabilities of the last positions of each question."""
    request = json.loads((work / "request.json").read_text())
    inputs: Any = mx.load(str(work / "inputs.safetensors"))
    model = load_model(Path(request["folder"]))
    outputs = {}
    for number in range(request["questions"]):
        mine = {name.partition(".")[2]: value for name, value in inputs.items() if name.startswith(f"{number}.")}
        given = {name: value for name, value in mine.items() if name not in UNUSED}
        output = _prefill(model, given)
        logits = getattr(output, "logits", output)[0, -request["positions"] :].astype(mx.float32)
        outputs[str(number)] = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    mx.save_safetensors(str(work / "outputs.safetensors"), outputs)


def _prefill(model: Any, given: dict[str, Any]) -> Any:
    """Run a prompt in one pass by the calls of mlx-vlm's `generate`, which leaves the mask to the language model."""
    ids, mask = given.pop("input_ids"), given.pop("attention_mask", None)
    features = model.get_input_embeddings(ids, given.pop("pixel_values", None), mask=mask, **given).to_dict()
    more = {name: value for name, value in features.items() if name != "inputs_embeds" and value is not None}
    return model.language_model(ids, inputs_embeds=features["inputs_embeds"], cache=None, **{**given, **more})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
