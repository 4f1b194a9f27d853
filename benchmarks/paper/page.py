"""Writes docs/paper.md and its pictures from the stored results: `python -m benchmarks.paper.page`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paper import page_text
from benchmarks.paper.models import STORE, load
from benchmarks.paper.pictures import draw_trained, draw_untrained
from benchmarks.paper.trained import stored
from workers.embedded.training.card_values import Interval

DOCS = Path(__file__).parents[2] / "docs"
TITLES = {"embedded": "The embedded model", "smollm2": "SmolLM2-135M"}


def main() -> None:
    """Write the page and the pictures."""
    parts = [page_text.INTRODUCTION, *_untrained(), *_trained(), page_text.CLOSING, _origins()]
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
    yield page_text.UNTRAINED
    for subject, title in TITLES.items():
        yield f"### {title}"
        if not (STORE / f"untrained-{subject}.npz").exists():
            yield "Not run."
            continue
        found = load(f"untrained-{subject}.npz")
        scores = unpacked(found, "scores")
        draw_untrained(found, scores.mean(1), DOCS / f"paper-untrained-{subject}.png")
        yield _run(subject)
        yield f"![Accuracy against FLOPs]({f'paper-untrained-{subject}.png'})"
        dense = scores[0]
        is_open = _is_open(subject, scores.shape[1])
        yield table(
            ("pattern", "plan", "FLOPs", "accuracy", "share of dense", *(["color and shape"] if is_open.any() else [])),
            (
                (
                    name,
                    f"`{plan}`",
                    f"{cost:.3f}",
                    interval(own, found["images"]),
                    f"{own.mean() / dense.mean():.1%}",
                    *([f"{own[is_open].mean():.3f}"] if is_open.any() else []),
                )
                for name, plan, cost, own in zip(found["names"], found["plans"], found["costs"], scores, strict=True)
            ),
        )
        yield from _paired(found, scores)


def _is_open(subject: str, questions: int) -> np.ndarray:
    """Return True for questions of `test` about color or shape, (questions,) bool; for SmolLM2 only."""
    if subject == "embedded":
        return np.zeros(questions, dtype=bool)
    return np.asarray(load("dense-smollm2.npz")["kinds"][:questions] != "yes_no")


def _run(subject: str) -> str:
    """Return the sentence on the command that measured the numbers."""
    if subject == "embedded":
        return page_text.RUN[subject]
    dense = load("dense-smollm2.npz")
    _, blind = unpacked(dense, "scores")
    return page_text.RUN[subject].format(by_text=by_text(dense).mean(), blind=blind.mean())


def by_text(dense: dict[str, Any]) -> np.ndarray:
    """Return True where the most common answer of `train` to the same text is right, (questions,) bool."""
    usual = commonest(zip(dense["train_asked"], dense["train_answers"], strict=True))
    return np.array(
        [usual.get(asked) == answer for asked, answer in zip(dense["asked"], dense["answers"], strict=True)]
    )


def commonest(pairs: Iterable[tuple[Any, Any]]) -> dict[str, str]:
    """Return key -> the value most often paired with it."""
    counts: dict[str, Counter[str]] = {}
    for key, answer in pairs:
        counts.setdefault(str(key), Counter())[str(answer)] += 1
    return {key: own.most_common(1)[0][0] for key, own in counts.items()}


def _paired(found: dict[str, Any], scores: np.ndarray) -> Iterator[str]:
    """Yield the table of the difference between searched plans and the patterns they are compared with."""
    rows = {str(name): row for row, name in enumerate(found["names"])}
    pairs = [(name.removeprefix("additive for "), name) for name in rows if name.startswith("additive for ")]
    if pairs:
        yield "Searched less hand-made, paired question by question:"
        yield table(
            ("pattern", "FLOPs of the pattern", "of the searched plan", "difference"),
            (
                (
                    pattern,
                    f"{found['costs'][rows[pattern]]:.3f}",
                    f"{found['costs'][rows[searched]]:.3f}",
                    interval(scores[rows[searched]] - scores[rows[pattern]], found["images"]),
                )
                for pattern, searched in pairs
            ),
        )


def _trained() -> Iterator[str]:
    yield page_text.TRAINED
    for subject, title in TITLES.items():
        yield f"### {title}"
        runs = stored(subject)
        if not runs:
            yield "Not run."
            continue
        floor = by_text(load("dense-smollm2.npz")).mean() if subject == "smollm2" else None
        draw_trained(runs, DOCS / f"paper-trained-{subject}.png", floor)
        yield f"![Accuracy against training steps]({f'paper-trained-{subject}.png'})"
        yield _trained_table(runs)
        yield from kept(runs)


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


def kept(runs: Sequence[dict[str, Any]], share: float = 0.97) -> Iterator[str]:
    """Yield, for each way to choose plans, the fewest FLOPs at which a share of the dense accuracy is kept.

    Args:
        runs: stored runs; the part of a name before its first hyphen is the way.
        share: share of the accuracy of the runs named `dense`, by the mean over seeds.
    """
    by_name: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        by_name.setdefault(run["name"], []).append(run)
    least = share * np.mean([_accuracy(run) for run in by_name.pop("dense")])
    fewest: dict[str, list[float]] = {}
    for name, own in by_name.items():
        costs = fewest.setdefault(name.partition("-")[0], [])
        costs += [own[0]["cost"]] if np.mean([_accuracy(run) for run in own]) >= least else []
    for way, costs in fewest.items():
        yield f"- `{way}` keeps {share:.0%} of dense " + (f"at {min(costs):.3f} of its FLOPs" if costs else "nowhere")


def _accuracy(run: dict[str, Any]) -> float:
    return run["test"].count("1") / len(run["test"])


def _origins() -> str:
    lines = []
    for name in ("dense-smollm2.npz", *(f"untrained-{subject}.npz" for subject in TITLES)):
        if (STORE / name).exists():
            lines.append(origin_line(name, load(name)["origin"]))
    for subject in TITLES:
        for run in stored(subject)[-1:]:
            lines.append(origin_line(f"trained-{subject}.jsonl", run["origin"]))
    return "\n".join(["## Origin", "", *lines])


def origin_line(name: str, origin: dict[str, Any]) -> str:
    """Return one line on the origin of the numbers of a file."""
    settings = ", ".join(f"{key} {value}" for key, value in origin.items() if key not in ("versions", "fingerprints"))
    return f"- `{name}`: {settings}; torch {origin['versions']['torch']}"


if __name__ == "__main__":
    main()
