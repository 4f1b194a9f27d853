"""The grid of the source paper (arXiv 2410.09454), op, interval, start and end, in an order that fills it evenly."""

from collections.abc import Iterator

import numpy as np

from search.strategies.papers.program import ProgramStrategy, Round, Steps
from spaces.plan import Op
from spaces.spaces import interval


class IntervalGrid(ProgramStrategy):
    """Every plan of the interval rule that lies in the space; after the first few the range of FLOPs is covered."""

    def steps(self, rng: np.random.Generator) -> Steps:
        space = self.task.space
        ops = {level.op for block in range(space.num_blocks) for level in space.choices(block)} - {Op.KEEP}
        plans = [plan for plan in interval(space.num_blocks, ops).enumerate() if plan in space]
        plans.sort(key=self.task.flops_ratio)
        yield Round("interval grid", [plans[place] for place in spread(len(plans))])


def spread(count: int) -> Iterator[int]:
    """0 .. count-1, each once, so that the first ones are already far apart (van der Corput, base 2)."""
    bits = max(1, (count - 1).bit_length())
    for number in range(2**bits):
        place = int(f"{number:0{bits}b}"[::-1], 2)
        if place < count:
            yield place
