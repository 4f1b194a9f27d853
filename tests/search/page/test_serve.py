"""The live page: it follows a run without a reload, and ends by Ctrl-C with one line."""

import json
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from search.__main__ import app
from search.loop.open_run import open_run
from search.page.server import server
from search.settings import Settings
from tests.command import call
from tests.search.loop.test_controller import drive
from tests.search.page.runs import Answering, begun_run
from tests.search.pretend import problem_of, settings_in


@contextmanager
def served(folder: Path) -> Iterator[str]:
    with server(folder, None, 0) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def fetched(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.status, answer.read().decode()


def go_on(settings: Settings, budget: int) -> None:
    """Continue a search in the same folder up to a budget."""
    more = settings_in(settings.run_folder, budget=budget, final_seeds=1)
    with open_run(more, problem_of(more)) as controller:
        drive(controller, Answering(floor=0.3))


@pytest.mark.slow
def test_only_news_is_sent(tmp_path: Path) -> None:
    settings = begun_run(tmp_path / "run", 4)
    with served(settings.run_folder) as url:
        status, text = fetched(f"{url}/state.json?since=")
        version = json.loads(text)["version"]
        assert status == 200 and fetched(f"{url}/state.json?since={version}") == (204, "")
        go_on(settings, 6)
        news = json.loads(fetched(f"{url}/state.json?since={version}")[1])
        assert news["version"] != version and "6 of 6 trials" in news["state"]
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetched(f"{url}/etc/passwd")
        elsewhere = urllib.request.Request(url, headers={"Host": "elsewhere.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(elsewhere, timeout=60)


@pytest.mark.slow
def test_the_open_page_follows_without_a_reload(browser: Browser, tmp_path: Path) -> None:
    settings = begun_run(tmp_path / "run", 4)
    with served(settings.run_folder) as url, browser.new_page() as page:
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(url)
        page.wait_for_selector("body[data-ready=yes]", timeout=120_000)
        page.evaluate("window.mine = document.querySelector('#front .chart')")
        page.locator("#origin summary").first.click()
        before = page.evaluate("mine.data.length + ':' + mine.data.map(t => t.x.length)")
        go_on(settings, 20)
        page.wait_for_function(
            "before => mine.isConnected && mine.data.length + ':' + mine.data.map(t => t.x.length) !== before"
            " && document.querySelector('.state').textContent.startsWith('20 of 20 trials')",
            arg=before,
            timeout=120_000,
        )
        assert page.locator("#origin details").first.get_attribute("open") is not None
        assert said == []


@pytest.mark.slow
def test_ctrl_c_ends_it_with_one_line(run: Settings) -> None:
    command = [sys.executable, "-m", "search.serve", "--out", str(run.run_folder), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().split()[1]
    assert "<title>first" in fetched(url)[1]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=180)
    assert (process.returncode, out.strip(), err) == (0, "Stopped serving; a search goes on by itself.", "")


def test_bad_input_is_one_line(run: Settings, tmp_path: Path) -> None:
    done = call(app, "serve", "--out", tmp_path / "nothing")
    assert done.returncode == 2 and "--out must be the folder of a run" in done.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = call(app, "serve", "--out", run.run_folder, "--port", str(port))
    assert done.returncode == 2
    assert (
        done.stderr.startswith(f"error: --port must be free to listen on, got {port}") and done.stderr.count("\n") == 1
    )
    done = call(app, "report", "--out", run.run_folder, "--html", tmp_path / "no" / "page.html")
    assert done.returncode == 2 and done.stderr.startswith("error: --html must be a writable file")
