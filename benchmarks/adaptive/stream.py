"""Times a stream of mixed questions: one plan for all, and a plan per question in batches grouped by plan."""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch

from objectives.routing import PRICES, picks_at
from search.routing.route import Routed
from workers.apply_plan import apply_plan
from workers.export.fresh_process import encode, generate
from workers.routing.questions import mean_embedding
from workers.routing.router import TEXT
from workers.session import Session

BATCH = 32
"""Questions per batch."""


def time_streams(routed: Routed, level: float, questions: int, repeats: int) -> dict[str, Any]:
    """Return the median seconds of both streams, the policies that they follow, and their accuracies.

    Both get their inputs from the processor beforehand, and end when all answers are there. The routed one reads the
    questions, decides, and applies each plan with its mapping module to its share of the questions.

    Args:
        routed: the router with what was measured.
        level: share of the dense accuracy at which policies are taken.
        questions: number of questions from the start of the test split.
        repeats: number of runs of each stream, in turn.
    """
    request = routed.candidates.dense.request
    session = Session(request.model, request.data)
    torch.set_num_threads(1)
    stream = _Stream(session, routed, questions)
    price, static = _policies(routed, level)
    runs: dict[str, Callable[[], Any]] = {
        "one plan": lambda: stream.fixed(static),
        "routed": lambda: stream.routed(price),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            started = perf_counter()
            run()
            if repeat:  # the first run is for warm-up
                seconds[name].append(perf_counter() - started)
    found = {name: median(each) for name, each in seconds.items()}
    trial = routed.candidates.plans[static].number
    return {"questions": questions, "batch": BATCH, "price": price, "trial": trial, "seconds": found,
            "all": seconds, "speed-up": found["one plan"] / found["routed"]}  # fmt: skip


def _policies(routed: Routed, level: float) -> tuple[float, int]:
    """Return the price and the index of the single plan that keep a share of the dense accuracy on the search split."""
    needed = level * float(np.mean(routed.candidates.dense.search))
    points, static = routed.routed("search").points, routed.static("search").points
    good, fixed = np.flatnonzero(points[:, 0] >= needed), np.flatnonzero(static[:, 0] >= needed)
    return PRICES[good[np.argmin(points[good, 1])]], int(fixed[np.argmin(static[fixed, 1])])


class _Stream:
    """The questions, and the ways to answer them."""

    def __init__(self, session: Session, routed: Routed, questions: int) -> None:
        self.session, self.of, self.samples = session, routed, session.split("test").samples[:questions]
        assert routed.learned is not None and routed.learned.inputs == TEXT, "the stream routes on text features"
        self.router = routed.learned.router
        loaded = session.loaded
        self.rows = [encode(loaded.processor, [loaded.prompt_encoder.prompt(each.question, 1)], [each.images], "cpu")
                     for each in self.samples]  # fmt: skip

    def fixed(self, plan: int) -> None:
        """Answer every question with one plan of the front."""
        with self._under(plan):
            self._answer(range(len(self.rows)))

    def routed(self, price: float) -> None:
        """Decide for every question, then answer group by group."""
        loaded, columns = self.session.loaded, self.of.chosen
        text = torch.stack([mean_embedding(loaded, row["input_ids"][0]) for row in self.rows])
        picks = picks_at(self.router.expected(text).numpy().astype(float), self.of.ratios, price)
        for place in np.unique(picks).tolist():
            with self._under(columns[place]):
                self._answer(np.flatnonzero(picks == place).tolist())

    @contextmanager
    def _under(self, plan: int) -> Any:
        request, session = self.of.candidates.plans[plan].request, self.session
        session.make_dense()
        if request.mapping_module:
            session.read_mapping_module(Path(request.mapping_module), request)
        with apply_plan(session.loaded.model, request.plan, session.pruning_inputs):
            yield

    def _answer(self, chosen: Sequence[int]) -> None:
        loaded = self.session.loaded
        most = self.session.split("test").max_new_tokens
        for first in range(0, len(chosen), BATCH):
            rows = [self.rows[index] for index in chosen[first : first + BATCH]]
            generate(loaded.model, _batch(rows, loaded.pad_token), loaded.pad_token, most, 0, list(loaded.end_tokens))


def _batch(rows: Sequence[dict[str, torch.Tensor]], pad: int) -> dict[str, torch.Tensor]:
    """Return the inputs of several questions, padded on the left."""
    longest = max(row["input_ids"].shape[1] for row in rows)
    fill = {"input_ids": pad, "attention_mask": 0}
    return {
        name: torch.cat([
            torch.nn.functional.pad(row[name], (longest - row[name].shape[1], 0), value=fill[name]) if name in fill
            else row[name]
            for row in rows
        ])
        for name in rows[0]
    }  # fmt: skip
