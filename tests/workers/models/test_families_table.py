"""The document on families agrees with the script: its words, the ops of two families, search and export of two."""

import pytest

from tests.workers.families_runs import runs
from tests.workers.families_table import DOCUMENT, HEAD, UNTESTED, document, rows
from tests.workers.hub import TABLE_KINDS


def written():
    return DOCUMENT.read_text(encoding="utf-8").splitlines()


def test_words_and_families_are_those_of_the_script():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text.startswith(HEAD)
    assert text.endswith(f"{UNTESTED}\n")
    assert [line.split(" ")[1] for line in written() if line.startswith("| ")][1:] == list(TABLE_KINDS)
    assert len(TABLE_KINDS) >= 35
    assert "wrong" not in text and "not run" not in text


@pytest.mark.slow
def test_ops_of_a_sample_are_those_of_the_script():
    """LLaVA first, as in the document: reasons are numbered in the order they are met."""
    found = [
        {"family": family, "ops": dict(rows(family)), "search": "", "export": "", "commit": "", "day": ""}
        for family in ("llava", "mllama")
    ]
    made = document(found).splitlines()
    for start in ("| family", "| llava |", "| mllama |", "1. ", "2. ", "3. "):
        ops = [[line.rsplit(" | ", 2)[0] for line in lines if line.startswith(start)] for lines in (made, written())]
        assert ops[0] == ops[1]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["janus", "llava_next_video"])
def test_search_and_export_of_a_sample_are_those_of_the_script(family):
    (line,) = [line for line in written() if line.startswith(f"| {family} |")]
    assert runs(family) == tuple(line.removesuffix(" |").split(" | ")[-2:])
