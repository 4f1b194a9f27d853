"""Lists the landscapes of the comparison: spaces of the embedded model, small enough to measure every plan.

The exception is `layers12`, whose table has only the plans that were proposed.
"""

from dataclasses import dataclass
from pathlib import Path

from spaces.plan import Op, Plan
from spaces.spaces import NON_KEEP, Space, load_space
from workers.requests import Rung


@dataclass(frozen=True)
class Landscape:
    """Some ops at some blocks; all other blocks are kept."""

    name: str
    space: str
    """Name of the search space, whose depth is the number of `blocks`."""
    ops: tuple[Op, ...]
    blocks: tuple[int, ...]
    """Blocks of the model that may be changed."""
    questions: int
    """Number of questions from the start of each split."""
    base: str = ""
    """Plan that gives the other blocks; empty: they are kept."""
    model: str = "embedded"
    """Name or folder of the model."""
    rungs: tuple[Rung, ...] = (Rung(),)
    """Rungs of a trial; one rung without tuning is the table itself."""
    grows: bool = False
    """True if the space is too large to enumerate, so that its table grows (`benchmarks.truth.grown`)."""

    listed: Space | None = None
    """The space itself, where it has no name (`benchmarks.truth.outside_table`)."""
    min_accuracy: float = 0.0
    """Accuracy above which a plan counts, as `--min-accuracy` of a search."""

    @property
    def searched(self) -> Space:
        """Return the space as a strategy reads it: that of a model with only these blocks."""
        if self.listed is not None:
            return self.listed
        return load_space(self.space, len(self.blocks), ops=self.ops)

    def whole(self, plan: Plan, num_blocks: int) -> Plan:
        """Return the plan of the whole model for a plan of `searched`."""
        whole = Plan.parse(self.base) if self.base else Plan.dense(num_blocks)
        for block, op in zip(self.blocks, plan.ops, strict=True):
            whole = whole.replace(block, op)
        return whole


MODELS = Path(__file__).parents[1] / "data"
"""Folder of the models other than the embedded one."""
MODEL14, HELD_OUT = str(MODELS / "model14"), str(MODELS / "heldout")
"""Models of `workers.embedded.training.recipe`, with `--seed 1 --blocks 14` and `--seed 2 --blocks 12`."""
TUNED = (
    Rung(tuning_steps=0, questions=256),
    Rung(tuning_steps=8, questions=256),
    Rung(tuning_steps=25, questions=512),
)
LANDSCAPES = {
    landscape.name: landscape
    for landscape in (
        Landscape("blocks12", "blocks", (Op.SKIP_BLOCK,), tuple(range(12)), 512),
        Landscape("blocks14", "blocks", (Op.SKIP_BLOCK,), tuple(range(14)), 512, model=MODEL14),
        Landscape("heldout12", "blocks", (Op.SKIP_BLOCK,), tuple(range(12)), 512, model=HELD_OUT),
        Landscape("layers6", "layers", NON_KEEP, tuple(range(6, 12)), 256),
        Landscape("layers12", "layers", NON_KEEP, tuple(range(12)), 256, grows=True),
        Landscape(
            "rungs4",
            "layers",
            (Op.SKIP_ATTN, Op.SKIP_FFN, Op.SKIP_BLOCK),
            (4, 6, 7, 9),
            512,
            base=".b...b..b.bb",
            rungs=TUNED,
        ),
        Landscape(
            "rungs7",
            "layers",
            (Op.SKIP_FFN, Op.SKIP_BLOCK),
            (2, 3, 4, 6, 7, 8, 9),
            512,
            base=".b...b....bb",
            rungs=TUNED,
        ),
    )
}
"""Name -> landscape."""
