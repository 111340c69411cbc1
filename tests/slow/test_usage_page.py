"""The page of `claudexia usage --html` in a real browser, opened as a file."""

from datetime import date
from pathlib import Path

import pytest

from claudexia.access.ledger import DayUsage, Totals
from claudexia_cli.usage_page import usage_page
from tests.helpers.browser import CHROMIUM, Page, running_browser

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (Debian's package `chromium`)")

KEYS, MODELS = ("ada", "ci", "a-key-with-a-long-name"), ("claude-sonnet-5-5", "claude-haiku-4-5")
TABLE = [["day", "key", "model", "requests", "cost"], ["2026-11-01", "ada", MODELS[0], "12", "$1.50"], ["total", "", "", "12", "$1.50"]]  # fmt: skip


def month() -> list[DayUsage]:
    return [
        DayUsage(date(2026, 11, day), key, key, model, totals(day * (1 + place)))
        for day in range(1, 27)
        for place, key in enumerate(KEYS)
        for model in MODELS
    ]


def totals(size: int) -> Totals:
    return Totals(
        requests=size,
        errors=size % 3,
        input_tokens=size * 900,
        cached_tokens=size * 4000,
        cache_write_tokens=size * 100,
        output_tokens=size * 700,
        cost_micros=size * 60_000,
    )


def violations_at(page: Page, path: Path, width: int, *, dark: bool = False) -> list[str]:
    page.violations.clear()
    page.resize(width, 900, dark=dark)
    page.open(path.as_uri())
    return page.violations


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 1100])
def test_the_page_opens_without_errors_and_loads_nothing(tmp_path: Path, width: int, dark: bool) -> None:
    path = tmp_path / "usage.html"
    path.write_text(usage_page("2026-11", month(), TABLE), "utf-8")
    with running_browser() as page:
        assert violations_at(page, path, width, dark=dark) == []
        assert page.evaluate("document.querySelectorAll('section svg[role=img]').length") >= 4
        assert page.evaluate("performance.getEntriesByType('resource').length") == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        heights = (
            "[...document.querySelectorAll('svg text')].map((node) => node.getBoundingClientRect().height)"
        )
        assert page.evaluate(f"Math.min(...{heights})") >= 8
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(28, 27, 25)") is dark
