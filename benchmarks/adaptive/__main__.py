"""Adaptive fronts of finished searches, with controls and wall clock: `python -m benchmarks.adaptive RUN ...`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.adaptive.controls import one_kind
from benchmarks.adaptive.picture import draw
from benchmarks.adaptive.stream import time_streams
from benchmarks.origin import heading
from search.routing.decisions import LEVEL
from search.routing.learn import learn
from search.routing.result import describe
from search.routing.route import Routed, route
from search.storage.find_run import open_results

SEEDS = (0, 1, 2)
"""Seeds of the router."""


def again(routed: Routed, seed: int, shuffled: bool = False) -> Routed:
    """Return the same measurements with a router of another seed, or with shuffled features."""
    floor = routed.candidates.floor
    learned = learn(routed.splits, routed.static("search"), routed.chosen, floor, seed, shuffled)
    return replace(routed, learned=learned, seed=seed)


def line(name: str, found: dict[str, Any]) -> str:
    """Return a row of the table: savings at 97 % of dense, and hypervolumes."""
    volumes = found["hypervolume"]
    level = next(each for each in found["levels"] if each["share_of_dense"] == LEVEL)
    routed, (low, high) = level["adaptive"], level["adaptive"]["saved_interval"]
    least, most = volumes["adaptive_gain_interval"]
    below, above = routed["difference_interval"]
    return (
        f"{name:22} saved {routed['saved']:.1%} [{low:.1%}, {high:.1%}]; accuracy {routed['accuracy']:.4f}, "
        f"{routed['difference']:+.4f} [{below:+.4f}, {above:+.4f}]; hypervolume {volumes['static']:.4f} "
        f"{volumes['adaptive_gain']:+.4f} [{least:+.4f}, {most:+.4f}]; "
        f"per kind {volumes['per_kind_gain']:+.4f}; router {'used' if found['router']['used'] else 'not used'}"
    )


def cascade_line(found: dict[str, Any]) -> str:
    """Return a row of the table for cascades, which have no seed."""
    volumes = found["hypervolume"]
    level = next(each for each in found["levels"] if each["share_of_dense"] == LEVEL)["cascade"]
    (low, high), (least, most) = level["saved_interval"], volumes["cascade_gain_interval"]
    below, above = level["difference_interval"]
    return (
        f"{'cascades':22} saved {level['saved']:.1%} [{low:.1%}, {high:.1%}]; accuracy {level['accuracy']:.4f}, "
        f"{level['difference']:+.4f} [{below:+.4f}, {above:+.4f}]; hypervolume {volumes['static']:.4f} "
        f"{volumes['cascade_gain']:+.4f} [{least:+.4f}, {most:+.4f}]"
    )


def main(
    run: Annotated[Path, typer.Argument(help="Folder of a finished search of the embedded model.")],
    picture: Annotated[Path | None, typer.Option(help="File of the picture.")] = None,
    questions: Annotated[
        int, typer.Option(help="Number of test questions of the timed streams; 0 to time none.")
    ] = 1000,
    repeats: Annotated[int, typer.Option(help="Times that each stream is run.")] = 3,
) -> None:
    """Print one row per seed of the router, one per control, and the seconds of the streams."""
    results = open_results(run, None)
    try:
        first = route(results, run, seed=SEEDS[0], cascade=True)
        settings = results.run.settings
    finally:
        results.close()
    print(heading("A plan per question", run=run.name, seed=settings["seed"], threads=settings["threads"]))
    every = {seed: first if seed == SEEDS[0] else again(first, seed) for seed in SEEDS}
    described = {seed: describe(each, run.name) for seed, each in every.items()}
    for seed, found in described.items():
        print(line(f"router seed {seed}", found), flush=True)
    print(cascade_line(described[SEEDS[0]]), flush=True)
    for seed in SEEDS:
        print(line(f"shuffled, seed {seed}", describe(again(first, seed, shuffled=True), run.name)), flush=True)
    for kind in sorted(set(first.splits["search"].questions.kinds)):
        volumes = (found := describe(again(one_kind(first, kind), 0), kind))["hypervolume"]
        low, high = volumes["adaptive_gain_interval"]
        used = "used" if found["router"]["used"] else "not used"
        print(f"only {kind:17} {volumes['adaptive_gain']:+.4f} [{low:+.4f}, {high:+.4f}], router {used}", flush=True)
    if picture is not None:
        draw(first, described[SEEDS[0]], picture)
    if questions:
        print(json.dumps(time_streams(first, LEVEL, questions, repeats), indent=1))


if __name__ == "__main__":
    typer.run(main)
