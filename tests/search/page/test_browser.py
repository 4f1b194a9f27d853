"""The page in headless Chromium: no errors, nothing cut off, light and dark, keyboard, labels."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow  # five seconds each; the fast run keeps one page in a browser, `test_serve.py`

SIZES = ((1440, 900), (390, 844))
TOO_WIDE = """() => [...document.querySelectorAll("main *, header *, footer *")].filter((each) =>
    each.getBoundingClientRect().right > innerWidth + 1 && !each.closest(".scroll") && !each.closest("svg")
    && each.checkVisibility()).map((each) => each.tagName + "." + each.className)"""
TOP = "() => getComputedStyle(document.body).backgroundColor"


def opened(browser: Browser, file: Path, size: tuple[int, int] = SIZES[0], scheme: str = "light") -> Page:
    """The page with its charts drawn; whatever the console says is kept in `page.said`."""
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url[:80]}"))
    page.goto(file.as_uri())
    page.wait_for_selector("body[data-ready=yes]", timeout=120_000)
    page.said = said  # type: ignore[attr-defined]
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=["wide", "narrow"])
def test_nothing_is_cut_off_and_nothing_goes_wrong(
    browser: Browser, page_file: Path, size: tuple[int, int], scheme: str
) -> None:
    with opened(browser, page_file, size, scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert page.evaluate(TOO_WIDE) == []
        drawn = page.evaluate("[...document.querySelectorAll('.chart')].filter(c => c.clientWidth && !c.data).length")
        assert drawn == 0, "every visible chart is drawn"
        light = page.evaluate(TOP).removeprefix("rgb(").partition(",")[0]
        assert (int(light) > 128) is (scheme == "light")
        fills = page.evaluate("[...document.querySelectorAll('#front .legendtext')].map(t => t.style.fill)")
        assert fills and all((int(fill[4:].partition(",")[0]) > 128) is (scheme == "dark") for fill in fills)
        assert page.said == []  # type: ignore[attr-defined]


def test_the_keyboard_reaches_everything(browser: Browser, page_file: Path) -> None:
    with opened(browser, page_file) as page:
        reached = []
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.className + ' ' + document.activeElement.tagName"))
        assert reached[0].startswith("jump")
        assert [each.strip() for each in reached[1:12]] == ["A"] * 11, "the navigation, section by section"
        assert any(each.startswith("chart") for each in reached) and any("point" in each for each in reached)
        assert " INPUT" in reached and " SUMMARY" in reached and " BUTTON" in reached


def test_arrows_walk_the_front_and_show_plan_and_command(browser: Browser, page_file: Path) -> None:
    with opened(browser, page_file) as page:
        page.locator("#front .chart").first.focus()
        labels = []
        for _ in range(3):
            page.keyboard.press("ArrowRight")
            page.wait_for_timeout(200)
            labels.append(page.locator("#front .hovertext").first.text_content() or "")
        assert len(set(labels)) == 3
        assert all("search.export" in label and "accuracy" not in label[:6] for label in labels)
        page.locator("#front [data-point='1']").click()
        page.wait_for_timeout(300)
        assert page.locator("#front .hovertext").first.text_content() == labels[1]


def test_another_axis_shows_another_chart(browser: Browser, page_file: Path) -> None:
    with opened(browser, page_file) as page:
        page.get_by_role("radio", name="latency to the first token").check()
        shown = page.locator("#front .chart:visible")
        assert shown.count() == 1
        assert "in ms" in (shown.locator(".xtitle").text_content() or "")


def test_dark_may_begin_while_the_page_is_open(browser: Browser, page_file: Path) -> None:
    with opened(browser, page_file) as page:
        color = "document.querySelector('#front .chart').data.find(t => t.meta === 'front').line.color"
        before = page.evaluate(color)
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(
            f"before => {color} !== before",
            arg=before,
        )


def test_a_command_is_copied(browser: Browser, page_file: Path) -> None:
    with opened(browser, page_file) as page:
        button = page.locator("#found [data-copy]").first
        assert button.get_attribute("data-copy") == page.locator("#found .command code").first.text_content()
        button.click()
        page.wait_for_function("['Copied', 'Selected'].includes(document.querySelector('[data-copy]').textContent)")
