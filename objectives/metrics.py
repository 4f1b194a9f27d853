"""How good an answer is, from 0 to 1, given the answers of people."""

from collections.abc import Callable, Sequence

from objectives.vqa import normalized
from spaces.names import unknown

_ENOUGH = 3
"""So many people with the same answer make it fully right (VQA, Antol et al. 2015)."""


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1 if the prediction is one of the answers, else 0; letter case and extra space don't count."""
    return float(_plain(prediction) in {_plain(answer) for answer in answers})


def vqa(prediction: str, answers: Sequence[str]) -> float:
    """VQA accuracy: min(people who gave this answer / 3, 1), averaged over all ways to leave one person out.

    Answers are normalized as in the official evaluation (`objectives.vqa`), here always, there only where
    people disagree. With ten answers this is the official average over the subsets of nine. Of fewer than
    four answers all that are left must agree, and a single answer is an exact match.
    """
    people = [normalized(answer) for answer in answers]
    matches = people.count(normalized(prediction))
    others = len(people) - 1
    if others < 1:
        return float(matches)
    enough = min(_ENOUGH, others)
    with_a_match_left_out = min((matches - 1) / enough, 1.0) if matches else 0.0
    with_another_left_out = min(matches / enough, 1.0)
    total = matches * with_a_match_left_out + (len(people) - matches) * with_another_left_out
    return total / len(people)


METRICS: dict[str, Callable[[str, Sequence[str]], float]] = {"exact_match": exact_match, "vqa": vqa}


def score(name: str, prediction: str, answers: Sequence[str]) -> float:
    """The value of the metric of that name, from 0 to 1.

    Raises:
        ValueError: an unknown metric, or no answer to compare with.
    """
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    if isinstance(answers, str) or not answers:
        raise ValueError(f"answers must be a list of at least one text, got {answers!r}: give ['the answer']")
    return METRICS[name](prediction, answers)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
