"""Every command and every Python example of the documents runs, in this process, on a small finished run.

Searches are shortened, other models and data have stand-ins (`tests/documents_place.py`). `NOT_HERE` lists what is not
run, each with its reason; a reason without a command fails, so that the list stays as short as it can be.
"""

import contextlib
import io
import re
from pathlib import Path

import pytest

from tests.documents import Example, examples
from tests.documents_place import NOT_HERE, TRIAL, make_place, reason_not_to_run, run_command, short

FOUND = examples()
RUN = [example for example in FOUND if reason_not_to_run(example) is None]
DOCUMENTS = list(dict.fromkeys(example.document for example in RUN))
SHORTER = (
    (r"\bbudget=\d+", 'budget=4, rungs="0:64", max_train=128, max_eval=64, final_seeds=1, threads=1'),
    (r"\bmin_retention=[\d.]+", 'min_retention=0.5, questions=16, engines="none", force=True'),
    (r"\bsamples\(trial\)", f"samples({TRIAL})"),
)
"""(Pattern, replacement) pairs that make the calls of Python examples short."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_place(tmp_path_factory.mktemp("documents"))


@pytest.fixture(scope="module")
def done() -> set[tuple[str, ...]]:
    """Commands that have run; the same one is in several documents."""
    return set()


def run_python(example: Example, folder: Path) -> None:
    source = example.text
    for pattern, text in SHORTER:
        source = re.sub(pattern, text, source)
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        exec(compile(source, example.document, "exec"), {"__name__": "example"})


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_examples_of_a_document_run(
    document: str, place: Path, done: set[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda text: pytest.fail(f"a question without a person: {text}"))
    for example in (each for each in RUN if each.document == document):
        key = (example.text,) if example.is_python else (*short(example), example.destination)
        if key in done:
            continue
        if example.is_python:
            run_python(example, place)
        else:
            run_command(example, place)
        done.add(key)


def test_every_reason_not_to_run_has_a_command() -> None:
    commands = [example.text for example in FOUND if not example.is_python]
    assert not [start for start in NOT_HERE if not any(re.match(start, command) for command in commands)]
    assert len(RUN) >= 35 and len(DOCUMENTS) >= 10


@pytest.mark.slow
def test_a_command_that_fails_is_found(place: Path) -> None:
    with pytest.raises(AssertionError, match="--trial must be the number of a trial"):
        run_command(Example("made.md", "skipsearch explain --out RUN --trial 99"), place)
