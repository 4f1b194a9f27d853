"""The metric ANLS: similarity of an answer to the accepted ones by edit distance.

Biten et al. 2019, arXiv 1905.13648, section 3.2; also the metric of DocVQA.
"""

from collections.abc import Sequence

THRESHOLD = 0.5
"""Edits per character from which an answer scores 0, since it is another answer and not a misspelled one."""


def anls(prediction: str, answers: Sequence[str]) -> float:
    """Return 1 - edits / length of the longer text for the nearest answer, or 0 at or above the threshold.

    Letter case and extra space are ignored. The metric of the papers (ST-VQA, DocVQA) is the mean over questions.

    Args:
        prediction: the generated answer.
        answers: the accepted answers, at least one.
    """
    read = _plain(prediction)
    return max(_similarity(read, _plain(answer)) for answer in answers)


def _similarity(one: str, other: str) -> float:
    length = max(len(one), len(other))
    share = edit_distance(one, other) / length if length else 0.0
    return 1 - share if share < THRESHOLD else 0.0


def edit_distance(one: str, other: str) -> int:
    """Return the Levenshtein distance: insertions, deletions and replacements of single letters (Levenshtein 1966)."""
    above = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        left = [row]
        for column, mate in enumerate(other, start=1):
            left.append(min(above[column] + 1, left[-1] + 1, above[column - 1] + (letter != mate)))
        above = left
    return above[-1]


def _plain(text: str) -> str:
    return " ".join(text.split()).lower()
