"""Optuna Dashboard of a run: what its server answers, and what Chromium shows of it."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from playwright.sync_api import Browser

from search.__main__ import app
from search.dashboard_view.server import server
from search.dashboard_view.texts import trial_note
from search.page.run_facts import RunFacts
from search.settings import Settings
from search.storage.find_run import own_database
from spaces.plan import Plan
from tests.command import call
from tests.search.page.runs import begun_run
from tests.search.page.test_serve import go_on

Answer = dict[str, Any]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    with server(folder, None, "127.0.0.1", 0) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def fetched(url: str, method: str = "GET") -> bytes:
    data = None if method == "GET" else b"{}"
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        content: bytes = answer.read()
        return content


def study_at(url: str) -> Answer:
    found: Answer = json.loads(fetched(f"{url}/api/studies/1"))
    return found


def attributes(of: Answer) -> dict[str, str]:
    return {each["key"]: each["value"] for each in of["user_attrs"]}


@pytest.fixture(scope="module")
def url(run: Settings) -> Iterator[str]:
    with served(run.run_folder) as found:
        yield found


@pytest.fixture(scope="module")
def study(url: str) -> Answer:
    return study_at(url)


def test_flops_come_first_and_the_front_is_that_of_the_run(url: str, study: Answer, facts: RunFacts) -> None:
    (listed,) = json.loads(fetched(f"{url}/api/studies"))["study_summaries"]
    assert listed["directions"] == study["directions"] == ["minimize", "maximize"]
    assert study["objective_names"] == ["flops_ratio", "accuracy"]
    points = {each["number"]: tuple(each["values"]) for each in study["best_trials"]}
    front = {each["number"]: (each["flops_ratio"], each["accuracy"]) for each in facts.summary["front"]}
    assert len(front) > 5 and {number: points[number] for number in front} == front


def test_the_study_says_what_was_searched_and_what_to_export(study: Answer, facts: RunFacts, run: Settings) -> None:
    note, shown = study["note"]["body"], attributes(study)
    assert shown["model"] == shown["data"] == "embedded" and shown["floor"] == "0.3"
    assert shown["setting budget"] == "30" and "--rungs 0:16,5:32,10:all" in shown["command"]
    assert shown["command"] in note and "30 of 30 trials, finished" in note
    for choice in facts.choices:
        trial = facts.described(choice.record.trial.number)
        assert f"{trial['test']['accuracy']:.3f} [" in note and f"{trial['flops_ratio']:.1%} of the dense" in note
        assert f"python -m search.export --out {run.run_folder} --trial {trial['number']} --to DIR" in note


def test_a_trial_has_plan_rungs_test_and_picture(url: str, study: Answer, facts: RunFacts) -> None:
    trial = next(each for each in facts.summary["front"] if set(each["plan"]) != {"."})
    shown = study["trials"][trial["number"]]
    parameters = {each["name"]: each["param_external_value"] for each in shown["params"]}
    assert parameters["plan"] == attributes(shown)["plan"] == trial["plan"]
    on_search = [each["accuracy"] for each in trial["rungs"] if each["split"] == "search"]
    assert [(each["step"], each["value"]) for each in shown["intermediate_values"]] == list(enumerate(on_search))
    assert float(attributes(shown)["test accuracy"]) == trial["test"]["accuracy"]
    assert float(attributes(shown)["difference to dense"]) == trial["test"]["difference_to_dense"]
    note = shown["note"]["body"]
    assert "accuracy per rung" in note and f"--trial {trial['number']} --to DIR" in note
    (picture,) = shown["artifacts"]
    drawn = fetched(f"{url}/artifacts/1/{shown['trial_id']}/{picture['artifact_id']}").decode()
    plan = Plan.parse(trial["plan"])
    skipped = 2 * len(plan) - plan.num_attention - plan.num_ffn
    assert picture["mimetype"] == "image/svg+xml" and drawn.count('class="skipped"') == skipped


def test_stopped_trials_show_their_rungs_and_no_values(study: Answer, facts: RunFacts) -> None:
    stopped = [record for record in facts.records if record.trial.state == "stopped"]
    assert stopped
    for record in stopped:
        shown = study["trials"][record.trial.number]
        assert shown["state"] == "Pruned" and "values" not in shown
        assert [each["value"] for each in shown["intermediate_values"]] == [r.accuracy for r in record.on("search")]


def test_above_a_number_of_trials_only_the_front_has_notes_and_labels(
    run: Settings, facts: RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dashboard's time grows with the square of their number: a minute for 5,000 trials."""
    monkeypatch.setattr("search.dashboard_view.shown_study.NOTED", 10)
    with served(run.run_folder) as url:
        found = study_at(url)
    kept = {trial["number"] for trial in [*facts.summary["front"], facts.summary["dense"]]}
    assert len(kept) < len(found["trials"])
    assert {trial["number"] for trial in found["trials"] if trial["note"]["body"]} == kept
    assert all("accuracy per rung" in found["trials"][number]["note"]["body"] for number in kept)
    labelled = {each["number"] for each in found["trials"] if any(p["name"] == "plan" for p in each["params"])}
    assert labelled == kept
    reasons = {record.trial.number: record.trial.reason for record in facts.records if record.trial.reason}
    assert reasons
    assert {n: attributes(found["trials"][n])["reason"] for n in reasons} == reasons


