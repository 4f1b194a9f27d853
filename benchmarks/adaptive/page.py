"""Writes the measured part of docs/adaptive.md, and its pictures: `python -m benchmarks.adaptive.page`.

`benchmarks/data/adaptive/search-*.json` are searches of the embedded model, `chains-*.json` those of its checkpoint for
questions of several steps, as `python -m benchmarks.adaptive RUN --store FILE` writes them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.adaptive.targets import targets_table

DATA = Path("benchmarks/data/adaptive")
PAGE, PICTURE, CHAINS_PICTURE = Path("docs/adaptive.md"), Path("docs/adaptive.png"), Path("docs/adaptive-chains.png")
CURVE = Path("benchmarks/data/chains/curve.jsonl")
BEGIN, END = "<!-- Written by `python -m benchmarks.adaptive.page`. -->", "<!-- End of what it writes. -->"
HEADINGS = (
    "| {} | FLOPs saved against one plan | accuracy on test | difference to one plan | gain of hypervolume |\n"
    "|---|---|---|---|---|"
)


def tables_of(found: dict[str, Any]) -> str:
    """Return the tables of one search as Markdown.

    Args:
        found: a stored result.
    """
    search, origin, level = found["search"], found["origin"], next(iter(found["routers"].values()))["level"]
    done = "" if search["trials"] >= search["budget"] else f", stopped after {search['trials']} trials"
    packages = ", ".join(f"{name} {origin['versions'][name]}" for name in ("torch", "transformers"))
    model = " --model benchmarks/data/chains --dataset embedded-chains" if found["lengths"] else ""
    lines = [
        f"`search.run{model} --budget {search['budget']} --seed {search['seed']}`{done}: {search['plans']} plans "
        f"on the front, {search['questions']:,} test questions, dense accuracy {found['dense']['test']:.3f}. "
        f"{origin['machine']}, {packages}, commit {origin['commit'][:7]}.",
        "",
    ]
    if level is None:
        return "\n".join([*lines, "No plan of the front keeps 97 % of the dense accuracy on the search split.", ""])
    lines += [HEADINGS.format("at 97 % of dense, by the search split"), *_rows(found, level), ""]
    lines += [f"- {each}" for each in _controls(found)]
    return "\n".join([*lines, ""])


def _rows(found: dict[str, Any], level: dict[str, Any]) -> Iterator[str]:
    one = level["static"]
    yield f"| one plan ({one['flops_ratio']:.3f} of the dense FLOPs) | | {one['accuracy']:.4f} | | |"
    first = next(iter(found["routers"].values()))
    yield _row("a plan per kind", first, "per_kind")
    for seed, each in found["routers"].items():
        yield _row(f"router, seed {seed}", each, "adaptive")
    if "cascade" in level:
        yield _row("cascade of two plans", first, "cascade")
        yield _row("router, seed 0, then a cascade", first, "routed_cascade")


def _row(name: str, found: dict[str, Any], front: str) -> str:
    level, volumes = found["level"][front], found["hypervolume"]
    (low, high), (below, above) = level["saved_interval"], level["difference_interval"]
    least, most = volumes[f"{front}_gain_interval"]
    return (
        f"| {name} | {level['saved']:.1%} [{low:.1%}, {high:.1%}] | {level['accuracy']:.4f} | "
        f"{level['difference']:+.4f} [{below:+.4f}, {above:+.4f}] | {volumes[f'{front}_gain']:+.4f} "
        f"[{least:+.4f}, {most:+.4f}] |"
    ).replace("%", " %")


def _controls(found: dict[str, Any]) -> Iterator[str]:
    used = [seed for seed, each in found["shuffled"].items() if each["router"]["used"]]
    worst = min(each["hypervolume"]["adaptive_gain"] for each in found["shuffled"].values())
    yield (
        f"Shuffled features, seeds {', '.join(found['shuffled'])}: the router is "
        f"{'used with seed ' + ', '.join(used) if used else 'not used'}; gain of hypervolume at worst {worst:+.4f}."
    )
    gains = {kind: each["hypervolume"] for kind, each in found["kinds"].items() if each["router"]["used"]}
    each_gain = ", ".join(f"`{kind}` {gain['adaptive_gain']:+.4f}" for kind, gain in gains.items())
    lowest = min((gain["adaptive_gain_interval"][0] for gain in gains.values()), default=0.0)
    yield (
        f"Questions of one kind only: the router is used for {each_gain or 'none'}; lower end of an interval at worst "
        f"{lowest:+.4f}. For the others the result is the static front."
    )
    noticed = ", ".join(f"`{kind}` {own:.0%}".replace("%", " %") for kind, (own, _) in found["unseen"].items())
    others = max(other for _, other in found["unseen"].values())
    yield (
        "A kind that is left out of training is noticed as unlike all others in these shares of its questions: "
        f"{noticed}; of other questions, at most {100 * others:.1f} %."
    )
    if (stream := found["stream"]) is not None:
        seconds = stream["seconds"]
        yield (
            f"Wall clock of {stream['questions']:,} mixed questions in batches of {stream['batch']}, one thread: "
            f"{seconds['routed']:.1f} s routed, {seconds['one plan']:.1f} s with one plan, {stream['speed-up']:.2f} "
            "times faster (decision and change of plan included, processor excluded; medians of runs in turn)."
        )


def lengths_table(found: dict[str, Any]) -> str:
    """Return the table of a search by length of the chain as Markdown.

    Args:
        found: a stored result of the questions of several steps.
    """
    lines = [
        "| steps | dense accuracy | one plan at 97 % of it | accuracy | saved by the router | difference | gain of "
        "hypervolume |\n|---|---|---|---|---|---|---|"
    ]
    for length, each in found["lengths"].items():
        dense, level, volumes = each["dense"]["test"], each["level"], each["hypervolume"]
        least, most = volumes["adaptive_gain_interval"]
        gain = f"{volumes['adaptive_gain']:+.4f} [{least:+.4f}, {most:+.4f}]"
        if level is None:
            lines.append(f"| {length} | {dense:.3f} | none on the front | | | | {gain} |")
            continue
        one, routed = level["static"], level["adaptive"]
        (low, high), (below, above) = routed["saved_interval"], routed["difference_interval"]
        lines.append(
            f"| {length} | {dense:.3f} | {one['flops_ratio']:.3f} | {one['accuracy']:.3f} | "
            f"{100 * routed['saved']:.1f} % [{100 * low:.1f} %, {100 * high:.1f} %] | {routed['difference']:+.3f} "
            f"[{below:+.3f}, {above:+.3f}] | {gain} |"
        )
    return "\n".join([*lines, ""])


def measured_part() -> str:
    """Return the measured part of the page, between its two marks."""
    searches = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(DATA.glob("search-*.json"))]
    parts = [BEGIN, "", targets_table(searches), *(tables_of(found) for found in searches)]
    return "\n".join([*parts, END])


def chains_part() -> str:
    """Return the measured part about questions of several steps: the curve of the training, and fronts by length."""
    curve = [json.loads(line) for line in CURVE.read_text(encoding="utf-8").splitlines()]
    kinds = [name for name in curve[0] if name not in ("stage", "step", "seconds", "loss")]
    head = f"| accuracy on `tune` after | CPU seconds | {' | '.join(f'`{kind}`' for kind in kinds)} |"
    parts = [BEGIN, "", head, "|---|---|" + "---|" * len(kinds)]
    for row in (curve[index] for index in sorted({*range(0, len(curve), 2), len(curve) - 1})):
        after = f"{row['step']} steps" if row["stage"] == "language" else "the mapping module, too"
        parts.append(f"| {after} | {row['seconds']} | {' | '.join(f'{row[kind]:.2f}' for kind in kinds)} |")
    for file in sorted(DATA.glob("chains-*.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        parts += ["", tables_of(found), lengths_table(found)]
    return "\n".join([*parts, END])


def written(page: str) -> str:
    """Return the page with its two measured parts written anew; the first one stays if no search is stored.

    Args:
        page: the page with two pairs of marks.
    """
    first, second, after = page.split(END)
    before, _, old = first.partition(BEGIN)
    between = second.partition(BEGIN)[0]
    kept = measured_part() if any(DATA.glob("search-*.json")) else BEGIN + old + END
    return before + kept + between + chains_part() + after


def main() -> None:
    """Write the measured part of the page, and its pictures."""
    from benchmarks.adaptive.picture import draw, draw_lengths

    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    for file in sorted(DATA.glob("search-*.json"))[:1]:
        draw(json.loads(file.read_text(encoding="utf-8")), PICTURE)
    for file in sorted(DATA.glob("chains-*.json"))[:1]:
        draw_lengths(json.loads(file.read_text(encoding="utf-8")), CHAINS_PICTURE)


if __name__ == "__main__":
    main()
