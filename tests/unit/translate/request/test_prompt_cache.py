"""Prompt caching: which breakpoints are sent, their positions, and what a cache like Anthropic's would read."""

import copy
import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest
from pydantic_core import to_json

from claudexia.errors import APIError
from claudexia.models import find_model
from claudexia.translate.report import Report
from claudexia.translate.request.build import to_message_params
from claudexia.translate.request.parse import parse_params
from claudexia.translate.request.prompt_cache import apply_cache_control

MODEL = "claude-opus-5-5"  # caches from 512 tokens on
LONG = "All that is known about the matter. " * 100
FIVE, HOUR = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
Json = dict[str, Any]


def text(words: str = "a", breakpoint_: Json | None = None) -> Json:
    return {"type": "text", "text": words, **({"cache_control": breakpoint_} if breakpoint_ else {})}


def user(*content: Json) -> Json:
    return {"role": "user", "content": list(content)}


def assistant(*content: Json) -> Json:
    return {"role": "assistant", "content": list(content)}


def tool(name: str = "f", breakpoint_: Json | None = None) -> Json:
    schema = {"type": "object", "properties": {}}
    return {"name": name, "input_schema": schema, **({"cache_control": breakpoint_} if breakpoint_ else {})}


def result(*content: Json) -> Json:
    return {"type": "tool_result", "tool_use_id": "t", "content": list(content)}


def translate_blocks(
    *messages: Json,
    tools: Sequence[Json] = (),
    system: Sequence[Json] = (),
    automatic: bool = True,
    model: str = MODEL,
    **fields: Any,
) -> tuple[Json, list[str]]:
    """The request as sent, and the `param` of each warning."""
    sent: Any = {"model": model, "max_tokens": 9, "messages": list(messages), "stream": True}
    sent |= {name: list(value) for name, value in (("tools", tools), ("system", system)) if value}
    return translate_with_breakpoints(sent, automatic, **fields)


def translate_with_breakpoints(
    sent: Any, automatic: bool = True, strict: bool = False, **fields: Any
) -> tuple[Json, list[str]]:
    body = {"model": sent["model"], "messages": [{"role": "user", "content": "x"}], **fields}
    report = Report(strict)
    apply_cache_control(
        sent, parse_params(json.dumps(body).encode()), find_model(sent["model"], {}), automatic, report
    )
    return sent, [warning.param for warning in report.warnings]


def places(sent: Json) -> Iterator[tuple[str, Json]]:
    """All blocks in the order of the cached prefix, by short names."""
    for kind in ("tools", "system"):
        for index, block in enumerate(sent.get(kind, [])):
            yield f"{kind}.{index}", block
    for turn, message in enumerate(sent["messages"]):
        for index, block in enumerate(message["content"]):
            for inner, part in enumerate(block.get("content", [])):
                yield f"{turn}.{index}.{inner}", part
            yield f"{turn}.{index}", block


def breakpoints(sent: Json) -> dict[str, str]:
    found = {
        name: block["cache_control"].get("ttl", "5m")
        for name, block in places(sent)
        if "cache_control" in block
    }
    if "cache_control" in sent:
        found["top"] = sent["cache_control"].get("ttl", "5m")
    return found


THINKING = {"type": "thinking", "thinking": LONG, "signature": "s"}
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://a.test/b.png"}}
PDF = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD" * 9000},
}
PLAIN = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": LONG}}
TOOLS = [tool("f"), {**tool("g"), "description": LONG}]

AUTOMATIC = [
    pytest.param({}, [user(text("short"))], [], id="too-short"),
    pytest.param({}, [user(text(LONG))], ["0.0"], id="one-message"),
    pytest.param({}, [user(text("é" * 1100))], ["0.0"], id="bytes-count-and-not-letters"),
    pytest.param({"model": "claude-opus-4-6"}, [user(text(LONG))], [], id="too-short-for-the-model"),
    pytest.param({}, [user(IMAGE)], [], id="one-image-is-short"),
    pytest.param({}, [user(IMAGE, IMAGE)], ["0.1"], id="images"),
    pytest.param({}, [user(PDF)], ["0.0"], id="document"),
    pytest.param({}, [user(PLAIN)], ["0.0"], id="text-document"),
    pytest.param({}, [user(text()), assistant(THINKING, text()), user(text())], [], id="thinking-is-no-text"),
    pytest.param(
        {"system": [text(LONG), text()], "tools": [tool()]},
        [user(text())],
        ["system.1", "0.0"],
        id="short-tools-before-a-system-prompt",
    ),
    pytest.param({"tools": TOOLS}, [user(text())], ["tools.1", "0.0"], id="tools-alone"),
    pytest.param(
        {"tools": TOOLS, "system": [text()]},
        [user(text()), assistant(text()), user(text()), assistant(text()), user(text(), text())],
        ["tools.1", "system.0", "2.0", "4.1"],
        id="all-four",
    ),
    pytest.param(
        {}, [user(text(LONG)), assistant(text()), user(result(text()))], ["0.0", "2.0"], id="tool-result"
    ),
    pytest.param({}, [user(text(LONG)), assistant(text())], ["0.0"], id="before-a-prefill"),
    pytest.param({}, [user(text(LONG), text(" "))], ["0.0"], id="not-on-empty-text"),
    pytest.param({"automatic": False}, [user(text(LONG))], [], id="off"),
    pytest.param({"prompt_cache_options": {"mode": "explicit"}}, [user(text(LONG))], [], id="explicit"),
    pytest.param(
        {"prompt_cache_options": {"mode": "implicit"}, "automatic": False},
        [user(text(LONG))],
        ["0.0"],
        id="implicit-wins-over-the-setting",
    ),
    pytest.param({"prompt_cache_options": {}, "automatic": False}, [user(text(LONG))], [], id="no-mode-no-wish"),
    pytest.param({"prompt_cache_key": "k"}, [user(text(LONG))], ["0.0"], id="key"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "messages", "expected"), AUTOMATIC)
