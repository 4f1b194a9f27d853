"""Controls of a router: the same measurements with the questions of some kinds only."""

from dataclasses import replace

import numpy as np

from objectives.routing import PRICES, kind_picks
from search.routing.candidates import Candidate
from search.routing.measure import Measured
from search.routing.route import Routed


def some_kinds(routed: Routed, kept_kinds: set[str]) -> Routed:
    """Return the measurements on the questions of some kinds.

    FLOPs are divided by the mean of the dense model over these questions.

    Args:
        routed: measurements on all questions.
        kept_kinds: the kinds that are kept.
    """
    kept = {
        name: np.flatnonzero(np.isin(each.questions.kinds, sorted(kept_kinds))) for name, each in routed.splits.items()
    }
    splits = {name: _rows(each, kept[name]) for name, each in routed.splits.items()}
    search = splits["search"]
    candidates = replace(
        routed.candidates,
        plans=tuple(_search_rows(each, kept["search"]) for each in routed.candidates.plans),
        dense=_search_rows(routed.candidates.dense, kept["search"]),
    )
    ratios, kinds = search.costs.mean(0), search.questions.kinds
    return replace(
        routed,
        candidates=candidates,
        splits=splits,
        again=None,
        dense_test=tuple(np.array(routed.dense_test)[kept["test"]].tolist()),
        by_kind=tuple(kind_picks(search.scores, ratios, kinds, price) for price in PRICES),
    )


def _rows(split: Measured, rows: np.ndarray) -> Measured:
    known = split.questions
    questions = replace(
        known,
        text=known.text[rows],
        image=known.image[rows],
        tokens=tuple(known.tokens[row] for row in rows),
        kinds=tuple(known.kinds[row] for row in rows),
    )
    dense = split.dense[rows]
    costs = split.costs[rows] * split.dense_flops / dense.mean()
    return replace(split, questions=questions, scores=split.scores[rows], costs=costs, dense=dense)


def _search_rows(plan: Candidate, rows: np.ndarray) -> Candidate:
    return replace(plan, search=tuple(np.array(plan.search)[rows].tolist()), test=None)
