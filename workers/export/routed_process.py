"""Loads an exported folder with a router as its user would, and measures it; run as a script in its own process.

`python -I routed_process.py WORK FRESH` reads WORK/probe.json and the images next to it, and writes WORK/result.json.
FRESH is the path of `fresh_process.py`, whose functions it shares. It imports nothing of skipsearch.
"""

from __future__ import annotations

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

REPEATS = 3
"""Number of timed runs of a stream, after one for warm-up."""


def main(work: Path, fresh: Any) -> None:
    """Load the export, answer all questions at the default budget, and time it beside one plan for all."""
    probe = fresh.Probe(work)
    request = probe.request
    torch.set_num_threads(request["threads"])
    model, processor = probe.exported(), probe.processor()
    with torch.inference_mode():
        batches = _batches(probe, processor)
        plans = [
            plan for each in batches for plan in model.plans_of(each["input_ids"], each["attention_mask"]).tolist()
        ]
    result = {
        "plans": plans,
        "answers": _answers(fresh, model, processor, batches, request),
        "own_modules": sorted(fresh.OWN & {name.partition(".")[0] for name in sys.modules}),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "seconds": _time(model, batches, _by_plan(probe, processor, plans), request) if request["time"] else None,
    }
    (work / "result.json").write_text(json.dumps(result))


def _batches(probe: Any, processor: Any) -> list[Any]:
    """Return the model inputs of all questions, in batches."""
    count, size = len(probe.request["samples"]), probe.request["batch"]
    return [probe.inputs(processor, first, min(first + size, count)) for first in range(0, count, size)]


def _by_plan(probe: Any, processor: Any, plans: list[int]) -> list[Any]:
    """Return the batches of all questions sorted by plan, as a server groups its queue: most have one plan."""
    samples, order = probe.request["samples"], sorted(range(len(plans)), key=lambda index: plans[index])
    probe.request = {**probe.request, "samples": [samples[index] for index in order]}
    return _batches(probe, processor)


def _answers(fresh: Any, model: Any, processor: Any, batches: list[Any], request: dict[str, Any]) -> list[str]:
    texts: list[str] = []
    for inputs in batches:
        ids = fresh.generate(model, inputs, request["pad"], request["max_new_tokens"], 0, request["ends"])
        texts += processor.tokenizer.batch_decode(ids, skip_special_tokens=True)
    return [text.strip() for text in texts]


def _time(model: Any, batches: list[Any], by_plan: list[Any], request: dict[str, Any]) -> dict[str, Any]:
    """Return the median seconds of the stream of all questions, routed and with one plan, and of each plan on a batch.

    Args:
        model: the exported model.
        batches: inputs of all questions in their order.
        by_plan: the same, sorted by plan, for the routed stream.
        request: the probe.
    """
    cases: dict[str, tuple[list[Any], dict[str, int]]] = {
        "routed": (by_plan, {}),
        "one plan": (batches, {"plan": request["single"]}),
        **{f"plan {number}": (by_plan[:1], {"plan": number}) for number in range(request["num_plans"])},
    }
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(REPEATS + 1):
        for name, (stream, options) in cases.items():
            started = perf_counter()
            for inputs in stream:
                _generate(model, inputs, request, **options)
            seconds[name].append(perf_counter() - started)
    return {name: median(values[1:]) for name, values in seconds.items()}


def _generate(model: Any, inputs: Any, request: dict[str, Any], **options: Any) -> None:
    model.generate(
        **{name: value.to(model.dtype) if value.is_floating_point() else value for name, value in inputs.items()},
        do_sample=False,
        num_beams=1,
        max_new_tokens=request["max_new_tokens"],
        pad_token_id=request["pad"],
        eos_token_id=request["ends"],
        **options,
    )


if __name__ == "__main__":
    spec = spec_from_file_location("fresh_process", sys.argv[2])
    assert spec is not None and spec.loader is not None, "the file is one of this package"
    shared = module_from_spec(spec)
    spec.loader.exec_module(shared)
    main(Path(sys.argv[1]), shared)
