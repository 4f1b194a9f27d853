"""`python -m workers`: a report on standard output, or one clear line and exit code 2."""

import json
import subprocess
import sys

import pytest

from spaces.plan import Plan
from tests.command import call
from workers.__main__ import app
from workers.reports import TrialReport
from workers.requests import Rung, TrialRequest
from workers.sources import DataSource
from workers.trial import Worker, run_trial


def run(*arguments, text=None):
    return call(app, *arguments, text=text)


@pytest.fixture(scope="module")
def request_(tiny_source):
    return TrialRequest(
        plan=json.loads(Plan.parse("a..p").to_json()),
        model=tiny_source,
        data=DataSource(name="tiny"),
        rungs=(Rung(questions=6), Rung(tuning_steps=2)),
        threads=1,
    )


def test_a_request_by_hand_gives_the_searchs_numbers(tmp_path, request_):
    path = tmp_path / "request.json"
    path.write_text(request_.model_dump_json())
    done = run(str(path))
    assert done.returncode == 0, done.stderr
    by_hand = TrialReport.model_validate_json(done.stdout)
    in_process = run_trial(Worker(), request_, lambda rung: True)
    clock = {"seconds": {}}
    assert [r.model_copy(update=clock) for r in by_hand.rungs] == [r.model_copy(update=clock) for r in in_process.rungs]
    assert by_hand.origin == in_process.origin


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"plan": {"schema": 9, "blocks": [{"op": "keep"}], "pruning": None}}, "schema"),
        ({"plan": json.loads(Plan.parse("...").to_json())}, "as many blocks as the model, 4, got 3"),
        ({"metric": "exact"}, "unknown metric 'exact'"),
        ({"model": {"name": "/nowhere"}}, "a model must be 'embedded', a folder"),
        ({"data": {"name": "tyni"}}, "unknown data set 'tyni'"),
        ({"rungs": []}, "rungs"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(request_, change, complaint):
    done = run("-", text=json.dumps({**json.loads(request_.model_dump_json()), **change}))
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("text", ["{", "[]", "", "null"])
def test_no_json_object(text):
    done = run("-", text=text)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_no_file():
    done = run("missing.json")
    assert done.returncode == 2
    assert "a request must be a readable file or -, got 'missing.json'" in done.stderr


def test_help_imports_no_torch():
    code = (
        "import sys; sys.argv = ['workers', '--help']; import runpy\n"
        "try: runpy.run_module('workers', run_name='__main__')\n"
        "except SystemExit: sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_failed_trial_is_a_report_and_exit_code_1(request_):
    impossible = request_.model_copy(update={"time_limit": 1e-3})
    done = run("-", text=impossible.model_dump_json())
    assert done.returncode == 1
    assert TrialReport.model_validate_json(done.stdout).reason.startswith("TrialTimeout")
