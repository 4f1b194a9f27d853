"""Hypothesis strategies for plans and random generators."""

import numpy as np
from hypothesis import strategies as st

from spaces.plan import Op, Plan

ops = st.sampled_from(list(Op))


def plans(min_blocks: int = 1, max_blocks: int = 40) -> st.SearchStrategy[Plan]:
    return st.lists(ops, min_size=min_blocks, max_size=max_blocks).map(Plan.of)


generators = st.integers(0, 2**32 - 1).map(np.random.default_rng)
