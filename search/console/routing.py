"""Formats the result of a router as tables for the terminal."""

from typing import Any

from rich.text import Text

from search.console.aligned import Column, aligned
from search.routing.decisions import LEVEL
from search.routing.result import SCHEMA_VERSION, summary_level

FRONTS = {
    "static": "one plan",
    "adaptive": "router",
    "cascade": "cascade",
    "routed_cascade": "router, cascade",
    "per_kind": "plan per kind",
}
"""Front -> its name for users."""


def is_shown(result: dict[str, Any] | None) -> bool:
    """Return True if a report can show the stored result of a router that is used.

    Args:
        result: the stored result; None without one.
    """
    if result is None or result.get("schema_version") != SCHEMA_VERSION:
        return False
    return bool(result["router"]["used"])


def routing_text(result: dict[str, Any]) -> Text:
    """Return the adaptive front beside the static one, and the plans that each kind of question gets.

    Args:
        result: the result, as `search.routing.result.describe` returns it.
    """
    router = result["router"]
    left_out = {"adaptive"} if router is None else set()
    fronts = [name for name in FRONTS if name in result["hypervolume"] and name not in left_out]
    text = Text(f"{result['run']}: a plan per question\n\n", style="bold")
    text.append(f"{_router(router)}\n" if router else "")
    columns = (Column("of dense", "left"), Column("front", "left"), Column("accuracy [95 %]"), Column("FLOPs"),
               Column("saved [95 %]"), Column("difference [95 %]"))  # fmt: skip
    rows = [_row(level, name) for level in result["levels"] for name in fronts]
    text.append("".join(f"{line}\n" for line in ["", *aligned(columns, rows), ""]))
    text.append(_volumes(result["hypervolume"], fronts))
    text.append(
        "".join(
            f"{line}\n" for line in ["", *_kinds(result, [name for name in fronts if name in ("adaptive", "per_kind")])]
        )
    )
    return text.append(
        "The cheapest way on each front to keep a share of the dense accuracy, chosen on the search split, measured on "
        f"the {result['questions']['test']} questions of the test split. Saved and difference are against one plan, "
        "paired by question; FLOPs are shares of the dense ones, the router's included.\n",
        style="dim",
    )


def _router(router: dict[str, Any]) -> str:
    low, high = router["gain_over_mixing"]
    gain = f"{low:+.4f} to {high:+.4f} of hypervolume on the search split"
    if not router["used"]:
        return (
            f"The router knows nothing that mixing plans at random does not ({gain}): the result is the static front."
        )
    return (
        f"Router of {len(router['trials'])} plans (trials {', '.join(map(str, router['trials']))}) on "
        f"{router['inputs']}, {router['flops_ratio']:.3%} of the dense FLOPs; against mixing plans at random {gain}."
    )


def _row(level: dict[str, Any], name: str) -> list[str]:
    found = level[name]
    (low, high), (least, most) = found["interval"], found["saved_interval"]
    below, above = found["difference_interval"]
    compared = ["", ""]
    if name != "static":
        compared = [
            f"{found['saved']:.1%} [{least:.1%}, {most:.1%}]",
            f"{found['difference']:+.3f} [{below:+.3f}, {above:+.3f}]",
        ]
    share = f"{level['share_of_dense']:.0%}" if name == "static" else ""
    accuracy = f"{found['accuracy']:.3f} [{low:.3f}, {high:.3f}]"
    return [share, FRONTS[name], accuracy, f"{found['flops_ratio']:.3f}", *compared]


def _volumes(volumes: dict[str, Any], fronts: list[str]) -> str:
    lines = [f"Hypervolume above the floor, one plan: {volumes['static']:.4f}"]
    for name in fronts[1:]:
        low, high = volumes[f"{name}_gain_interval"]
        lines.append(f"{FRONTS[name]}: {volumes[name]:.4f}, {volumes[f'{name}_gain']:+.4f} [{low:+.4f}, {high:+.4f}]")
    return "; ".join(lines) + "\n"


def _kinds(result: dict[str, Any], fronts: list[str]) -> list[str]:
    """Return a table with the trials that each kind of question gets, for one share of the dense accuracy."""
    level = summary_level(result)
    if level is None:
        return []
    columns = [
        Column(f"at {LEVEL:.0%} of dense", "left"),
        *(Column(f"trials, {FRONTS[name]}", "left") for name in fronts),
    ]
    kinds = level["per_kind"]["plans"]
    return [*aligned(columns, [[kind, *(_plans(level[name]["plans"][kind]) for name in fronts)] for kind in kinds]), ""]


def _plans(found: Any) -> str:
    """Return a trial, or the largest shares of trials; the keys are text if the result was read from a file."""
    if not isinstance(found, dict):
        return str(found)
    return ", ".join(f"{share:.0%} {number}" for number, share in [*found.items()][:4])
