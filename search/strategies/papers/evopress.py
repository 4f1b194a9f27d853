"""(1 + lambda) evolution with level-switch mutation, after EvoPress (Sieberling et al. 2024, arXiv 2410.14649).

The paper searches one size at a time, that is, a fixed number of attentions and FFNs to leave out. A mutation puts one
back and leaves out another of the same kind; the best of parent and offspring is the next parent. To cover a whole
front, several sizes are searched in turn, one generation each. The paper spends thousands of evaluations per size. To
fit smaller budgets there are few offspring here, and all are evaluated at one fidelity.
"""

import numpy as np

from search.strategies.papers.program import ProgramStrategy, Round, Steps, check_independent
from search.strategies.papers.sublayers import plan_of_sublayers
from search.strategies.strategy import Task
from spaces.kinds import fitted
from spaces.plan import Op, Plan
from spaces.spaces import Space

NUM_SIZES = 6
"""Number of sizes (blocks left out), spread evenly between 0 and all blocks."""
FIRST, OFFSPRING = 4, 4
"""Number of random plans in the first generation of a size, and of offspring per later generation."""
MAX_SWITCHES = 3
"""Maximum number of switches per mutation: the smaller of two uniform draws from 1 to this, as in the paper's code."""
IDLE = 20
"""Number of successive generations without a new plan after which a size is no longer searched."""


class EvoPress(ProgramStrategy):
    """Keeps one parent per size and replaces it by its best offspring."""

    def __init__(self, task: Task) -> None:
        check_independent("evopress", task)
        super().__init__(task)

    def steps(self, rng: np.random.Generator) -> Steps:
        space = self.task.space
        sizes = np.unique(np.linspace(0, space.num_blocks, NUM_SIZES + 2).round().astype(int)[1:-1])
        parents: dict[int, Plan] = {}
        seen: set[Plan] = set()
        idle = dict.fromkeys(sizes.tolist(), 0)
        while live := [size for size, count in idle.items() if count < IDLE]:
            for size in live:
                if parent := parents.get(size):
                    plans = [parent, *(switch(space, parent, rng) for _ in range(OFFSPRING))]
                else:
                    plans = [draw(space, size, rng) for _ in range(FIRST)]
                plans = [plan for plan in dict.fromkeys(plans) if plan in space]
                accuracies = yield Round(f"{size} of {space.num_blocks} out", plans)
                parents[size] = max(plans, key=accuracies.__getitem__)
                idle[size] = 0 if set(plans) - seen and accuracies[parents[size]] else idle[size] + 1
                seen.update(plans)


def draw(space: Space, size: int, rng: np.random.Generator) -> Plan:
    """Return a random plan that leaves out `size` attentions and `size` FFNs, or `size` blocks in a space of blocks.

    Args:
        space: the space of the plan.
        size: number of blocks, or of attentions and of FFNs each, to leave out.
        rng: source of all random choices.
    """
    ops = [level.op for level in space.choices(0)]
    has_sublayers = {Op.SKIP_ATTN, Op.SKIP_FFN, Op.SKIP_BLOCK} <= set(ops)
    attention = rng.permutation(space.num_blocks) < size
    ffn = rng.permutation(space.num_blocks) < size if has_sublayers else attention
    if Op.SKIP_BLOCK in ops:
        return plan_of_sublayers(space, zip(~attention, ~ffn, strict=True))
    others = [op for op in ops if op is not Op.KEEP]
    op = others[rng.integers(len(others))]
    return fitted(Plan.of(op if out else Op.KEEP for out in attention), space.kinds)


def switch(space: Space, plan: Plan, rng: np.random.Generator) -> Plan:
    """Return a plan in which pairs of blocks have exchanged their attentions, their FFNs, or their whole ops.

    The number of exchanges is random, from 1 to `MAX_SWITCHES`.

    Args:
        space: the space of the plan.
        plan: the plan to change.
        rng: source of all random choices.
    """
    ops = list(plan.ops)
    for _ in range(min(rng.integers(1, MAX_SWITCHES + 1, size=2))):
        has_sublayers = {Op.SKIP_ATTN, Op.SKIP_CROSS, Op.SKIP_FFN} & set(ops)
        kind = rng.choice(["attention", "ffn"]) if has_sublayers else "whole"
        pairs = [(i, j) for i in range(len(ops)) for j in range(i) if _part(ops[i], kind) != _part(ops[j], kind)]
        if pairs:
            i, j = pairs[rng.integers(len(pairs))]
            ops[i], ops[j] = _exchanged(ops[i], ops[j], kind)
    return fitted(Plan.of(ops), space.kinds)


def _part(op: Op, kind: str) -> object:
    return {"attention": op.runs_attention, "ffn": op.runs_ffn, "whole": op}[kind]


def _exchanged(first: Op, second: Op, kind: str) -> tuple[Op, Op]:
    if kind == "whole":
        return second, first
    if kind == "attention":
        return _op(second.runs_attention, first.runs_ffn), _op(first.runs_attention, second.runs_ffn)
    return _op(first.runs_attention, second.runs_ffn), _op(second.runs_attention, first.runs_ffn)


def _op(attention: bool, ffn: bool) -> Op:
    if attention:
        return Op.KEEP if ffn else Op.SKIP_FFN
    return Op.SKIP_ATTN if ffn else Op.SKIP_BLOCK
