"""Measures routers of several seeds, cascades, controls and wall clock on one finished search, as JSON values."""

import os
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.adaptive.controls import some_kinds
from benchmarks.adaptive.stream import time_streams
from search.routing.decisions import LEVEL
from search.routing.learn import learn
from search.routing.result import describe, summary_level
from search.routing.route import Routed, route
from search.storage.find_run import open_results
from workers.embedded.chains import STEPS
from workers.routing.router import train_router
from workers.software import commit, versions

SEEDS = (0, 1, 2)
"""Seeds of the router."""


def measured(run: Path, questions: int, repeats: int, cascade: bool) -> dict[str, Any]:
    """Return what is measured on a run.

    Args:
        run: folder of the finished search.
        questions: number of test questions of the timed streams; 0 to time none.
        repeats: times that each stream is run.
        cascade: True to measure cascades, whose margins take as long as all else.
    """
    results = open_results(run, None)
    try:
        first = route(results, run, seed=SEEDS[0], cascade=cascade)
        settings, trials = results.run.settings, len(results.records())
    finally:
        results.close()
    described = {seed: describe(again(first, seed), run.name) for seed in SEEDS}
    return {
        "search": {
            "seed": settings["seed"],
            "budget": settings["budget"],
            "trials": trials,
            "data": settings["dataset"]["name"],
            "plans": len(first.candidates.plans),
            "questions": len(first.splits["test"].scores),
        },
        "dense": described[SEEDS[0]]["dense"],
        "routers": {seed: shortened(found) for seed, found in described.items()},
        "shuffled": {seed: shortened(describe(again(first, seed, shuffled=True), run.name)) for seed in SEEDS},
        "kinds": {kind: alone(first, {kind}) for kind in sorted(set(first.splits["search"].questions.kinds))},
        "unseen": {kind: unseen(first, kind) for kind in sorted(set(first.splits["train"].questions.kinds))},
        "lengths": lengths_of(first),
        "fronts": fronts_of(first),
        "stream": time_streams(again(first, SEEDS[0], text_only=True), LEVEL, questions, repeats)
        if questions
        else None,
        "origin": {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "versions": versions(),
            "commit": commit(),
            "threads": settings["threads"],
        },
    }


def again(routed: Routed, seed: int, shuffled: bool = False, text_only: bool = False) -> Routed:
    """Return the same measurements with a router of another seed, with shuffled features, or on text alone."""
    floor = routed.candidates.floor
    learned = learn(routed.splits, routed.static("search"), routed.chosen, floor, seed, shuffled, text_only)
    return replace(routed, learned=learned, seed=seed)


def alone(routed: Routed, kinds: set[str]) -> dict[str, Any]:
    """Return what a router of the first seed wins where it sees questions of some kinds only."""
    return shortened(describe(again(some_kinds(routed, kinds), SEEDS[0]), "some kinds"))


def lengths_of(routed: Routed) -> dict[int, Any]:
    """Return length of the chain -> what a router wins on its questions; empty for questions without chains."""
    if not set(routed.splits["search"].questions.kinds) <= set(STEPS):
        return {}
    found = {}
    for length in sorted(set(STEPS.values())):
        kinds = {kind for kind, steps in STEPS.items() if steps == length}
        part = again(some_kinds(routed, kinds), SEEDS[0])
        found[length] = shortened(describe(part, f"{length} steps")) | {"fronts": fronts_of(part)}
    return found


def unseen(routed: Routed, kind: str) -> list[float]:
    """Return the shares of test questions that a router trained without a kind calls unlike all others.

    Returns:
        The share of the questions of the kind, and that of all other kinds.
    """
    tables = {name: torch.from_numpy(each.questions.text) for name, each in routed.splits.items()}
    kinds = {name: np.array(each.questions.kinds) == kind for name, each in routed.splits.items()}
    seen = torch.from_numpy(~kinds["train"])
    scores = torch.from_numpy(routed.splits["train"].scores).float()
    router = train_router(tables["train"][seen], scores[seen], hidden=0, weight_decay=1.0, seed=SEEDS[0], epochs=1)
    unknown = router.is_unknown(tables["test"]).numpy()
    return [float(unknown[kinds["test"]].mean()), float(unknown[~kinds["test"]].mean())]


def shortened(found: dict[str, Any]) -> dict[str, Any]:
    """Return what the page shows of a result: hypervolumes, and the comparison at `LEVEL`."""
    kept = {name: found[name] for name in ("hypervolume", "dense", "router")}
    return kept | {"level": summary_level(found)}


def fronts_of(routed: Routed) -> dict[str, list[list[float]]]:
    """Return name of a front -> its points (FLOPs ratio, accuracy) on the test split."""
    fronts = {"static": routed.static, "per_kind": routed.per_kind, "adaptive": routed.adaptive}
    if routed.again is not None:
        fronts |= {"cascade": routed.cascade, "routed_cascade": routed.routed_cascade}
    return {
        name: of("test").take(of("search").front()).points[:, ::-1].round(5).tolist() for name, of in fronts.items()
    }
