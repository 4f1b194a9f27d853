"""Finds a model that wraps its answers in sentences: right in what it says, and wrong by every metric of short answers.

"The color is red." scores 0 where "red" is accepted. Such a model is usually mended by its prompt.
"""

from collections.abc import Sequence

from objectives.exact import essential

TELLING = 0.2
"""Share of wrapped answers from which on it is told."""
MORE_WORDS = 3
"""An answer of so many words more than the longest accepted one is a sentence, whatever it says."""
SHORT_ANSWERS = frozenset(("exact_match", "strict_match", "vqa", "anls"))
"""Metrics that a sentence scores 0 under."""


def is_wrapped(answer: str, accepted: Sequence[str], score: float) -> bool:
    """Return True if an answer is wrong only, or perhaps only, for the words around it."""
    if score > 0:
        return False
    words = " ".join(word for part in answer.split() for word in essential(part).split())
    right = [essential(each) for each in accepted]
    holds = any(each and f" {each} " in f" {words} " for each in right)
    return holds or len(words.split()) >= MORE_WORDS + max(len(each.split()) for each in right)


def sentence_note(
    metric: str, answers: Sequence[str], accepted: Sequence[Sequence[str]], scores: Sequence[float]
) -> str | None:
    """Return a line that tells of answers wrapped in sentences and the prompt that usually mends it; None for few."""
    if metric not in SHORT_ANSWERS:
        return None
    wrapped = [
        said for said, right, score in zip(answers, accepted, scores, strict=False) if is_wrapped(said, right, score)
    ]
    if len(wrapped) < TELLING * len(answers):
        return None
    return (
        f"The dense model wraps {len(wrapped)} of {len(answers)} answers in sentences, such as {wrapped[0][:80]!r}, "
        "which score 0. This usually mends it: --prompt "
        "$'{question}\\nAnswer the question using a single word or phrase.'"
    )
