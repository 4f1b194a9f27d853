"""Runs an exported folder in OpenVINO through optimum-intel, in an environment of its own: see `engines_table.py`."""

import json
from pathlib import Path

from optimum.intel import OVModelForVisualCausalLM
from safetensors.torch import load_file, save_file

EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}


def main(work: Path) -> None:
    """Compute the log-probabilities of the last positions of each question."""
    request = json.loads((work / "request.json").read_text())
    inputs = load_file(work / "inputs.safetensors")
    model = OVModelForVisualCausalLM.from_pretrained(
        request["folder"], export=True, device="CPU", ov_config=EXACT, load_in_8bit=False
    )
    outputs = {}
    for number in range(request["questions"]):
        mine = {name.partition(".")[2]: value for name, value in inputs.items() if name.startswith(f"{number}.")}
        logits = model(**mine).logits[0, -request["positions"] :].float()
        outputs[str(number)] = logits.log_softmax(-1).contiguous()
    save_file(outputs, work / "outputs.safetensors")
