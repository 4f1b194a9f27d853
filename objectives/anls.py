"""ANLS: how nearly an answer is written as it should be (Biten et al. 2019, arXiv 1905.13648, section 3.2; DocVQA)."""

from collections.abc import Sequence

THRESHOLD = 0.5
"""From this share of edits on an answer is another one, not a misread one."""


def anls(prediction: str, answers: Sequence[str]) -> float:
    """1 - edits / length of the longer text, for the nearest answer; 0 where that is not above the threshold.

    Letter case and extra space don't count. The mean over questions is the metric of the papers.
    """
    read = _plain(prediction)
    return max(_similarity(read, _plain(answer)) for answer in answers)


def _similarity(one: str, other: str) -> float:
    length = max(len(one), len(other))
    share = edit_distance(one, other) / length if length else 0.0
    return 1 - share if share < THRESHOLD else 0.0


def edit_distance(one: str, other: str) -> int:
    """Insertions, deletions and replacements of a letter that turn one text into the other (Levenshtein 1966)."""
    above = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        left = [row]
        for column, mate in enumerate(other, start=1):
            left.append(min(above[column] + 1, left[-1] + 1, above[column - 1] + (letter != mate)))
        above = left
    return above[-1]


def _plain(text: str) -> str:
    return " ".join(text.split()).lower()
