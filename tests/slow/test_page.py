"""The page at `/` in a real browser, however the gateway is served."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx
import pytest

from tests.helpers.browser import CHROMIUM, Page, running_browser
from tests.helpers.command import claudexia
from tests.helpers.serving import (
    KEY,
    UPSTREAM_KEY,
    Reply,
    Upstream,
    error_body,
    gateway,
    serving,
    sse,
    text_events,
)
from tests.helpers.waiting import PATIENCE

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (Debian's package `chromium`)")

ANSWER = text_events("one two three")
MARKUP = "<img src=x onerror='window.ran = 1'><script>window.ran = 1</script> **bold**"


@contextmanager
def at_the_root(upstream: Upstream, **settings: Any) -> Iterator[str]:
    with gateway(upstream, **settings) as url:
        yield url.removesuffix("v1")


@contextmanager
def below_a_stage(upstream: Upstream, **settings: Any) -> Iterator[str]:
    """API Gateway's own URL has the stage in front of the path that the function gets."""
    with gateway(upstream, **settings) as url:
        inner = url.removesuffix("/v1")

        async def stage(scope: Any, receive: Any, send: Any) -> None:
            await relay(inner, scope, receive, send)

        with serving(stage) as outer:
            yield f"{outer}/prod/"


@contextmanager
def as_lambda(upstream: Upstream, **settings: Any) -> Iterator[str]:
    """`claudexia --lambda`. Its only setting here is shows_cost."""
    with lambda_command(upstream, **settings) as url:
        yield url


@contextmanager
def behind_a_domain(upstream: Upstream, **settings: Any) -> Iterator[str]:
    """The same behind a custom domain that has a base path of two levels for it."""
    with lambda_command(upstream, "--base-path", "/team/claude", **settings) as url:
        assert url.endswith("/team/claude/")
        yield url


@contextmanager
def lambda_command(upstream: Upstream, *arguments: str, shows_cost: bool = False) -> Iterator[str]:
    env = {"CLAUDEXIA_API_KEYS": f"test:{KEY}", "ANTHROPIC_API_KEY": UPSTREAM_KEY}
    env["COST_HEADERS"] = "on" if shows_cost else "off"
    with (
        serving(upstream) as upstream_url,
        claudexia("--lambda", "--upstream", upstream_url, *arguments, **env) as command,
    ):
        yield command.url.removesuffix("v1")
        command.end()


async def relay(target: str, scope: Any, receive: Any, send: Any) -> None:
    """A proxy that removes the first segment of the path."""
    if scope["type"] != "http":
        return
    body = (await receive()).get("body", b"")
    path = scope["path"].removeprefix("/prod")
    async with (
        httpx.AsyncClient(timeout=PATIENCE) as client,
        client.stream(scope["method"], target + path, headers=scope["headers"], content=body) as response,
    ):
        await send(
            {"type": "http.response.start", "status": response.status_code, "headers": response.headers.raw}
        )
        async for data in response.aiter_raw():
            await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


