"""A plan in words names every changed block once, and nothing else."""

import re

import pytest
from hypothesis import given

from spaces.plan import Op, Plan
from spaces.plan_words import plan_words
from tests.spaces.drawn import unscoped_plans


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("....", ["runs every block whole"]),
        ("b.bb", ["skips blocks 0, 2-3"]),
        ("a.fp", ["skips the attention of block 0", "skips the FFN of block 2",
                  "runs attention and FFN of block 3 in parallel"]),
        ("av.bg", ["skips block 2 while it generates", "skips the attention of block 0 for visual tokens"]),
        ("()[]", ["runs block 0 in parallel with the next one",
                  "runs block 2 in parallel with the next one, as the mean of the two"]),
        ("..{ffn50}.", ["prunes block 1 by {ffn50}"]),
    ],
)  # fmt: skip
def test_the_words_of_a_plan(text: str, words: list[str]) -> None:
    assert plan_words(Plan.parse(text)) == words


@given(unscoped_plans())
def test_every_changed_block_is_named_once(plan: Plan) -> None:
    named = [
        number
        for clause in plan_words(plan)
        for low, high in re.findall(r"(\d+)(?:-(\d+))?", clause)
        for number in range(int(low), int(high or low) + 1)
    ]
    assert sorted(named) == [i for i, op in enumerate(plan.ops) if op not in (Op.KEEP, Op.PAIRED)]
