"""The metrics of answers by name; all scores are from 0 to 1.

Metrics of answers score generated text. Metrics of likelihoods score given answers by their probability under the
model; nothing is generated.
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
"""Number of annotators with the same answer that make it fully right (VQA, Antol et al. 2015)."""


class Reads(StrEnum):
    """The model output that a metric reads."""

    ANSWERS = "generated answers"
    LIKELIHOODS = "likelihoods of given answers"


@dataclass(frozen=True)
class Metric:
    """One metric."""

    reads: Reads
    meaning: str
    """Meaning of a score of 1, in a few words."""
    score: Callable[[str, Sequence[str]], float] | None = None
    """(answer, accepted answers) -> score in [0, 1]; None if the score needs all answers, or their likelihoods."""
    needs_choices: bool = False
    """True for multiple-choice questions only."""
    fewest: int = 1
    """Minimum number of questions in a split."""
    rule: str = "1"
    """Version of the scoring rule; a run is not resumed under another version."""
    scores_parts: bool = False
    """True if a partly right answer has a score above 0, as a caption has."""
    by_task: bool = False
    """True if the data set scores its answers itself."""


def vqa(prediction: str, answers: Sequence[str]) -> float:
    """Return the VQA accuracy: min(matching annotators / 3, 1), averaged over leaving out each annotator once.

    Answers are always normalized (`objectives.vqa`); the official evaluation normalizes only if annotators disagree.
    Normalization never makes an answer such as "A" or "?" empty, so an empty prediction does not match it. With ten
    answers, the score equals the official average over the subsets of nine. With fewer than four answers, all of the
    remaining ones must match; with a single answer, the score is exact match.

    Args:
        prediction: the generated answer.
        answers: one answer per annotator.
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
    """Return the candidate with the highest log-likelihood per character, the answer that `choice` scores.

    This is the rule of `acc_norm` of lm-evaluation-harness (Gao et al. 2024), and of its `acc` if candidates are single
    letters. As there, the log-likelihood is the sum over the tokens of the candidate without end-of-sequence; of equal
    ones, the first is returned.

    Args:
        log_likelihoods: log-likelihood of each candidate, in nats.
        candidates: texts of the candidates, none of them empty.
    """
    normed = [value / len(text) for value, text in zip(log_likelihoods, candidates, strict=True)]
    return candidates[normed.index(max(normed))]


def likelihood(log_probabilities: Sequence[float]) -> float:
    """Return exp(-loss): the geometric mean of the probabilities of an answer's tokens, end-of-sequence included.

    The loss is the one that tuning minimizes. Its exponential is in (0, 1] and higher is better, as the search
    requires.

    Args:
        log_probabilities: log-probability of each token, in nats.
    """
    return exp(fmean(log_probabilities))


METRICS: dict[str, Metric] = {
    "exact_match": Metric(
        Reads.ANSWERS,
        "the answer is one of those given; case, punctuation around it and articles don't count",
        exact_match,
        rule="3",
    ),
    "strict_match": Metric(
        Reads.ANSWERS, "the answer is one of those given; only case and extra space don't count", strict_match, rule="2"
    ),
    "vqa": Metric(Reads.ANSWERS, "three or more people gave the answer", vqa),
    "anls": Metric(Reads.ANSWERS, "no letter of the answer differs", anls),
    "cider": Metric(Reads.ANSWERS, "a caption like all of people's; CIDEr-D / 10", fewest=2, scores_parts=True),
    "task": Metric(Reads.ANSWERS, "the task of lmms-eval gives its full score", by_task=True),
    "choice": Metric(Reads.LIKELIHOODS, "the right choice is the likeliest", needs_choices=True),
    "loss": Metric(Reads.LIKELIHOODS, "every token of the answer is certain; exp(-loss)", scores_parts=True),
}
"""Name -> metric."""


def scores(name: str, predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> list[float]:
    """Return the score of each generated answer, from 0 to 1.

    Args:
        name: name of a metric of answers.
        predictions: answers to the first questions of a split.
        answers: the accepted answers to all questions of the split; CIDEr counts word frequencies over all.

    Raises:
        ValueError: the metric is unknown or one of likelihoods, or a question has no accepted answer.
    """
    known = [each for each, metric in METRICS.items() if metric.reads is Reads.ANSWERS and not metric.by_task]
    if name not in known:
        raise unknown("metric of generated answers", name, known)
    for given in answers:
        if isinstance(given, str) or not given:
            raise ValueError(f"answers must be a list of at least one text, got {given!r}: give ['the answer']")
    if name != "vqa":  # in VQA a blank is an annotator's answer; elsewhere it is not an accepted one
        answers = [[text for text in given if text.strip()] or given for given in answers]
    score = METRICS[name].score
    if score is None:
        return cider(predictions, answers)
    return [score(text, given) for text, given in zip(predictions, answers, strict=False)]


def guess_metric(num_answers: Sequence[float], captions: bool, choices: bool) -> str:
    """Return the usual metric for a task, by its kind and the number of answers per question.

    Ten answers per question come from ten annotators, as in VQA; fewer are alternative forms of the right answer.

    Args:
        num_answers: number of accepted answers per question.
        captions: True if the answers are captions.
        choices: True if the questions have choices.
    """
    if choices:
        return "choice"
    if captions:
        return "cider"
    return "vqa" if fmean(num_answers) >= 10 else "exact_match"