def test_automatic_breakpoints(fields: Json, messages: list[Json], expected: list[str]) -> None:
    sent, warned = translate_blocks(*messages, **fields)
    assert breakpoints(sent) == dict.fromkeys(expected, "5m")
    assert warned == []


@pytest.mark.parametrize(
    ("fields", "ttl", "warned"),
    [
        ({"prompt_cache_retention": "in_memory"}, "5m", []),
        ({"prompt_cache_retention": "in-memory"}, "5m", []),
        ({"prompt_cache_retention": "24h"}, "1h", ["prompt_cache_retention"]),
        ({"prompt_cache_options": {"ttl": "30m"}}, "1h", []),
        ({"prompt_cache_options": {"ttl": "5m"}}, "5m", []),
        ({"prompt_cache_options": {"ttl": "12h"}}, "1h", ["prompt_cache_options.ttl"]),
        (
            {"prompt_cache_options": {"ttl": "30m"}, "prompt_cache_retention": "in_memory"},
            "1h",
            ["prompt_cache_retention"],
        ),
        ({"prompt_cache_options": {"ttl": "30m"}, "prompt_cache_retention": "24h"}, "1h", ["prompt_cache_retention"]),
        ({"prompt_cache_options": {"scope": "all"}}, "5m", ["prompt_cache_options.scope"]),
    ],
)  # fmt: skip
def test_lifetimes(fields: Json, ttl: str, warned: list[str]) -> None:
    sent, reported = translate_blocks(user(text(LONG)), **fields)
    assert (breakpoints(sent), reported) == ({"0.0": ttl}, warned)
    if warned:
        with pytest.raises(APIError) as caught:
            translate_blocks(user(text(LONG)), strict=True, **fields)
        assert caught.value.param == warned[0]


def test_a_ttl_without_caching_is_reported() -> None:
    sent, warned = translate_blocks(user(text(LONG)), automatic=False, prompt_cache_options={"ttl": "30m"})
    assert (breakpoints(sent), warned) == ({}, ["prompt_cache_options.ttl"])


