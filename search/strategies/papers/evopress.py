"""(1 + lambda) evolution with level-switch mutation, after EvoPress (Sieberling et al. 2024, arXiv 2410.14649).

The paper searches one size at a time: so many attentions and FFNs are left out, a mutation puts one back and
leaves out another of its kind, and the best of the offspring and their parent goes on. For a whole front it is
run for several sizes, here in turns, a generation each. The paper's thousands of evaluations a size don't fit our
budgets: few offspring, one fidelity.
"""

import numpy as np

from search.strategies.papers.program import ProgramStrategy, Round, Steps, check_independent
from search.strategies.papers.sublayers import plan_of_sublayers
from search.strategies.strategy import Task
from spaces.kinds import fitted
from spaces.plan import Op, Plan
from spaces.spaces import Space

NUM_SIZES = 6
FIRST, OFFSPRING = 4, 4
MAX_SWITCHES = 3
"""A mutation switches this often at most: the smaller of two draws, as in the paper's code."""
IDLE = 20
"""Generations in a row of nothing but known plans after which a size is taken to be searched out."""


class EvoPress(ProgramStrategy):
    """One population of one plan for every size."""

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
                idle[size] = 0 if set(plans) - seen else idle[size] + 1
                seen.update(plans)


def draw(space: Space, size: int, rng: np.random.Generator) -> Plan:
    """Return a plan without `size` blocks, or as many attentions and as many FFNs."""
    ops = [level.op for level in space.choices(0)]
    halves = {Op.SKIP_ATTN, Op.SKIP_FFN, Op.SKIP_BLOCK} <= set(ops)
    attention = rng.permutation(space.num_blocks) < size
    ffn = rng.permutation(space.num_blocks) < size if halves else attention
    if Op.SKIP_BLOCK in ops:
        return plan_of_sublayers(space, zip(~attention, ~ffn, strict=True))
    others = [op for op in ops if op is not Op.KEEP]
    op = others[rng.integers(len(others))]
    return fitted(Plan.of(op if out else Op.KEEP for out in attention), space.kinds)


def switch(space: Space, plan: Plan, rng: np.random.Generator) -> Plan:
    """Exchanges, once or a few times, what two blocks do: both attentions, both FFNs, or both ops as a whole."""
    ops = list(plan.ops)
    for _ in range(min(rng.integers(1, MAX_SWITCHES + 1, size=2))):
        has_halves = {Op.SKIP_ATTN, Op.SKIP_CROSS, Op.SKIP_FFN} & set(ops)
        kind = rng.choice(["attention", "ffn"]) if has_halves else "whole"
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
