"""Writes the model card, README.md, of an exported folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workers.export.engines.engines import ENGINES
from workers.export.route import Badge
from workers.models.model_files import read_json

CARD = """\
---
{header}
---

# {title}

{base} with parts of its language model taken out, found by skipsearch: {kept} of {blocks} blocks are left,
in whole or in part, as {layers} layers. The vision tower is untouched{tuned}. Nothing else was trained.

**Runs on: {badge}.**{notes}
{engines}

```
{drawing}
```

## Measured

| | this model | dense |
|---|---|---|
{table}

Accuracy of this model is that of the files in this folder, loaded in a fresh process; the in-search model scores
{in_search:.4f} on the same questions, and the logits of both are {equal}.
Intervals are 95 % bootstrap intervals over questions. Seconds are medians, end to end from image to last token, on
the machine that exported; FLOPs are counted by torch. `plan.json` has every number and where it comes from.

## How to load

```python
{code}
```

{serve}## A question

{example}

## Limits

- Chosen and measured on the data set `{data}` ({metric}); what other tasks lose was not measured.
- It can give wrong answers, as its base model can; its license is that of its base model and data.
"""
"""Template of the card."""
STOCK = """\
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained(folder)
processor = AutoProcessor.from_pretrained(folder)"""
NEMOTRON = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)   # modeling_decilm.py
tokenizer = AutoTokenizer.from_pretrained(folder)"""
REMOTE = """\
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained(folder, trust_remote_code=True)   # modeling_skipsearch.py
processor = AutoProcessor.from_pretrained(folder)

from workers import load_exported    # or, with skipsearch installed, without remote code

model, processor = load_exported(folder)"""

CODE = {Badge.REMOTE: REMOTE, Badge.NEMOTRON: NEMOTRON}
"""Badge -> code that loads the export; other badges use `STOCK`."""


OWN_CODE = "(folder, trust_remote_code=True)"
"""Arguments of the loaders if the base model came with code of its own, which the folder then holds."""


def _stock(folder: Path) -> str:
    has_code = "auto_map" in read_json(folder / "config.json")
    return STOCK.replace("(folder)", OWN_CODE) if has_code else STOCK


def write_card(folder: Path, record: dict[str, Any], drawing: Sequence[str]) -> None:
    """Write README.md from the record of plan.json.

    Args:
        folder: the exported folder.
        record: the content of plan.json.
        drawing: the plan as a picture and its legend, one line each.
    """
    base, checked = record["base_model"], record["checked"]
    text = CARD.format(
        header=_header(base, record["badge"]),
        title=f"{base['name']}, plan {record['plan']}",
        base=f"[{base['name']}](https://huggingface.co/{base['name']})" if base["kind"] == "hub" else _named(base),
        kept=len(record["kept_blocks"]),
        blocks=len(record["plan_json"]["blocks"]),
        layers=len(record["layers"]),
        tuned=", the projector was briefly re-tuned" if record.get("tuned") else ", and so is the projector",
        badge=", ".join(record["badges"]),
        notes="".join(f" {note[0].upper()}{note[1:]}." for note in record["notes"]),
        drawing="\n".join([record["plan"], *drawing]),
        table=_table(record),
        in_search=checked["in_search_accuracy"],
        equal="equal to the last bit" if checked["logits_bit_equal"] else "equal up to rounding",
        code=CODE.get(record["badge"]) or _stock(folder),
        engines=_engines(record.get("engines", [])),
        serve=_serve(record.get("engines", [])),
        example=_example(record["example"]),
        data=record.get("data", "?"),
        metric=record.get("metric", "?"),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _engines(ran: Sequence[dict[str, Any]]) -> str:
    """Return one line per engine that ran the exported folder."""
    return "".join(
        f"\n- {run['engine']} {run['version']} ran it on {run['questions']} questions: log-probabilities differ from "
        f"the search's by at most {run['largest_difference']:.2g} nats."
        + ("" if run["agrees"] else f" **That is too much** ({run['error'] or 'other log-probabilities'}).")
        for run in ran
        if run["largest_difference"] is not None
    )


def _serve(ran: Sequence[dict[str, Any]]) -> str:
    """Return the section with the commands to serve the folder with the engines that ran it and agreed."""
    commands = [ENGINES[run["engine"]].serve for run in ran if run["agrees"]]
    return "\n".join(["## How to serve", "", "```", *commands, "```", "", ""]) if commands else ""


def _example(example: dict[str, Any]) -> str:
    accepted = ", ".join(f"`{answer}`" for answer in example["accepted"])
    return (
        f"The first test question: `{example['question']}`. Accepted: {accepted}. "
        f"This model answers `{example['answer']}` (score {example['score']:.2f})."
    )


def _header(base: dict[str, Any], badge: str) -> str:
    task = "text-generation" if Badge(badge).is_language_model else "image-text-to-text"
    lines = ["library_name: transformers", f"pipeline_tag: {task}", "tags: [skipsearch]"]
    return "\n".join([f"base_model: {base['name']}", *lines] if base["kind"] == "hub" else lines)


def _named(base: dict[str, Any]) -> str:
    return "The embedded model of skipsearch" if base["kind"] == "embedded" else f"The model `{base['name']}`"


def _table(record: dict[str, Any]) -> str:
    measured, metrics = record["measured"], record.get("metrics", {})
    dense, checked = metrics.get("dense") or {}, record["checked"]
    # A search that scores likelihoods has no number of the dense model for generated answers.
    same = checked["metric"] == record.get("metric", checked["metric"])
    measure = "accuracy" if same else checked["metric"].replace("_", " ")
    tuned = "after long tuning" if "tuning" in record else "in the search"
    rows = [
        (f"{measure}, {checked['questions']} test questions", _accuracy(checked), _test(dense) if same else ""),
        (f"accuracy {tuned}, test", _test(metrics), _test(dense)),
        ("accuracy in the search, search split", _search(metrics), _search(dense)),
        ("FLOPs of the workload, share of dense", f"{record['costs']['flops_ratio']:.4f}", "1"),
        *_searched(record),
        ("sequential sub-layers", str(record["costs"]["depth"]), str(2 * len(record["plan_json"]["blocks"]))),
        _pair(f"parameters ({measured['dtype']})", measured["parameters"], "{:,}"),
        _pair("bytes of weights", measured["weight_bytes"], "{:,}"),
        _pair("FLOPs of one answer, counted", measured["flops_of_one_answer"], "{:,}"),
        *(_pair(f"seconds, {case}", seconds, "{:.4f}") for case, seconds in measured["seconds"].items()),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _searched(record: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return a row with the FLOPs that the search counted, where the folder has others."""
    searched = record["costs_in_search"]
    if searched["flops"] == record["costs"]["flops"]:
        return []
    return [(f"the same, as searched (--deploy {searched['deploy']})", f"{searched['flops_ratio']:.4f}", "1")]


def _pair(name: str, values: dict[str, Any], form: str) -> tuple[str, str, str]:
    ratio = values["dense"] / values["exported"] if name.startswith("seconds") else None
    faster = f" ({ratio:.2f} x faster)" if ratio is not None and ratio > 1 else ""
    return name, form.format(values["exported"]) + faster, form.format(values["dense"])


def _accuracy(measured: dict[str, Any]) -> str:
    low, high = measured["interval"]
    return f"{measured['accuracy']:.4f} [{low:.4f}, {high:.4f}]"


def _test(metrics: dict[str, Any]) -> str:
    return _accuracy(metrics["test"]) if metrics.get("test") else ""


def _search(metrics: dict[str, Any]) -> str:
    return _accuracy(metrics["search"]) if metrics.get("search") else ""
