"""For each rule about content blocks, thinking and cache breakpoints: requests that violate this rule only."""

import base64

from tests.fakes.anthropic.cases import (
    ENABLED,
    TOOLS,
    WITH_PREFILL,
    WITH_SAMPLING,
    Json,
    assistant,
    call,
    output,
    request,
    result,
    text,
    tool,
    user,
)

DATA = base64.b64encode(b"bytes").decode()
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
THINKING_BLOCK = {"type": "thinking", "thinking": "", "signature": "x"}
CITATION = {
    "type": "web_search_result_location", "cited_text": "a", "url": "https://a", "title": "a", "encrypted_index": "b",
}  # fmt: skip
SEARCH_RESULT = {"type": "search_result", "source": "a", "title": "b"}


def image(**source: Json) -> Json:
    return request(user({"type": "image", "source": source}))


def document(**source: Json) -> Json:
    return request(user({"type": "document", "source": source}))


def with_tool_result(*blocks: Json) -> Json:
    """A request with a tool call and a result of these blocks."""
    return request(user("a"), assistant(call()), user(result(content=list(blocks))), tools=TOOLS)


BLOCKS = {
    "block type": [request(user({"type": "input_audio"}))],
    "block key": [request(user(text(id="a"))), request(user({**IMAGE, "detail": "low"}))],
    "document in assistant": [request(user("a"), assistant(DOCUMENT), user("b"))],
    "block parent": [
        request(user(call(), text()), tools=TOOLS) | {"messages": [user(THINKING_BLOCK)]},
        request(user("a"), assistant(IMAGE), user("b")),
        request(user("a"), assistant({**SEARCH_RESULT, "content": []}), user("b")),
        request(system=[IMAGE]),
        with_tool_result(THINKING_BLOCK),
    ],
    "empty text": [request(user(text(""))), request(system=""), with_tool_result(text(""))],
    "blank text": [request(user(" \n")), request(system=[text(" ")]), with_tool_result(text("\t"))],
    "citations in user": [
        request(user(text(citations=[CITATION]))),
        request(user({**SEARCH_RESULT, "content": [text(citations=[CITATION])]})),
    ],
    "source": [image(type="data", data=DATA), image(type="url", url="https://a", detail="low"), document(type="file")],
    "image media type": [image(type="base64", media_type="image/tiff", data=DATA)],
    "document media type": [
        document(type="base64", media_type="text/plain", data=DATA),
        document(type="text", media_type="application/pdf", data="a"),
    ],
    "base64": [
        image(type="base64", media_type="image/png", data=f"data:image/png;base64,{DATA}"),
        image(type="base64", media_type="image/png", data=""),
        document(type="base64", media_type="application/pdf", data=DATA[:-1]),
    ],
    "source url": [image(type="url", url="ftp://a/b"), document(type="url", url="a.pdf")],
    "image size": [image(type="base64", media_type="image/png", data="A" * (10 * 1024 * 1024 + 4))],
    "image count": [request(user(*[IMAGE] * 601)), request(user(*[IMAGE] * 101), model=WITH_PREFILL)],
    "empty document": [document(type="text", media_type="text/plain", data=""), document(type="content", content=[])],
    "tool_use id pattern": [request(user("a"), assistant(call("a.b")), user(result("a.b")), tools=TOOLS)],
    "tool_use name pattern": [request(user("a"), assistant(call(name="a b")), user(result()), tools=TOOLS)],
    "tool_use input": [request(user("a"), assistant(call(input="{}")), user(result()), tools=TOOLS)],
    "citations with format": [
        output({"type": "string"}, messages=[user({**DOCUMENT, "citations": {"enabled": True}})]),
    ],
}  # fmt: skip

THINKING = {
    "thinking type": [request(thinking={"type": "auto"})],
    "thinking type of model": [
        request(thinking={"type": "disabled"}),
        request(max_tokens=2000, thinking=ENABLED),
        request(model=WITH_PREFILL, thinking={"type": "adaptive"}),
        request(model="claude-opus-5", thinking={"type": "between_tools"}),
    ],
    "thinking key": [
        request(thinking={"type": "adaptive", "budget_tokens": 2000}),
        request(model="claude-haiku-5-5", thinking={"type": "disabled", "display": "omitted"}),
        request(model="claude-sonnet-5-5", thinking={"type": "between_tools", "display": "omitted"}),
    ],
    "thinking display": [request(thinking={"type": "adaptive", "display": "full"})],
    "budget missing": [request(model=WITH_SAMPLING, thinking={"type": "enabled"})],
    "budget small": [request(model=WITH_SAMPLING, max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1023})],
    "budget large": [request(model=WITH_SAMPLING, max_tokens=1024, thinking=ENABLED)],
    "thinking off at high effort": [
        request(model="claude-haiku-5-5", thinking={"type": "disabled"}, output_config={"effort": "max"}),
        request(model="claude-sonnet-5-5", thinking={"type": "between_tools"}, output_config={"effort": "xhigh"}),
    ],
    "thinking block": [
        request(user("a"), assistant({**THINKING_BLOCK, "signature": ""}, text()), user("b")),
        request(user("a"), assistant({"type": "redacted_thinking"}, text()), user("b")),
    ],
    "thinking last": [request(user("a"), assistant(THINKING_BLOCK), user("b"))],
    "thinking expected": [
        request(user("a"), assistant(call()), user(result()), tools=TOOLS, model=WITH_SAMPLING, max_tokens=2000, thinking=ENABLED),
    ],
}  # fmt: skip


def breakpoint_(**fields: Json) -> Json:
    return {"cache_control": {"type": "ephemeral", **fields}}


BREAKPOINTS = {
    "breakpoint shape": [
        request(user(text(cache_control={"type": "persistent"}))),
        request(cache_control={"type": "ephemeral", "ttl": "24h"}),
    ],
    "breakpoint count": [
        request(user(*[text(**breakpoint_())] * 5)),
        request(user(*[text(**breakpoint_())] * 3), tools=[tool(**breakpoint_())], **breakpoint_()),
    ],
    "breakpoint on thinking": [
        request(user("a"), assistant({**THINKING_BLOCK, **breakpoint_()}, text()), user("b"))
    ],
    "breakpoint on empty text": [request(user(text("", **breakpoint_()), text()))],
    "breakpoint order": [
        request(user(text(**breakpoint_(ttl="1h"))), tools=[tool(**breakpoint_())]),
        request(
            user("a"),
            assistant(call()),
            user(result(**breakpoint_(), content=[text(**breakpoint_(ttl="1h"))])),
            tools=TOOLS,
        ),
    ],
    "automatic breakpoint": [
        request(user(text(**breakpoint_(ttl="1h"))), **breakpoint_(ttl="5m")),
        request(user(text(**breakpoint_()), text()), **breakpoint_(ttl="1h")),
    ],
}
