"""Writes docs/paper.md and its pictures from the stored results: `python -m benchmarks.paper.page`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paper import words
from benchmarks.paper.pictures import draw_trained, draw_untrained
from benchmarks.paper.subjects import STORE, load
from benchmarks.paper.trained import stored
from workers.embedded.training.card_values import Interval

DOCS = Path(__file__).parents[2] / "docs"
TITLES = {"embedded": "The embedded model", "smollm2": "SmolLM2-135M"}


def main() -> None:
    """Write the page and the pictures."""
    parts = [words.INTRODUCTION, *_untrained(), *_trained(), words.CLOSING, _origins()]
    (DOCS / "paper.md").write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def unpacked(stored: dict[str, Any], name: str) -> np.ndarray:
    """Return stored scores, (plans, questions) float."""
    return np.unpackbits(stored[name], axis=1, count=len(stored["images"])).astype(float)


def interval(scores: np.ndarray, images: np.ndarray) -> str:
    """Return a mean with its 95 % interval over whole images, as text."""
    own = Interval.of(scores, images)
    return f"{own.mean:.3f} [{own.low:.3f}, {own.high:.3f}]"


def _untrained() -> Iterator[str]:
    yield words.UNTRAINED
    for subject, title in TITLES.items():
        yield f"### {title}"
        if not (STORE / f"untrained-{subject}.npz").exists():
            yield "Not run."
            continue
        found = load(f"untrained-{subject}.npz")
        scores = unpacked(found, "scores")
        draw_untrained(found, scores.mean(1), DOCS / f"paper-untrained-{subject}.png")
        yield f"![Accuracy against FLOPs]({f'paper-untrained-{subject}.png'})"
        dense = scores[0]
        yield table(
            ("pattern", "FLOPs", "accuracy", "share of dense"),
            (
                (f"`{name}`", f"{cost:.3f}", interval(own, found["images"]), f"{own.mean() / dense.mean():.1%}")
                for name, cost, own in zip(found["names"], found["costs"], scores, strict=True)
            ),
        )


def _trained() -> Iterator[str]:
    yield words.TRAINED
    for subject, title in TITLES.items():
        yield f"### {title}"
        runs = stored(subject)
        if not runs:
            yield "Not run."
            continue
        draw_trained(runs, DOCS / f"paper-trained-{subject}.png")
        yield f"![Accuracy against training steps]({f'paper-trained-{subject}.png'})"
        yield _trained_table(runs)


def _trained_table(runs: Sequence[dict[str, Any]]) -> str:
    dense = np.mean([_accuracy(run) for run in runs if run["name"] == "dense"])
    names = dict.fromkeys(run["name"] for run in runs)
    rows = []
    for name in names:
        own = [run for run in runs if run["name"] == name]
        accuracies = [_accuracy(run) for run in own]
        spread = f"{min(accuracies):.3f} to {max(accuracies):.3f}" if len(own) > 1 else "one seed"
        mean = np.mean(accuracies)
        steps = own[0]["course"]["steps"]
        rows.append(
            (name, f"`{own[0]['plan']}`", f"{own[0]['cost']:.3f}", steps, f"{mean:.3f}", spread, f"{mean / dense:.1%}")
        )
    head = ("plans", "plan", "FLOPs", "steps", "accuracy on `test`", "seeds", "share of dense")
    return table(head, rows)


def _accuracy(run: dict[str, Any]) -> float:
    return run["test"].count("1") / len(run["test"])


def _origins() -> str:
    lines = []
    for file in sorted(STORE.glob("*.npz")):
        origin = load(file.name)["origin"]
        lines.append(origin_line(file.name, origin))
    for subject in TITLES:
        for run in stored(subject)[-1:]:
            lines.append(origin_line(f"trained-{subject}.jsonl", run["origin"]))
    return "\n".join(["## Origin", "", *lines])


def origin_line(name: str, origin: dict[str, Any]) -> str:
    """Return one line on where the numbers of a file come from."""
    settings = ", ".join(f"{key} {value}" for key, value in origin.items() if key not in ("versions", "fingerprints"))
    return f"- `{name}`: {settings}; torch {origin['versions']['torch']}"


if __name__ == "__main__":
    main()