MANY = [user(*(text(str(index), FIVE) for index in range(6)))]
GIVEN = [
    pytest.param({}, [user(text("a", FIVE), text(LONG))], {"0.0": "5m"}, [], id="stands-down"),
    pytest.param(
        {"automatic": False}, [user(text("a", HOUR))], {"0.0": "1h"}, [], id="kept-whatever-the-setting"
    ),
    pytest.param({"tools": [tool("f", HOUR)]}, [user(text(LONG))], {"tools.0": "1h"}, [], id="tool"),
    pytest.param(
        {"prompt_cache_options": {"mode": "explicit"}}, [user(text("a", HOUR))], {"0.0": "1h"}, [], id="explicit"
    ),
    pytest.param(
        {"prompt_cache_options": {"ttl": "30m"}}, [user(text("a", FIVE))], {"0.0": "1h"}, [], id="takes-the-ttl"
    ),
    pytest.param(
        {"prompt_cache_options": {"ttl": "30m"}},
        [user(text("a", {**FIVE, "ttl": "5m"}))],
        {"0.0": "5m"},
        [],
        id="own-ttl-wins",
    ),
    pytest.param({"cache_control": FIVE}, [user(text())], {"top": "5m"}, [], id="top-level"),
    pytest.param({"cache_control": HOUR}, [user(text())], {"top": "1h"}, [], id="top-level-hour"),
    pytest.param(
        {"cache_control": {**FIVE, "x": 1}}, [user(text())], {"top": "5m"}, ["cache_control.x"], id="extra"
    ),
    pytest.param(
        {"cache_control": FIVE}, [user(text("a", FIVE), text())], {"0.0": "5m", "top": "5m"}, [], id="both"
    ),
    pytest.param({"cache_control": HOUR}, [user(text("a", HOUR))], {"top": "1h"}, [], id="same-block"),
    pytest.param(
        {"cache_control": FIVE}, [user(text("a", HOUR))], {"top": "1h"}, ["cache_control"], id="same-block-longer"
    ),
    pytest.param({}, MANY, dict.fromkeys(["0.2", "0.3", "0.4", "0.5"], "5m"), ["cache_control"], id="newest"),
    pytest.param(
        {"tools": [tool("f", FIVE)], "system": [text("s", FIVE)]},
        MANY,
        dict.fromkeys(["tools.0", "system.0", "0.4", "0.5"], "5m"),
        ["cache_control"],
        id="tools-and-system-before-messages",
    ),
    pytest.param(
        {"cache_control": FIVE, "system": [text("s", FIVE)]},
        [*MANY, assistant(text()), user(text())],
        dict.fromkeys(["system.0", "0.4", "0.5", "top"], "5m"),
        ["cache_control"],
        id="top-level-takes-one-of-four",
    ),
    pytest.param(
        {"system": [text("s", FIVE)]},
        [user(text("a", HOUR), text("b", FIVE))],
        {"system.0": "1h", "0.0": "1h", "0.1": "5m"},
        ["cache_control"],
        id="order",
    ),
    pytest.param(
        {"cache_control": HOUR},
        [user(text("a", FIVE), text())],
        {"0.0": "1h", "top": "1h"},
        ["cache_control"],
        id="order-top-level",
    ),
    pytest.param(
        {}, [user(text("q")), assistant(text()), user(result(text("r", FIVE)))], {"2.0.0": "5m"}, [], id="nested"
    ),
    pytest.param(
        {},
        [user(text("q", FIVE)), assistant({**THINKING, "cache_control": FIVE}, text()), user(text())],
        {"0.0": "5m"},
        ["cache_control"],
        id="not-on-thinking",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "messages", "expected", "warned"), GIVEN)
def test_client_breakpoints(
    fields: Json, messages: list[Json], expected: dict[str, str], warned: list[str]
) -> None:
    sent, reported = translate_blocks(*copy.deepcopy(messages), **fields)
    assert (breakpoints(sent), reported) == (expected, warned)


def test_shared_blocks_are_copied() -> None:
    messages = [user(text("a", FIVE)), assistant(text()), user(text("b", HOUR), text(LONG))]
    before = copy.deepcopy(messages)
    translate_blocks(*messages)
    unmarked = [user(text(LONG))]
    translate_blocks(*unmarked)
    assert (messages, unmarked) == (before, [user(text(LONG))])


