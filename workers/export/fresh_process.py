"""Loads an exported folder as its user would, and measures it; run as a script in its own process.

`python -I fresh_process.py WORK` reads WORK/probe.json and the images next to it, and writes WORK/outputs.safetensors
and WORK/result.json. It imports nothing of skipsearch, because the export must load without it. The reference of the
comparison is computed by the same functions, with the same batches.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from statistics import median
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor

KEPT_POSITIONS = 16
"""Number of last positions whose logits are compared; through attention they depend on all positions."""
NEW_TOKENS = 16
"""Number of greedy tokens compared, generated with the KV cache and without stopping at an end token."""
TIMED_TOKENS = 32
"""Number of tokens generated for the timed single question."""
REPEATS = 9
"""Number of timed repetitions per case, after one for warm-up."""
OWN = {"workers", "search", "spaces", "objectives"}
"""Packages that the process must not import."""


def encode(processor: Any, prompts: list[Any], images: Sequence[Sequence[Any]], device: Any) -> dict[str, Tensor]:
    """Return the left-padded model inputs of prompts about images.

    Args:
        processor: the processor of the model.
        prompts: per prompt, a conversation of one turn whose content starts with placeholders for its images, or a
            text.
        images: the images of each prompt.
        device: the device of the inputs.
    """
    options = {"padding": True, "padding_side": "left"}
    if isinstance(prompts[0], str):
        made = processor(images=[image for (image,) in images], text=prompts, return_tensors="pt", **options)
        return {name: value.to(device) for name, value in made.items() if name != "labels"}
    filled = []
    for (turn,), pictures in zip(prompts, images, strict=True):
        places, rest = turn["content"][: len(pictures)], turn["content"][len(pictures) :]
        parts = [{**place, "image": image} for place, image in zip(places, pictures, strict=True)]
        filled.append([{**turn, "content": [*parts, *rest]}])
    inputs = processor.apply_chat_template(
        filled,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs=options,
    )
    return dict(inputs.to(device))


def logits_and_tokens(model: Any, inputs: dict[str, Tensor], pad: int) -> tuple[Tensor, Tensor]:
    """Return the logits of the last positions and the greedy tokens that follow.

    Args:
        model: the model, in evaluation mode.
        inputs: model inputs, as returned by `encode`.
        pad: id of the padding token.

    Returns:
        Logits, (B, KEPT_POSITIONS, vocabulary), or fewer positions for shorter prompts, and tokens, (B, NEW_TOKENS).
    """
    keep = {"logits_to_keep": KEPT_POSITIONS} if "logits_to_keep" in signature(model.forward).parameters else {}
    with torch.inference_mode():
        logits: Tensor = model(**_cast(model, inputs), **keep).logits[:, -KEPT_POSITIONS:]
    return logits, generate(model, inputs, pad, NEW_TOKENS, NEW_TOKENS)


def generate(
    model: Any, inputs: dict[str, Tensor], pad: int, most: int, least: int, ends: list[int] | None = None
) -> Tensor:
    """Return greedy tokens, (B, new), generated with the KV cache.

    Args:
        model: the model, in evaluation mode.
        inputs: model inputs, as returned by `encode`.
        pad: id of the padding token.
        most: maximum number of new tokens.
        least: minimum number of new tokens.
        ends: ids of the end tokens; None for those of the model.
    """
    options = {"eos_token_id": ends} if ends else {}
    ids: Tensor = model.generate(
        **_cast(model, inputs),
        do_sample=False,
        num_beams=1,
        max_new_tokens=most,
        min_new_tokens=least,
        pad_token_id=pad,
        **options,
    )
    prompt = inputs["input_ids"]
    given = ids[:, : prompt.shape[1]]
    return ids[:, prompt.shape[1] :] if torch.equal(given, prompt) else ids  # models with a Q-Former return no prompt


def _cast(model: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.to(model.dtype) if value.is_floating_point() else value for name, value in inputs.items()}


class Probe:
    """The questions of the comparison and the options to load the models, from WORK/probe.json."""

    def __init__(self, work: Path) -> None:
        self.request = json.loads((work / "probe.json").read_text())
        self.work = work

    def load(self, place: str, **options: Any) -> Any:
        """Return the model of a folder or hub name, in evaluation mode on the probe's device."""
        model = AutoModelForImageTextToText.from_pretrained(
            place, attn_implementation=self.request["attention"], **options
        )
        return model.to(self.request["device"]).eval()

    def dense(self, **options: Any) -> Any:
        """Return the base model."""
        return self.load(
            self.request["dense"],
            revision=self.request["revision"],
            trust_remote_code=self.request["dense_trust_remote_code"],
            **options,
        )

    def exported(self) -> Any:
        """Return the exported model; a language model is inserted into the base model, with its mapping module."""
        place, trusted = self.request["export"], self.request["trust_remote_code"]
        if not self.request["language_model"]:
            return self.load(place, trust_remote_code=trusted)
        language = AutoModelForCausalLM.from_pretrained(
            place, attn_implementation=self.request["text_attention"], trust_remote_code=trusted
        )
        whole = self.dense(dtype=language.dtype)
        whole.set_submodule(self.request["language_model"], language.model)
        whole.set_submodule(self.request["head"], language.lm_head)
        whole.config.text_config = language.config
        whole.load_state_dict(load_file(Path(place) / "mapping_module" / "model.safetensors"), strict=False)
        return whole.to(self.request["device"]).eval()

    def parts(self, model: Any) -> list[Any]:
        """Return the modules of a model that the export replaces."""
        language = self.request["language_model"]
        return [model.get_submodule(name) for name in (language, self.request["head"])] if language else [model]

    def processor(self) -> Any:
        """Return the processor of the export, or that of the base model if the export is a language model."""
        place, trusted = (
            ("dense", "dense_trust_remote_code") if self.request["language_model"] else ("export", "trust_remote_code")
        )
        return AutoProcessor.from_pretrained(self.request[place], trust_remote_code=self.request[trusted])

    def inputs(self, processor: Any, first: int, last: int) -> dict[str, Tensor]:
        """Return the model inputs of a range of questions.

        Args:
            processor: the processor of the model.
            first: index of the first question.
            last: index after the last question.
        """
        from PIL import Image

        chosen = self.request["samples"][first:last]
        images = [[Image.open(self.work / name) for name in sample["images"]] for sample in chosen]
        return encode(processor, [sample["prompt"] for sample in chosen], images, self.request["device"])