def test_figures_show_hypervolume_and_importance(url: str, study: Answer, facts: RunFacts) -> None:
    plots = {each["id"]: json.loads(each["graph_object"]) for each in study["plotly_graph_objects"]}
    assert set(plots) == {"hypervolume-over-trials", "hypervolume-over-compute", "importance-per-block"}
    volumes = plots["hypervolume-over-trials"]["data"][0]["y"]
    assert len(volumes) == 30 and volumes[-1] == pytest.approx(facts.summary["hypervolume_above_floor"])
    (of_values, _) = json.loads(fetched(f"{url}/api/studies/1/param_importances"))["param_importances"]
    assert {each["name"]: each["importance"] for each in of_values}["plan"] == 0, "one choice per trial"


def test_nothing_is_written_to_the_study(url: str, study: Answer, run: Settings) -> None:
    for address, method in (("studies/1", "DELETE"), ("studies/1/note", "PUT"), ("studies", "POST")):
        with pytest.raises(urllib.error.HTTPError, match="405") as refused:
            fetched(f"{url}/api/{address}", method)
        assert "read-only" in json.loads(refused.value.read())["reason"]
    stored = optuna.load_study(study_name=study["name"], storage=own_database(run.run_folder))
    assert stored.user_attrs == {} and [each.name for each in stored.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert not any("plan" in each.params or each.intermediate_values for each in stored.trials)
    assert study_at(url)["note"] == study["note"]


def test_the_dashboard_follows_the_search(tmp_path: Path) -> None:
    settings = begun_run(tmp_path / "run", 4)
    with served(settings.run_folder) as url:
        before = study_at(url)["note"]
        go_on(settings, 6)
        after = study_at(url)["note"]
    assert "4 of 4 trials" in before["body"] and "6 of 6 trials" in after["body"]
    assert after["version"] > before["version"]


def test_the_note_says_where_a_plan_runs(facts: RunFacts) -> None:
    trial = {**facts.summary["front"][0], "routes": {"remote-code": 0.25, "transformers": 0.5, "nemotron-nas": None}}
    assert "Runs as: remote-code (25.0% of dense), transformers (50.0% of dense)\n" in trial_note(facts, trial)


def test_a_taken_port_is_one_line(url: str, run: Settings) -> None:
    port = url.rpartition(":")[2]
    done = call(app, "dashboard", "--out", run.run_folder, "--port", port)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"error: --host and --port must be free to listen on, got 127.0.0.1:{port}")


@pytest.mark.slow
def test_chromium_shows_it(browser: Browser, url: str, study: Answer) -> None:
    with browser.new_page(viewport={"width": 1440, "height": 1400}) as page:
        page.set_default_timeout(240_000)
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{url}/dashboard/studies/1", wait_until="commit")
        front = page.locator("#graph-pareto-front")
        front.locator(".point").last.hover(force=True)
        label = front.locator(".hovertext").text_content() or ""
        assert any(f'"plan": "{each["params"][0]["param_external_value"]}"' in label for each in study["best_trials"])
        for name in ("hypervolume-over-trials", "importance-per-block"):
            page.locator(f"[id='user-defined-plot:{name}'] .xtitle").wait_for()
        page.goto(f"{url}/dashboard/studies/1/note")
        page.get_by_text("cheapest with 97% of the dense accuracy").wait_for()
        page.goto(f"{url}/dashboard/studies/1/trials")
        page.get_by_text("Intermediate Values").wait_for()
        page.wait_for_function(
            "[...document.images].some((each) => each.src.includes('/artifacts/') && each.naturalWidth)"
        )
        assert page.get_by_text("Pruned").count() and said == []