class Cache:
    """Anthropic's cache: entries at breakpoints only, from `minimum` tokens on, found within 20 blocks of a breakpoint.

    https://platform.claude.com/docs/en/build-with-claude/prompt-caching
    """

    def __init__(self, minimum: int) -> None:
        self._minimum = minimum
        self._written: set[bytes] = set()

    def read_and_write(self, sent: Json) -> int:
        """The cached tokens read for this request. Stores its prefixes."""
        prefix, prefixes, marked = b"", [], []
        for name, block in places(sent):
            if name.count(".") == 2:  # inside a tool result, which is one block
                continue
            prefix += stripped(block)
            prefixes.append(prefix)
            if "cache_control" in block:
                marked.append(len(prefixes) - 1)
        read = 0
        for breakpoint_ in marked:
            found = [p for p in prefixes[max(0, breakpoint_ - 19) : breakpoint_ + 1] if p in self._written]
            read = max([read, *(len(p) // 4 for p in found)])
        self._written |= {
            prefixes[breakpoint_] for breakpoint_ in marked if len(prefixes[breakpoint_]) // 4 >= self._minimum
        }
        return read


def stripped(value: Any) -> bytes:
    """The bytes as sent, without breakpoints."""
    return to_json(unmarked(value))


def unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: unmarked(item) for name, item in value.items() if name != "cache_control"}
    return [unmarked(item) for item in value] if isinstance(value, list) else value


def agent_turn(step: int, parallel: int) -> list[Json]:
    """One turn of an agent: tool calls and their results, as OpenAI messages."""
    ids = [f"call_{step}_{index}" for index in range(parallel)]
    calls = [{"id": i, "type": "function", "function": {"name": "f", "arguments": '{"q": 1}'}} for i in ids]
    results = [{"role": "tool", "tool_call_id": i, "content": f"found by {i}: " + "x" * 300} for i in ids]
    return [{"role": "assistant", "content": f"Step {step}", "tool_calls": calls}, *results]


def agent(steps: int, parallel: int, opening: str = LONG) -> list[Json]:
    """The messages of an agent's call after `steps` turns."""
    opened = [{"role": "system", "content": opening}, {"role": "user", "content": "Find out."}]
    return [*opened, *(message for step in range(steps) for message in agent_turn(step, parallel))]


def translated(messages: list[Json], model: str = MODEL, **fields: Any) -> Json:
    function = {"name": "f", "description": "Finds", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": function}]
    body = json.dumps({"model": model, "messages": messages, "tools": tools, **fields}).encode()
    params, sent = parse_params(body), Report()
    request: Any = to_message_params(params, find_model(model, {})).params
    apply_cache_control(request, params, find_model(model, {}), True, sent)
    assert sent.warnings == []
    return dict(request)


@pytest.mark.parametrize("model", [MODEL, "claude-sonnet-4-5", "claude-opus-4-7"])
@pytest.mark.parametrize("parallel", [1, 3, 12, 30])
def test_each_agent_call_reads_what_the_previous_call_wrote(model: str, parallel: int) -> None:
    cache = Cache(find_model(model, {}).min_cache_tokens)
    opening = LONG * 4
    reads, sizes = [], []
    for steps in range(10):
        sent = translated(agent(steps, parallel, opening), model)
        assert 0 < len(breakpoints(sent)) <= 4
        reads.append(cache.read_and_write(sent))
        sizes.append(sum(len(stripped(block)) for name, block in places(sent) if name.count(".") < 2) // 4)
    assert reads == [0, *sizes[:-1]], "each call reads all of the call before it"
    assert reads == sorted(set(reads))


def test_caching_starts_once_the_prompt_is_long_enough() -> None:
    cache, minimum = Cache(512), 512
    reads = [cache.read_and_write(translated(agent(steps, 2, "Be brief."))) for steps in range(10)]
    assert reads[0] == reads[1] == 0
    assert all(read >= minimum for read in reads[5:])
    assert reads[5:] == sorted(set(reads[5:]))


def test_an_edited_last_message_still_reads_the_rest() -> None:
    cache = Cache(512)
    sent = translated(agent(3, 2))
    cache.read_and_write(sent)
    longer = [*agent(3, 2), {"role": "assistant", "content": "Well."}]
    read = [
        cache.read_and_write(translated([*longer, {"role": "user", "content": words}]))
        for words in ("So?", "Hm?")
    ]
    assert read[0] == read[1] > 512


def test_the_prefix_is_stable_byte_for_byte() -> None:
    for parallel in (1, 12):
        before = translated(agent(4, parallel))
        for steps in (5, 6):
            after = translated(agent(steps, parallel))
            for name in ("tools", "system"):
                assert stripped(after[name]) == stripped(before[name])
            common = len(before["messages"])
            assert stripped(after["messages"][:common]) == stripped(before["messages"])


def test_the_same_request_twice_is_the_same_bytes() -> None:
    assert to_json(translated(agent(3, 12))) == to_json(translated(agent(3, 12)))


def random_request(random: Random) -> Json:
    """A random conversation with random breakpoints, also more than the API accepts or on blocks that cannot have one."""
    share = random.choice([0, 0, 0.1, 0.6])

    def marked(block: Json) -> Json:
        return {**block, "cache_control": random.choice([FIVE, HOUR])} if random.random() < share else block

    def content(kinds: Sequence[Json]) -> list[Json]:
        return [marked(random.choice(kinds)) for _ in range(random.randint(1, 5))]

    fields = [text(), text(LONG), text(" "), IMAGE, PDF, result(marked(text("r"))), result()]
    with_results = [text("b"), THINKING, {"type": "redacted_thinking", "data": "d"}]
    turns = [user(text(), *content(fields)), assistant(*content(with_results))] * random.randint(1, 4)
    sent: Json = {"model": MODEL, "max_tokens": 9, "stream": True, "messages": [*turns, user(text("z"))]}
    if random.random() < 0.5:
        sent["tools"] = [marked(tool(str(index))) for index in range(random.randint(1, 6))]
    if random.random() < 0.5:
        sent["system"] = content([text("s"), text(LONG)])
    return sent


@pytest.mark.parametrize("seed", range(150))
def test_any_request_has_valid_breakpoints(seed: int) -> None:
    random = Random(seed)  # noqa: S311 - a reproducible conversation
    sent = random_request(random)
    plain = stripped(sent)
    fields: Json = random.choice([{}, {"cache_control": random.choice([FIVE, HOUR])}])
    sent, _ = translate_with_breakpoints(sent, **fields)
    ttls = list(breakpoints(sent).values())
    assert len(ttls) <= 4
    assert ttls == sorted(ttls), "1h stands before 5m"
    assert stripped(sent) == plain, "nothing but marks has changed"
    for _, block in places(sent):
        if "cache_control" in block:
            assert "thinking" not in block.get("type", "")
            assert block.get("text", "x").strip()