def main(work: Path) -> None:
    """Load the export, compute its outputs and answers, and measure it together with the dense model."""
    probe = Probe(work)
    request = probe.request
    torch.set_num_threads(request["threads"])
    model, processor = probe.exported(), probe.processor()
    outputs = _outputs(probe, model, processor)
    save_file(outputs, work / "outputs.safetensors")
    result: dict[str, Any] = {
        "class": type(model).__name__,
        "answers": _answers(probe, model, processor),
        "own_modules": sorted(OWN & {name.partition(".")[0] for name in sys.modules}),
        "dtype": str(model.dtype).removeprefix("torch."),
        "exported": {"parameters": _count(probe.parts(model))},
    }
    dense = probe.dense(dtype=model.dtype)
    result["dense"] = {"parameters": _count(probe.parts(dense))}
    if request["time"]:
        result["seconds"] = _time(probe, processor, {"exported": model, "dense": dense})
    for name, each in (("exported", model), ("dense", dense)):
        result[name]["flops"] = _flops(each, probe.inputs(processor, 0, 1), request)
    (work / "result.json").write_text(json.dumps(result))


def _outputs(probe: Probe, model: Any, processor: Any) -> dict[str, Tensor]:
    request = probe.request
    outputs: dict[str, Tensor] = {}
    for number, (first, last) in enumerate(request["batches"]):
        inputs = probe.inputs(processor, first, last)
        logits, tokens = logits_and_tokens(model, inputs, request["pad"])
        outputs |= {
            f"ids-{number}": inputs["input_ids"].cpu().contiguous(),
            f"logits-{number}": logits.cpu().contiguous(),
            f"tokens-{number}": tokens.cpu().contiguous(),
        }
    return outputs


def _answers(probe: Probe, model: Any, processor: Any) -> list[str]:
    """Return the greedy answer to every question, in batches."""
    request = probe.request
    texts: list[str] = []
    for first in range(0, len(request["samples"]), request["batch"]):
        inputs = probe.inputs(processor, first, first + request["batch"])
        ids = generate(model, inputs, request["pad"], request["max_new_tokens"], 0, request["ends"])
        texts += processor.tokenizer.batch_decode(ids, skip_special_tokens=True)
    return [text.strip().removeprefix(request["lead"]).strip() for text in texts]


def _count(parts: list[Any]) -> int:
    return sum(parameter.numel() for parameter in {p for part in parts for p in part.parameters()})


def _flops(model: Any, inputs: dict[str, Tensor], request: dict[str, Any]) -> int:
    """Return the FLOPs of one answer as counted by torch, with eager attention, whose FLOPs are all counted."""
    model.set_attn_implementation("eager")
    model.requires_grad_(False)  # the counter adds gradient hooks if parameters require gradients
    tokens = request["max_new_tokens"]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        generate(model, inputs, request["pad"], tokens, tokens)
    return int(counter.get_total_flops())


def _time(probe: Probe, processor: Any, models: dict[str, Any]) -> dict[str, Any]:
    """Return the median seconds from image to last token, for one question with many tokens and for a batch."""
    request = probe.request
    many = min(request["batch"], len(request["samples"]))
    cases = {
        f"1 question, {TIMED_TOKENS} tokens": (1, TIMED_TOKENS),
        f"{many} questions, {request['max_new_tokens']} tokens": (many, request["max_new_tokens"]),
    }
    found = {}
    for case, (questions, tokens) in cases.items():
        inputs = probe.inputs(processor, 0, questions)
        seconds: dict[str, list[float]] = {name: [] for name in models}
        for repeat in range(REPEATS + 1):
            for name, model in models.items():  # alternate, so that other load on the machine affects both
                spent = _seconds(model, inputs, request, tokens)
                if repeat:
                    seconds[name].append(spent)
        found[case] = {name: median(values) for name, values in seconds.items()}
    return found


def _seconds(model: Any, inputs: dict[str, Tensor], request: dict[str, Any], tokens: int) -> float:
    _synchronize(request["device"])
    start = time.perf_counter()
    generate(model, inputs, request["pad"], tokens, tokens)
    _synchronize(request["device"])
    return time.perf_counter() - start


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
