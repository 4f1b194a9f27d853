"""Makes models by depth up-scaling, the same trained blocks repeated and trained briefly, and measures all their plans.

Depth up-scaling makes blocks redundant in pairs: a copy can compute what the block computed, so that skipping one of
them is harmless as long as the other one stays. `python -m benchmarks.truth.stacked` repeats the most important blocks
of the embedded model, trains the stack with the last two stages of its recipe, and writes the table of all plans
(`benchmarks/data/stack2x6.npz`, `stack3x4.npz`).
"""

import argparse
import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import LlavaForConditionalGeneration

from benchmarks.truth.enumerated import DATA, measure
from benchmarks.truth.landscapes import MODELS, Landscape
from spaces.plan import Op
from workers.embedded.questions import KINDS
from workers.embedded.training.recipe import Recipe, Schedule, Stage, save
from workers.models.model_files import EMBEDDED


@dataclass(frozen=True)
class Stack:
    """The blocks of the embedded model that are repeated, and how often."""

    blocks: tuple[int, ...]
    times: int


STACKS = {
    "stack2x6": Stack((0, 2, 4, 5, 6, 9), 2),
    "stack3x4": Stack((0, 2, 4, 5), 3),
}
"""Landscape -> stack; the blocks are those of the best plans of `blocks12` with six and with four blocks."""
SEED = 0
SCHEDULE = Schedule(deep=Stage(60, 5e-4, images=16), mapping=Stage(10, 5e-4, images=16), steps_between_exams=30)


def train(stack: Stack, out: Path) -> None:
    """Train the model of a stack and write it to a folder."""
    recipe = Recipe(SCHEDULE, SEED, out)
    recipe.model = LlavaForConditionalGeneration.from_pretrained(EMBEDDED).float().eval()
    _repeat(recipe.model, stack)
    for number, (run, stage) in enumerate(((recipe.deep, SCHEDULE.deep), (recipe.mapping, SCHEDULE.mapping))):
        torch.manual_seed(SEED + number)
        recipe.rng, recipe.weights = np.random.default_rng([SEED, number]), dict.fromkeys(KINDS, 1.0)
        run(stage)
    save(recipe.model, recipe.processor, out)


def _repeat(model: LlavaForConditionalGeneration, stack: Stack) -> None:
    """Replace the decoder blocks of a model by a stack of some of them, in place."""
    decoder = model.model.language_model
    blocks = [copy.deepcopy(decoder.layers[block]) for _ in range(stack.times) for block in stack.blocks]
    for index, block in enumerate(blocks):
        block.self_attn.layer_idx = index
    decoder.layers = nn.ModuleList(blocks)
    model.config.text_config.num_hidden_layers = decoder.config.num_hidden_layers = len(blocks)


def landscape_of(name: str) -> Landscape:
    """Return the landscape of a stack; it joins `LANDSCAPES` once its table is stored."""
    return Landscape(name, "blocks", (Op.SKIP_BLOCK,), tuple(range(12)), 256, model=str(MODELS / name))


def main() -> None:
    """Train the stacks and measure all of their plans."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stack", nargs="*", help=f"default: {' '.join(STACKS)}")
    parser.add_argument("--out", type=Path, default=DATA, help="folder of the tables")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.stack or STACKS:
        landscape = landscape_of(name)
        train(STACKS[name], Path(landscape.model))
        truth = measure(landscape)
        found = f"{len(truth.plans)} plans, {len(truth.front())} on the front, {truth.volume():.4f}"
        print(f"{truth.save(arguments.out)}: {found}", flush=True)


if __name__ == "__main__":
    main()
