"""Compares stored results with what a plan per question is to reach, as Markdown."""

from collections.abc import Callable
from typing import Any


def targets_table(searches: list[dict[str, Any]]) -> str:
    """Return what was to be reached and what each search reached, as Markdown: the worst of its routers.

    Args:
        searches: stored results.
    """
    headings = ["", "to reach", *(f"search of seed {found['search']['seed']}" for found in searches)]
    rows: list[tuple[str, str, Callable[[dict[str, Any]], str]]] = [
        ("FLOPs saved at 97 % of dense", "25 %", lambda found: f"{100 * min(_of_level(found, 'saved')):.1f} %"),
        ("lower end of the interval of the gain of hypervolume", "above 0", lambda found: f"{_lowest(found):+.4f}"),
        ("gain, of that of a plan per kind", "0.5", lambda found: f"{_share_of_kinds(found):.2f}"),
        ("shuffled features, gain of hypervolume", "-0.005", lambda found: f"{_shuffled(found):+.4f}"),
        ("wall clock, times faster", "1.25", _speedup),
    ]
    lines = [" | ".join([name, wanted, *(of(found) for found in searches)]) for name, wanted, of in rows]
    return "\n".join(
        [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|", *(f"| {each} |" for each in lines), ""]
    )


def _of_level(found: dict[str, Any], name: str) -> list[float]:
    return [each["level"]["adaptive"][name] for each in found["routers"].values()]


def _lowest(found: dict[str, Any]) -> float:
    return min(float(each["hypervolume"]["adaptive_gain_interval"][0]) for each in found["routers"].values())


def _share_of_kinds(found: dict[str, Any]) -> float:
    gains = [each["hypervolume"] for each in found["routers"].values()]
    return min(float(each["adaptive_gain"] / each["per_kind_gain"]) for each in gains)


def _shuffled(found: dict[str, Any]) -> float:
    return min(float(each["hypervolume"]["adaptive_gain"]) for each in found["shuffled"].values())


def _speedup(found: dict[str, Any]) -> str:
    return "not measured" if found["stream"] is None else f"{found['stream']['speed-up']:.2f}"
