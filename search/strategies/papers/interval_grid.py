"""The grid of the source paper (arXiv 2410.09454) over op, interval, start and end, in an order that covers it."""

from collections.abc import Iterator

import numpy as np

from search.strategies.papers.program import ProgramStrategy, Round, Steps
from spaces.plan import Op
from spaces.spaces import interval


class IntervalGrid(ProgramStrategy):
    """Proposes the plans of the interval rule that lie in the space; the first few already cover the range of FLOPs."""

    def steps(self, rng: np.random.Generator) -> Steps:
        space = self.task.space
        ops = {level.op for block in range(space.num_blocks) for level in space.choices(block)} - {Op.KEEP}
        plans = [plan for plan in interval(space.num_blocks, ops).enumerate() if plan in space]
        plans.sort(key=self.task.flops_ratio)
        yield Round("interval grid", [plans[place] for place in spread(len(plans))])


def spread(count: int) -> Iterator[int]:
    """Yield 0 .. count-1 in the order of the base-2 van der Corput sequence: the first ones are already far apart."""
    bits = max(1, (count - 1).bit_length())
    for number in range(2**bits):
        place = int(f"{number:0{bits}b}"[::-1], 2)
        if place < count:
            yield place
