"""Questions that the router sends to its cheapest and to its most expensive plan, with images and answers."""

from collections.abc import Iterator
from dataclasses import replace

from search.analysis.samples import AnsweredQuestion
from search.page.examples import example_of, images_of
from search.page.run_facts import RunFacts
from search.page.section import Example, Examples, Piece, Text
from search.storage.results import TrialRecord

SHOWN = 4
"""Number of questions per plan."""
RIGHT = 0.5
"""Score from which an answer counts as right."""


def routed_examples(run: RunFacts) -> Iterator[Piece]:
    """Yield questions of the cheapest and of the most expensive plan that the router uses, kinds in turn.

    Args:
        run: a run with a stored router.
    """
    used = {number for each in run.decisions.values() for number in each}
    records = {each.trial.number: each for each in run.records if each.trial.number in used}
    ratios = {number: each.on("search")[-1].flops_ratio for number, each in records.items()}
    if len(ratios) < 2:
        return
    for name, number in (
        ("cheapest", min(ratios, key=ratios.__getitem__)),
        ("most expensive", max(ratios, key=ratios.__getitem__)),
    ):
        answered = _sent_to(run, records[number])
        if not answered:
            continue
        shown = _in_turn(answered)[:SHOWN]
        yield Text(
            f"The {name} plan, trial {number} with {ratios[number]:.2f} of the dense FLOPs, answers {len(answered)} "
            f"questions of the {answered[0].split} split. Some of them:"
        )
        images = images_of(run, shown)
        yield Examples([_marked(each, image) for each, image in zip(shown, images, strict=True)])


def _marked(answered: AnsweredQuestion, image: str) -> Example:
    """Return a question whose answers are marked by their own scores: both may be right."""
    dense, plan = answered.dense_score >= RIGHT, answered.score >= RIGHT
    return replace(example_of(answered, image), dense_right=dense, plan_right=plan)


def _sent_to(run: RunFacts, record: TrialRecord) -> list[AnsweredQuestion]:
    """Return the questions that a trial gets, of the split of which its answers are stored."""
    answered = run.answered(record)
    decided = run.decisions.get(answered[0].split, []) if answered else []
    return [each for each, trial in zip(answered, decided, strict=False) if trial == record.trial.number]


def _in_turn(answered: list[AnsweredQuestion]) -> list[AnsweredQuestion]:
    """Return the questions with those that are the first of their kind before the second ones, and so on."""
    seen: dict[str, int] = {}
    turns = []
    for each in answered:
        seen[each.kind] = seen.get(each.kind, 0) + 1
        turns.append(seen[each.kind])
    return [each for _, each in sorted(zip(turns, answered, strict=True), key=lambda pair: pair[0])]
