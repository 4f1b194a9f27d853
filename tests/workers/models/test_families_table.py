"""The document on families agrees with runs of two families."""

import pytest

from tests.workers.families_table import DOCUMENT, HEAD, UNTESTED, document, rows
from tests.workers.hub import TABLE_KINDS


def test_words_and_families_are_those_of_the_script():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text.startswith(HEAD)
    assert text.endswith(f"{UNTESTED}\n")
    assert [line.split(" ")[1] for line in text.splitlines() if line.startswith("| ")][1:] == list(TABLE_KINDS)
    assert "wrong" not in text


@pytest.mark.slow
def test_rows_of_a_sample_are_those_of_the_script():
    """LLaVA first, as in the document: reasons are numbered in the order they are met."""
    written = DOCUMENT.read_text(encoding="utf-8").splitlines()
    made = document({family: dict(rows(family)) for family in ("llava", "mllama")}).splitlines()
    for start in ("| family", "| llava |", "| mllama |", "1. ", "2. ", "3. "):
        assert [line for line in made if line.startswith(start)] == [line for line in written if line.startswith(start)]