Way = Callable[..., AbstractContextManager[str]]
WAYS: dict[str, Way] = {
    "app": at_the_root,
    "stage": below_a_stage,
    "lambda": as_lambda,
    "domain": behind_a_domain,
}
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
# The shortest way to the page and the longest.
ends = pytest.mark.parametrize("way", [at_the_root, behind_a_domain], ids=["app", "domain"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with running_browser() as page:
        yield page


def open_page(page: Page, url: str, key: str = KEY) -> None:
    page.violations.clear()
    page.resize(1100, 900)
    page.open(url)
    page.evaluate("sessionStorage.clear()")
    page.open(url)
    page.type("#key", key)


def ask(page: Page, prompt: str = "Hi") -> None:
    page.wait_for("!document.querySelector('#model').disabled")
    page.type("#prompt", prompt)
    page.click("#send")


def wait_for_text(page: Page, text: str) -> None:
    page.wait_for(f"document.querySelector('#conversation').innerText.includes({json.dumps(text)})")


def wait_for_end(page: Page) -> None:
    page.wait_for("document.querySelector('#conversation dl')")


@each_way
def test_an_answer_appears_as_it_arrives(browser: Page, way: Way) -> None:
    more = threading.Event()
    first, rest = ANSWER[:4], ANSWER[4:]
    with way(Upstream(Reply([sse(*first), more, sse(*rest)])), shows_cost=True) as url:
        open_page(browser, url)
        ask(browser)
        wait_for_text(browser, "one")
        assert "three" not in browser.text("#conversation")
        assert browser.evaluate("document.querySelector('#send').disabled")
        more.set()
        wait_for_end(browser)
    text = browser.text("#conversation")
    assert "one two three" in text
    for figure in ("First token", "Total", "Input\n7 tokens", "Output\n3 tokens", "Cost\n$0.0"):
        assert figure in text
    assert f"{url}v1" == browser.text("#base-url")
    assert f"curl -N '{url}v1/chat/completions'" in browser.text("#request pre")
    assert browser.violations == []


def test_stop_cancels_the_request(browser: Page) -> None:
    upstream = Upstream(Reply([sse(*ANSWER[:4])], then="hang"))
    with at_the_root(upstream) as url:
        stops: list[Callable[[], None]] = [lambda: browser.click("#stop"), lambda: browser.press("Escape")]
        for stop in stops:
            upstream.disconnected.clear()
            open_page(browser, url)
            ask(browser)
            wait_for_text(browser, "one")
            stop()
            wait_for_text(browser, "Stopped.")
            assert upstream.disconnected.wait(PATIENCE)
            assert not browser.evaluate("document.querySelector('#send').disabled")


@pytest.mark.parametrize("way", [as_lambda, behind_a_domain], ids=["lambda", "domain"])
def test_stop_ends_the_answer_on_lambda(browser: Page, way: Way) -> None:
    """Lambda does not learn of it, and the invocation goes on to its end."""
    more = threading.Event()
    with way(Upstream(Reply([sse(*ANSWER[:4]), more, sse(*ANSWER[4:])]))) as url:
        open_page(browser, url)
        ask(browser)
        wait_for_text(browser, "one")
        browser.click("#stop")
        wait_for_text(browser, "Stopped.")
        assert "three" not in browser.text("#conversation")
        more.set()
        ask(browser)
        wait_for_text(browser, "one two three")


@each_way
def test_a_wrong_key(browser: Page, way: Way) -> None:
    with way(Upstream()) as url:
        open_page(browser, url, key="sk_cdx_wrong")
        browser.wait_for("document.querySelector('#model-hint').innerText.startsWith('401: ')")
        browser.type("#prompt", "Hi")
        browser.click("#send")
        wait_for_text(browser, "401: Incorrect API key")
        assert browser.violations == []


FAILURES = {
    "an error event": Reply([sse(*ANSWER[:4]), sse({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})]),
    "a lost connection": Reply([sse(*ANSWER[:4])], then="break"),
    "an answer without an end": Reply([sse(*ANSWER[:4])]),
}  # fmt: skip


@each_way
@pytest.mark.parametrize("reply", FAILURES.values(), ids=FAILURES.keys())
def test_a_failure_in_mid_stream_is_shown_below_the_text(browser: Page, reply: Reply, way: Way) -> None:
    with way(Upstream(reply)) as url:
        open_page(browser, url)
        ask(browser)
        wait_for_end(browser)
        assert "one" in browser.text("#conversation .turn:last-child .text")
        assert browser.text("#conversation [role=alert]")


@ends
def test_a_refused_request_shows_the_reason(browser: Page, way: Way) -> None:
    refused = Reply([error_body("invalid_request_error", "prompt is too long: 3 tokens")], 400)
    with way(Upstream(refused)) as url:
        open_page(browser, url)
        ask(browser)
        wait_for_text(browser, "400: prompt is too long")


@ends
def test_markup_is_text(browser: Page, way: Way) -> None:
    with way(Upstream(Reply([sse(*text_events(MARKUP))]))) as url:
        open_page(browser, url)
        ask(browser, MARKUP)
        wait_for_end(browser)
        assert browser.text("#conversation").count(MARKUP) == 2
        assert browser.evaluate("window.ran === undefined && !document.querySelector('#conversation img')")
        assert MARKUP in browser.text("#request pre").replace('\\"', '"').replace("'\\''", "'")
        assert browser.violations == []


def thinking_events() -> list[dict[str, Any]]:
    block = {"type": "thinking", "thinking": "", "signature": ""}
    shifted = [{**event, "index": 1} if "index" in event else event for event in ANSWER[1:]]
    return [
        ANSWER[0],
        {"type": "content_block_start", "index": 0, "content_block": block},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "thinking_delta", "thinking": "Let me see."},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
        {"type": "content_block_stop", "index": 0},
        *shifted,
    ]


def test_thinking_is_folded(browser: Page) -> None:
    with at_the_root(Upstream(Reply([sse(*thinking_events())]))) as url:
        open_page(browser, url)
        browser.evaluate("document.querySelector('#effort').value = 'high'")
        ask(browser)
        wait_for_end(browser)
        assert browser.evaluate("document.querySelector('#conversation details').open") is False
        assert (
            browser.evaluate("document.querySelector('#conversation details .text').textContent")
            == "Let me see."
        )


def test_warnings_are_listed(browser: Page) -> None:
    upstream = Upstream()
    with at_the_root(upstream) as url:
        open_page(browser, url)
        browser.wait_for("!document.querySelector('#model').disabled")
        browser.evaluate("document.querySelector('#model').value = 'claude-opus-4-8'")
        browser.evaluate("document.querySelector('#effort').value = 'none'")
        browser.evaluate(
            "requestBodyBefore = requestBody; requestBody = (text) => ({...requestBodyBefore(text), seed: 1})"
        )
        ask(browser)
        wait_for_end(browser)
        assert "seed: " in browser.text("#conversation .warnings")


def test_the_conversation_is_sent_again_and_can_be_cleared(browser: Page) -> None:
    upstream = Upstream()
    with at_the_root(upstream) as url:
        open_page(browser, url)
        ask(browser, "First")
        wait_for_end(browser)
        browser.type("#prompt", "Second")
        browser.click("#send")
        browser.wait_for("document.querySelectorAll('#conversation dl').length === 2")
        browser.click("#clear")
        assert browser.text("#conversation") == ""
        ask(browser, "Third")
        wait_for_end(browser)
    assert [len(body["messages"]) for body in upstream.bodies] == [1, 3, 1]


def test_the_keyboard_is_enough(browser: Page) -> None:
    with at_the_root(Upstream()) as url:
        open_page(browser, url)
        browser.wait_for("!document.querySelector('#model').disabled")
        browser.evaluate("document.querySelector('#prompt').focus()")
        browser.command("Input.insertText", text="Hi")
        browser.press("Enter", control=True)
        wait_for_end(browser)
        browser.evaluate("document.querySelector('#request [role=tab]').focus()")
        browser.press("ArrowRight")
        assert browser.evaluate("document.activeElement.innerText") == "Python"
        assert "from openai import OpenAI" in browser.text("#request pre")
        assert browser.text("#status").startswith("Answer complete.")


def test_every_control_has_a_name(browser: Page) -> None:
    """As a screen reader computes it."""
    with at_the_root(Upstream()) as url:
        open_page(browser, url)
        nodes = browser.command("Accessibility.getFullAXTree")["nodes"]
    controls = [
        node for node in nodes
        if node.get("role", {}).get("value") in ("button", "textbox", "combobox", "tab", "tabpanel")
    ]  # fmt: skip
    assert len(controls) >= 16
    assert [node for node in controls if not node.get("name", {}).get("value")] == []


def test_the_key_stays_in_the_tab(browser: Page) -> None:
    with at_the_root(Upstream()) as url:
        open_page(browser, url)
        ask(browser)
        wait_for_end(browser)
        assert browser.evaluate("sessionStorage.getItem('claudexia-key')") == KEY
        assert (
            browser.evaluate("JSON.stringify([localStorage, document.cookie, location.href])").count(KEY) == 0
        )
        assert KEY not in browser.text("body")


@ends
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 375, 1100])
def test_no_width_scrolls_sideways(browser: Page, width: int, dark: bool, way: Way) -> None:
    with way(Upstream(Reply([sse(*text_events("long" * 100))]))) as url:
        open_page(browser, url)
        browser.resize(width, 800, dark=dark)
        ask(browser, "x" * 300)
        wait_for_end(browser)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(28, 27, 25)") is dark
