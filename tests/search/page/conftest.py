"""One run for all tests of the page, and Debian's Chromium."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from search.page.render import Rendered, render
from search.page.run_facts import RunFacts
from search.settings import Settings
from tests.search.page.runs import facts_of, finished_run

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return finished_run(tmp_path_factory.mktemp("page") / "first")


@pytest.fixture(scope="package")
def facts(run: Settings) -> RunFacts:
    return facts_of(run)


@pytest.fixture(scope="package")
def rendered(facts: RunFacts) -> Rendered:
    return render(facts)


@pytest.fixture(scope="package")
def page_file(rendered: Rendered, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("html") / "page.html"
    file.write_text(rendered.page(), encoding="utf-8")
    return file


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()
