"""Detects a model that wraps its answers in sentences, which metrics of short answers score as wrong.

"The color is red." scores 0 if "red" is accepted. Another prompt usually avoids that.
"""

from collections.abc import Sequence

from objectives.exact import essential

TELLING = 0.2
"""Fraction of wrapped answers from which a note is given."""
MORE_WORDS = 3
"""Number of words by which an answer must exceed the longest accepted one to count as a sentence."""
SHORT_ANSWERS = frozenset(("exact_match", "strict_match", "vqa", "anls"))
"""Metrics under which a sentence scores 0."""


def is_wrapped(answer: str, accepted: Sequence[str], score: float) -> bool:
    """Return True if an answer is wrong and contains an accepted one, or is much longer than all accepted ones.

    Args:
        answer: the generated answer.
        accepted: the accepted answers.
        score: the score of the answer.
    """
    if score > 0:
        return False
    words = " ".join(word for part in answer.split() for word in essential(part).split())
    right = [essential(each) for each in accepted]
    holds = any(each and f" {each} " in f" {words} " for each in right)
    return holds or len(words.split()) >= MORE_WORDS + max(len(each.split()) for each in right)


def sentence_note(
    metric: str, answers: Sequence[str], accepted: Sequence[Sequence[str]], scores: Sequence[float]
) -> str | None:
    """Return a note for the user on answers wrapped in sentences, with a prompt that avoids them; None if they are few.

    Args:
        metric: name of the metric.
        answers: the generated answers to the first questions.
        accepted: the accepted answers per question.
        scores: the score of each generated answer.
    """
    if metric not in SHORT_ANSWERS:
        return None
    wrapped = [
        answer
        for answer, right, score in zip(answers, accepted, scores, strict=False)
        if is_wrapped(answer, right, score)
    ]
    if len(wrapped) < TELLING * len(answers):
        return None
    return (
        f"The dense model wraps {len(wrapped)} of {len(answers)} answers in sentences, such as {wrapped[0][:80]!r}, "
        "which score 0. This usually helps: --prompt "
        "$'{question}\\nAnswer the question using a single word or phrase.'"
    )
