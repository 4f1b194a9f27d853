"""Renders the card of the embedded model as Markdown: a fixed text with measured tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from workers.embedded import NUM_IMAGES
from workers.embedded.digits import SPLIT_SIZES
from workers.embedded.questions import KINDS

if TYPE_CHECKING:
    from workers.embedded.training.card_values import Interval, Measured, Tuned

CARD = """\
# The embedded model

<!-- Written by `python -m workers.embedded.training.card`: change the words in card_text.py beside it. -->

The default model of a search, which needs no download: a genuine `LlavaForConditionalGeneration` (CLIP vision tower,
two-layer projector, Llama decoder of {num_blocks} blocks) that answers questions about images of handwritten digits.
It is small ({megabytes:.1f} MB in float16), so a trial takes seconds, and it has the properties that a search
needs: its answers depend on the image, its blocks differ in importance, and its projector can be tuned.

- **Images**: four digits of scikit-learn's `load_digits` in a 2 x 2 grid, each in one of six colors; 32 x 32
  pixels, 16 visual tokens.
- **Questions**: {num_kinds} kinds, one of each about every image. An answer is one token, or four where a row is
  read out.
- **Splits** by original digit image ({splits}); none is in two of them.
  `train` tunes, `tune` decides whether tuning is kept, `search` scores trials, `test` is for final fronts.
- **Training**: `python -m workers.embedded.training.recipe --seed 0 --out DIR`: vision tower, then a language model
  of four blocks, then these expanded to {num_blocks}, then the projector alone with all else frozen. What was
  tried on the way is in [experiments.md](experiments.md).

## Accuracy on `test`

Exact match of greedy answers, {test_questions} questions. *Majority*: always the most common answer. *Blind*: the same
model with the image features of another image. Intervals are 95 %, bootstrap over whole images, here and below.

{kinds}

## Leaving out one part

`search`, {search_questions} questions: accuracy without the part → after {steps} steps of tuning the projector with
the part left out. Where tuning did not help on `tune`, a trial keeps the dense projector and the two are equal.

{singles}

## Does brief tuning pay?

`test`, {steps} steps of {images} images x {questions} questions, AdamW, learning rate {rate:g}, cosine. The
difference is paired, question by question. FLOPs are relative to dense.

{spread}

{verdict}

## Cost

CPU seconds on one thread: {evaluate:.2f} for greedy answers to {search_questions} questions (dense), {step:.3f}
per tuning step.

## Origin

{origin}
"""


def render(measured: Measured, num_blocks: int, megabytes: float) -> str:
    """Return the card as Markdown.

    Args:
        measured: all measured values.
        num_blocks: number of decoder blocks.
        megabytes: size of the weight file in MB.
    """
    return CARD.format(
        num_blocks=num_blocks,
        megabytes=megabytes,
        num_kinds=len(KINDS),
        splits=", ".join(f"{name} {count}" for name, count in SPLIT_SIZES.items()),
        test_questions=f"{NUM_IMAGES['test'] * len(KINDS):,}",
        search_questions=f"{NUM_IMAGES['search'] * len(KINDS):,}",
        steps=measured.steps,
        images=measured.recipe.images_per_step,
        questions=measured.recipe.questions_per_image,
        rate=measured.recipe.learning_rate,
        kinds=_kinds(measured),
        singles=_singles(measured),
        spread=_spread(measured.spread),
        verdict=_verdict(measured.spread),
        evaluate=measured.seconds["evaluate"],
        step=measured.seconds["step"],
        origin=_origin(measured),
    )


def _kinds(measured: Measured) -> str:
    rows = (
        (f"`{name}`", _interval(kind.accuracy), f"{kind.majority:.3f}", f"{kind.blind:.3f}")
        for name, kind in measured.kinds.items()
    )
    return _table(("kind", "accuracy", "majority", "blind"), rows)


def _singles(measured: Measured) -> str:
    rows = [
        (str(block), *(f"{one.before.mean:.3f} → {one.after.mean:.3f}" for one in trials))
        for block, trials in enumerate(zip(*measured.singles.values(), strict=True))
    ]
    return _table(("block", *(f"{op}" for op in measured.singles)), rows)


def _spread(trials: Sequence[Tuned]) -> str:
    rows = (
        (f"`{one.plan}`", f"{one.flops_ratio:.3f}", *map(_interval, (one.before, one.after)), _signed(one.gain))
        for one in trials
    )
    return _table(("plan", "FLOPs", "before", "after", "difference"), rows)


def _verdict(trials: Sequence[Tuned]) -> str:
    """Return a summary of the table: the number of plans that tuning improves, and the largest gain."""
    dense = max(one.before.mean for one in trials if one.plan.is_dense)
    trials = [one for one in trials if not one.plan.is_dense]
    better = [one for one in trials if one.gain.low > 0]
    if not better:
        return "No interval of a difference lies above zero: on this model, brief tuning does not pay."
    best = max(better, key=lambda one: one.gain.mean)
    lost = dense - best.before.mean
    return (
        f"The interval of the difference lies above zero for {len(better)} of {len(trials)} plans. The largest gain "
        f"is {best.gain.mean:.3f} for `{best.plan}`, {best.gain.mean / lost:.0%} of what that plan loses against dense."
    )


def _origin(measured: Measured) -> str:
    def words(value: object) -> str:
        return ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else str(value)

    return "\n".join(f"- {name}: {words(value)}" for name, value in measured.origin.items())


def _interval(value: Interval) -> str:
    return f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _signed(value: Interval) -> str:
    return f"{value.mean:+.3f} [{value.low:+.3f}, {value.high:+.3f}]"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
