"""Plans as rows of numbers: they round-trip, differ where plans differ, and show what prunings have in common."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.strategies.plan_bits import Coding
from search.strategies.scan import change, scan
from spaces.plan import Plan
from spaces.spaces import SPACES, load_space
from tests.fast import draws
from tests.spaces.drawn import generators


@pytest.mark.parametrize("name", SPACES)
@given(num_blocks=st.integers(2, 8), rng=generators)
@settings(max_examples=draws(20))
def test_plans_round_trip_and_differ(name, num_blocks, rng):
    space = load_space(name, num_blocks)
    coding, plans = Coding(space), [space.sample(rng) for _ in range(20)]
    codes = coding.encode(plans)
    assert [coding.decode(code) for code in codes] == plans
    assert len(np.unique(coding.bits(codes), axis=0)) == len(set(plans))


def bits(coding, text):
    return set(np.flatnonzero(coding.bits(coding.encode([Plan.parse(text)]))[0]))


def test_a_severe_pruning_has_the_bits_of_a_mild_one():
    coding = Coding(load_space("full", 2))
    assert bits(coding, "..") == set()
    assert bits(coding, ".{ffn75}.") < bits(coding, ".{ffn50}.") < bits(coding, ".{ffn25}.")
    assert not bits(coding, ".{h50}.") & bits(coding, ".{ffn25}.") or bits(coding, ".{h50}.") != bits(
        coding, ".{ffn25}."
    )
    assert bits(coding, "b.") <= bits(coding, "bv{ffn50}.") | bits(coding, "b.")
    assert bits(coding, "bv.") < bits(coding, "bv{ffn50}.")
    assert bits(coding, "a{ffn50}.") >= bits(coding, "a.") | bits(coding, ".{ffn50}.")


def test_the_scan_prunes_kept_blocks_one_by_one():
    space = load_space("full", 3, scopes=["all"])
    scanned = [change(plan) for plan in scan(space, 1000)]
    assert len(scanned) == len(set(scanned)) == 3 * (4 + 6)
    assert scanned[:3] == ["skip_block 0", "skip_block 1", "skip_block 2"]
    assert scanned[3:9] == [f"keep{{{each}}} 0" for each in ("ffn75", "ffn50", "ffn25", "h50", "w50", "w2:4")]
    assert not any(name.startswith("skip") and "{" in name for name in scanned)
    assert len(scan(space, 10)) == 10
