"""Learns a router from a finished search and measures its adaptive front beside the static one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from objectives.routing import PRICES, Floats, Policies, choose_plans, constant, follow, join, kind_picks, picks_at
from search.routing.candidates import Candidate, Candidates, RoutingError, read_candidates
from search.routing.cascade import (
    SecondAnswers,
    cascades_of,
    measure_again,
    run_cascades,
    run_routed_cascades,
    thresholds_of,
)
from search.routing.learn import Learned, knows_something, learn, sweep
from search.routing.measure import Measured, measure, open_session, scores_of
from search.storage.results import Results

if TYPE_CHECKING:
    from workers.session import Session

Say = Callable[[str], None]
STRIDE = 3
"""Of this many prices, one is combined with cascades."""
MOST = 8
"""Largest number of plans of a router."""


@dataclass(frozen=True)
class Routed:
    """A router with what was measured; policies have the same order on both splits."""

    candidates: Candidates
    chosen: tuple[int, ...]
    """Indices in the front of the plans of the router."""
    splits: dict[str, Measured]
    """`train` with the chosen plans, `search` and `test` with all plans of the front."""
    dense_test: tuple[float, ...]
    """Score of the dense model per question of the test split."""
    learned: Learned | None
    """The router; None without one (`--per-kind`)."""
    by_kind: tuple[dict[str, int], ...]
    """Kind -> index of its plan in the front, per price."""
    seed: int
    again: dict[str, SecondAnswers] | None = None
    """Split -> margins of the answers of the chosen plans; None without cascades."""

    @cached_property
    def knowledge(self) -> tuple[float, float] | None:
        """Return the 95 % interval of what routing adds to random mixing on the search split; None without a router."""
        if self.learned is None:
            return None
        return knows_something(self.static("search"), self.routed("search"), self.candidates.floor)

    @property
    def is_used(self) -> bool:
        """Return True if the router is better than mixing plans at random; if not, the result is the static front."""
        return self.knowledge is not None and self.knowledge[0] > 0

    def static(self, split: str) -> Policies:
        """Return the policies that give every question the same plan of the front."""
        return constant(self.splits[split].scores, self.splits[split].costs)

    def adaptive(self, split: str) -> Policies:
        """Return the static policies, and behind them those of the router, one per price, if it is used."""
        if self.learned is None or not self.is_used:
            return self.static(split)
        return join(self.static(split), self.routed(split))

    def routed(self, split: str) -> Policies:
        """Return the policies of the router, one per price."""
        assert self.learned is not None, "a run without a router has no routed policies"
        learned = self.learned
        return sweep(learned.expected[split], self.splits[split], self.chosen, self.ratios, learned.flops)

    def per_kind(self, split: str) -> Policies:
        """Return the static policies, and behind them one policy per price that gives every kind its best plan."""
        measured = self.splits[split]
        picks = [np.array([plans[kind] for kind in measured.questions.kinds]) for plans in self.by_kind]
        return join(self.static(split), follow(picks, measured.scores, measured.costs))

    def cascade(self, split: str) -> Policies:
        """Return the static policies, and behind them the cascades of pairs of chosen plans, if they were measured."""
        if self.again is None:
            return self.static(split)
        found = cascades_of(self.again["search"].margins)
        return join(self.static(split), run_cascades(found, self.splits[split], self.chosen, self.again[split]))

    def routed_cascade(self, split: str) -> Policies:
        """Return the adaptive policies, and behind them those whose routed answers are followed by cascades."""
        if self.again is None or self.learned is None or not self.is_used:
            return self.cascade(split)
        measured, expected = self.splits[split], self.learned.expected[split]
        picks = [picks_at(expected, self.ratios, price) for price in PRICES[::STRIDE]]
        return join(self.adaptive(split), run_routed_cascades(
            picks, thresholds_of(self.again["search"].margins), measured, self.chosen, self.again[split],
            self.learned.flops / measured.dense_flops,
        ))  # fmt: skip

    @property
    def ratios(self) -> Floats:
        """Return the mean cost per chosen plan on the search split, by which the router decides."""
        return np.asarray(self.splits["search"].costs[:, list(self.chosen)].mean(0))


def route(
    results: Results, out: Path, *, plans: int = MOST, seed: int | None = None, per_kind: bool = False,
    text_only: bool = False, cascade: bool = False, shuffled: bool = False, say: Say = print,
) -> Routed:  # fmt: skip
    """Return a router for the front of a run: trained on train, chosen on search, measured on test.

    Args:
        results: results of the run.
        out: folder of the run.
        plans: largest number of plans of the router.
        seed: seed of the router; None for that of the search.
        per_kind: True to train no router, and to choose a plan per kind of question only.
        text_only: True for a router that reads no images, as `search.export --routed` needs it.
        cascade: True to measure cascades too.
        shuffled: True to permute the features over the questions, a control.
        say: receives lines of progress.

    Raises:
        RoutingError: the run has nothing to route between, or its questions have one kind only with `per_kind`.
    """
    candidates = read_candidates(results, out)
    session = open_session(candidates, results.run.origin["fingerprints"])
    splits = {name: measure(session, name, candidates.plans, candidates.dense, say) for name in ("search", "test")}
    _check_kinds(splits, per_kind)
    search, kinds = splits["search"], splits["search"].questions.kinds
    ratios = search.costs.mean(0)
    chosen = choose_plans(search.scores, ratios, plans)
    seed = int(results.run.settings["seed"]) if seed is None else seed
    learned = None
    if not per_kind:
        splits["train"] = measure(session, "train", [candidates.plans[k] for k in chosen], candidates.dense, say)
        static = constant(search.scores, search.costs)
        learned = learn(splits, static, chosen, candidates.floor, seed, shuffled, text_only)
    return Routed(
        candidates=candidates,
        chosen=tuple(chosen),
        splits=splits,
        dense_test=scores_of(session, "test", candidates.dense, say),
        learned=learned,
        by_kind=tuple(kind_picks(search.scores, ratios, kinds, price) for price in PRICES),
        seed=seed,
        again=_again(session, [candidates.plans[k] for k in chosen], splits, say) if cascade else None,
    )


def _again(
    session: "Session", plans: list[Candidate], splits: dict[str, Measured], say: Say
) -> dict[str, SecondAnswers]:
    return {
        "search": measure_again(session, "search", plans, splits["search"], say),
        "test": measure_again(session, "test", plans, splits["test"], say),
    }


def _check_kinds(splits: dict[str, Measured], per_kind: bool) -> None:
    search, test = ({*split.questions.kinds} for split in (splits["search"], splits["test"]))
    if test - search:
        raise RoutingError(
            f"kinds of the test split must be in the search split too, got {min(test - search)!r} only there"
        )
    if per_kind and len(search) < 2:
        raise RoutingError(f"--per-kind needs questions of several kinds, got {min(search)!r} only: leave it out")
