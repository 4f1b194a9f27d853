"""How good a model's answers are, from 0 to 1, by name: what each metric reads of a model, and its scores.

Metrics that read answers score generated text. Metrics that read likelihoods score given answers by how probable
the model finds them: nothing is generated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp
from statistics import fmean

from objectives.anls import anls
from objectives.cider import cider
from objectives.exact import exact_match, strict_match
from objectives.vqa import normalized
from spaces.names import unknown

_ENOUGH = 3
"""So many people with the same answer make it fully right (VQA, Antol et al. 2015)."""


class Reads(StrEnum):
    """What a metric reads of a model."""

    ANSWERS = "generated answers"
    LIKELIHOODS = "likelihoods of given answers"


@dataclass(frozen=True)
class Metric:
    """One way to score."""

    reads: Reads
    meaning: str
    """What 1 means, in a few words."""
    needs_choices: bool = False
    fewest: int = 1
    """Questions a split must have at least."""
    scores_parts: bool = False
    """Whether an answer that is right in part scores for that, as a caption does."""


def vqa(prediction: str, answers: Sequence[str]) -> float:
    """VQA accuracy: min(people who gave this answer / 3, 1), averaged over all ways to leave one person out.

    Answers are normalized as in the official evaluation (`objectives.vqa`), here always, there only where people
    disagree; what would be left of "A" or "?" is not nothing here, so that an empty answer is none of these. With ten
    answers this is the official average over the subsets of nine. Of fewer than four answers all that are left must
    agree, and a single answer is an exact match.
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


def likeliest(log_likelihoods: Sequence[float], candidates: Sequence[str]) -> str:
    """The candidate with the highest log-likelihood per character: the answer that `choice` scores.

    This is `acc_norm` of lm-evaluation-harness (Gao et al. 2024), and its `acc` where candidates are letters. As
    there, a log-likelihood sums the answer's tokens without an end of sequence, and the first of equals wins.
    """
    normed = [value / len(text) for value, text in zip(log_likelihoods, candidates, strict=True)]
    return candidates[normed.index(max(normed))]


def likelihood(log_probabilities: Sequence[float]) -> float:
    """exp(-loss): the probability of an answer per token (geometric mean), its end of sequence included.

    The loss is what tuning minimizes; its exponential is in (0, 1] and higher is better, as the search needs it.
    """
    return exp(fmean(log_probabilities))


METRICS: dict[str, Metric] = {
    "exact_match": Metric(
        Reads.ANSWERS, "the answer is one of those given; case, punctuation around it and articles don't count"
    ),
    "strict_match": Metric(Reads.ANSWERS, "the answer is one of those given; only case and extra space don't count"),
    "vqa": Metric(Reads.ANSWERS, "three or more people gave the answer"),
    "anls": Metric(Reads.ANSWERS, "no letter of the answer differs"),
    "cider": Metric(Reads.ANSWERS, "a caption like all of people's; CIDEr-D / 10", fewest=2, scores_parts=True),
    "choice": Metric(Reads.LIKELIHOODS, "the right choice is the likeliest", needs_choices=True),
    "loss": Metric(Reads.LIKELIHOODS, "every token of the answer is certain; exp(-loss)", scores_parts=True),
}
_PER_ANSWER: dict[str, Callable[[str, Sequence[str]], float]] = {
    "exact_match": exact_match,
    "strict_match": strict_match,
    "vqa": vqa,
    "anls": anls,
}


def scores(name: str, predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> list[float]:
    """The score of each generated answer, from 0 to 1.

    Args:
        name: a metric that reads answers.
        predictions: answers to the first questions of a split.
        answers: the accepted answers to all questions of the split: CIDEr weighs words by all of them.

    Raises:
        ValueError: an unknown metric, one that reads likelihoods, or a question without an answer to compare with.
    """
    known = [each for each, metric in METRICS.items() if metric.reads is Reads.ANSWERS]
    if name not in known:
        raise unknown("metric of generated answers", name, known)
    for given in answers:
        if isinstance(given, str) or not given:
            raise ValueError(f"answers must be a list of at least one text, got {given!r}: give ['the answer']")
    if name != "vqa":  # there a blank is a person's answer; an answer to be given it is nowhere
        answers = [[text for text in given if text.strip()] or given for given in answers]
    if name == "cider":
        return cider(predictions, answers)
    return [_PER_ANSWER[name](text, given) for text, given in zip(predictions, answers, strict=False)]


def guess_metric(num_answers: Sequence[int], captions: bool, choices: bool) -> str:
    """The metric that is usual for a task: by its kind, and by how many answers its questions have.

    Ten answers are ten people asked, as in VQA; fewer are as many ways to write the right one.
    """
    if choices:
        return "choice"
    if captions:
        return "cider"
    return "vqa" if fmean(num_answers) >= 10 else "exact_match"
