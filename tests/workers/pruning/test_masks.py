"""Masks against a brute force in plain Python: one row, one group, one weight after another."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces.pruning import Method, Pattern, Pruning
from tests.fast import draws
from workers.pruning.masks import keep_mask, scores


def brute_force(weight, norms, pruning) -> list[list[bool]]:
    """Which weights stay: per row or group of a row all but the lowest |w| * norm, ties by place."""
    rows = []
    for row in weight.tolist():
        # rounded as the scores are: what is equal in float32 goes by its place
        scored = [np.float32(abs(w)) * np.float32(norm) for w, norm in zip(row, norms.tolist(), strict=True)]
        if pruning.pattern is None:
            spans = [(0, len(row), int(len(row) * pruning.percent / 100 + 1e-9))]
        else:
            kept, group = pruning.pattern
            starts = range(0, len(row), group)
            spans = [(s, min(s + group, len(row)), max(min(s + group, len(row)) - s - kept, 0)) for s in starts]
        keep = [True] * len(row)
        for start, end, zeros in spans:
            for place in sorted(range(start, end), key=lambda place: (scored[place], place))[:zeros]:
                keep[place] = False
        rows.append(keep)
    return rows


amounts = st.integers(1, 99).map(lambda percent: {"percent": percent}) | st.sampled_from(
    [(2, 4), (4, 8), (1, 4), (3, 5)]
).map(lambda pair: {"pattern": Pattern(*pair)})


@settings(max_examples=draws(150))
@given(st.integers(0, 999), st.integers(1, 5), st.integers(1, 33), amounts, st.booleans(), st.booleans())
def test_equal_the_brute_force(seed, num_rows, columns, amount, wanda, coarse):
    torch.manual_seed(seed)
    weight, norms = torch.randn(num_rows, columns), torch.rand(columns)
    if coarse:  # many equal scores
        weight, norms = weight.round(), norms.round()
    pruning = Pruning(Method.WANDA if wanda else Method.MAGNITUDE, **amount)
    mask = keep_mask(scores(weight, pruning.method, norms), pruning)
    expected = brute_force(weight, norms if wanda else torch.ones(columns), pruning)
    assert mask.tolist() == expected
    assert (mask.sum(1) == pruning.kept_weights(columns)).all()


@pytest.mark.parametrize("pattern", [Pattern(2, 4), Pattern(4, 8)])
def test_every_group_is_exact(pattern):
    weight = torch.randn(16, 64)
    mask = keep_mask(scores(weight, Method.WANDA, torch.rand(64)), Pruning(Method.WANDA, pattern=pattern))
    assert (mask.view(16, -1, pattern.group).sum(-1) == pattern.kept).all()


def test_the_norm_of_the_input_decides():
    """The largest weight is pruned if its input is 0, unlike by magnitude."""
    weight, norms = torch.tensor([[3.0, 1.0, -2.0, 0.5]]), torch.tensor([0.1, 1.0, 1.0, 1.0])
    half = {"percent": 50}
    wanda, magnitude = (
        keep_mask(scores(weight, method, norms), Pruning(method, **half)) for method in (Method.WANDA, Method.MAGNITUDE)
    )
    assert wanda.tolist() == [[False, True, True, False]]
    assert magnitude.tolist() == [[True, False, True, False]]


def test_half_precision_is_scored_in_full():
    weight = (torch.rand(4, 32) + 1).bfloat16()
    norms = torch.full((32,), 1e4)
    assert torch.equal(scores(weight, Method.WANDA, norms), weight.float() * 1e4)
