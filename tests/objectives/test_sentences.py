"""Answers within sentences are distinguished from wrong answers."""

import pytest

from objectives.sentences import is_wrapped, sentence_note

ACCEPTED = ("red", "dark red")


@pytest.mark.parametrize(
    ("answer", "score", "wrapped"),
    [
        ("The color is red.", 0.0, True),
        ("It is Red, I think", 0.0, True),
        ("The color of the big ball", 0.0, True),  # cut off before it came to the point
        ("red", 1.0, False),
        ("blue", 0.0, False),
        ("dark blue", 0.0, False),
        ("bored", 0.0, False),
        ("", 0.0, False),
    ],
)
def test_is_wrapped(answer, score, wrapped):
    assert is_wrapped(answer, ACCEPTED, score) is wrapped


def test_the_note_names_the_prompt_that_mends_it():
    said, right = ["The color is red."] + ["blue"] * 4, [ACCEPTED] * 5
    note = sentence_note("exact_match", said, right, [0.0] * 5)
    assert note is not None
    assert "1 of 5" in note and "The color is red." in note
    assert "--prompt $'{question}\\nAnswer the question using a single word or phrase.'" in note
    assert sentence_note("exact_match", ["blue"] * 5, right, [0.0] * 5) is None
    assert sentence_note("cider", said, right, [0.0] * 5) is None
