"""Memory that runs out makes batches smaller; answers and scores stay the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from spaces.plan import Plan
from workers.evaluation.evaluate import evaluate
from workers.inference.plain_split import PlainSplit
from workers.inference.token_budget import LEAST_TOKENS, TOKENS_AT_ONCE, TokenBudget
from workers.reports import TrialState
from workers.requests import Rung, TrialRequest
from workers.sources import DataSource
from workers.trial import Worker, run_trial


@contextmanager
def room_for(loaded, tokens: int) -> Iterator[list[int]]:
    """Let the first block run out of memory for batches of more tokens; give the sizes of all batches it saw."""
    seen: list[int] = []

    def check(_module, args, kwargs):
        hidden = args[0] if args else kwargs["hidden_states"]
        seen.append(hidden.shape[0] * hidden.shape[1])
        if seen[-1] > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    handle = loaded.decoder.layers[0].register_forward_pre_hook(check, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


@pytest.fixture(params=["packed", "plain"])
def split(request, loaded, prepared):
    return (
        replace(prepared, budget=TokenBudget(), _packs={})
        if request.param == "packed"
        else PlainSplit(loaded, prepared.samples)
    )


def test_batches_shrink_until_they_fit_and_stay_small(loaded, split):
    with room_for(loaded, 10**9) as sizes:
        whole = evaluate(loaded, split, "exact_match")
    room = max(sizes) // 3
    with room_for(loaded, room):
        assert split.budget.fit(lambda: evaluate(loaded, split, "exact_match")) == whole
    assert split.budget.tokens < TOKENS_AT_ONCE
    with room_for(loaded, room) as sizes:  # the next trial does not try the large batches again
        assert split.budget.fit(lambda: evaluate(loaded, split, "exact_match")) == whole
    assert max(sizes) <= room


@pytest.mark.slow
def test_what_fits_in_no_batch_is_raised(loaded, split):
    with room_for(loaded, 0), pytest.raises(torch.OutOfMemoryError):
        split.budget.fit(lambda: evaluate(loaded, split, "exact_match"))
    assert split.budget.tokens == LEAST_TOKENS


def test_other_errors_are_raised_at_once():
    budget = TokenBudget()

    def fails():
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        budget.fit(fails)
    assert budget.tokens == TOKENS_AT_ONCE


def test_a_trial_survives(tiny_source):
    rungs = (Rung(split="search"),)
    request = TrialRequest(plan=Plan.parse("a..."), model=tiny_source, data=DataSource(name="tiny"), rungs=rungs)
    worker = Worker()
    whole = run_trial(worker, request, lambda _: True)
    with room_for(worker.session.loaded, 100):
        report = run_trial(worker, request, lambda _: True)
    assert report.state is TrialState.COMPLETE, report.reason
    assert report.rungs[-1].scores == whole.rungs[-1].scores
