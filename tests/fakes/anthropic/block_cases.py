"""For each rule of content blocks, thinking and cache marks a request that breaks it and no other."""

import base64

from tests.fakes.anthropic.cases import (
    ENABLED,
    PREFILLS,
    SAMPLES,
    TOOLS,
    Json,
    call,
    claude,
    output,
    request,
    result,
    text,
    tool,
    user,
)

DATA = base64.b64encode(b"bytes").decode()
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}
PAPER = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
THOUGHT = {"type": "thinking", "thinking": "", "signature": "x"}
CITATION = {
    "type": "web_search_result_location", "cited_text": "a", "url": "https://a", "title": "a", "encrypted_index": "b",
}  # fmt: skip
FINDING = {"type": "search_result", "source": "a", "title": "b"}


def image(**source: Json) -> Json:
    return request(user({"type": "image", "source": source}))


def document(**source: Json) -> Json:
    return request(user({"type": "document", "source": source}))


def answered(*blocks: Json) -> Json:
    """A tool call whose result holds these blocks."""
    return request(user("a"), claude(call()), user(result(content=list(blocks))), tools=TOOLS)


BLOCKS = {
    "block type": [request(user({"type": "input_audio"}))],
    "block key": [request(user(text(id="a"))), request(user({**PICTURE, "detail": "low"}))],
    "document in assistant": [request(user("a"), claude(PAPER), user("b"))],
    "block place": [
        request(user(call(), text()), tools=TOOLS) | {"messages": [user(THOUGHT)]},
        request(user("a"), claude(PICTURE), user("b")),
        request(user("a"), claude({**FINDING, "content": []}), user("b")),
        request(system=[PICTURE]),
        answered(THOUGHT),
    ],
    "empty text": [request(user(text(""))), request(system=""), answered(text(""))],
    "blank text": [request(user(" \n")), request(system=[text(" ")]), answered(text("\t"))],
    "citations in user": [
        request(user(text(citations=[CITATION]))),
        request(user({**FINDING, "content": [text(citations=[CITATION])]})),
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
    "image count": [request(user(*[PICTURE] * 601)), request(user(*[PICTURE] * 101), model=PREFILLS)],
    "empty document": [document(type="text", media_type="text/plain", data=""), document(type="content", content=[])],
    "tool_use id pattern": [request(user("a"), claude(call("a.b")), user(result("a.b")), tools=TOOLS)],
    "tool_use name pattern": [request(user("a"), claude(call(name="a b")), user(result()), tools=TOOLS)],
    "tool_use input": [request(user("a"), claude(call(input="{}")), user(result()), tools=TOOLS)],
    "citations with format": [
        output({"type": "string"}, messages=[user({**PAPER, "citations": {"enabled": True}})]),
    ],
}  # fmt: skip

THINKING = {
    "thinking type": [request(thinking={"type": "auto"})],
    "thinking type of model": [
        request(thinking={"type": "disabled"}),
        request(max_tokens=2000, thinking=ENABLED),
        request(model=PREFILLS, thinking={"type": "adaptive"}),
        request(model="claude-opus-5", thinking={"type": "between_tools"}),
    ],
    "thinking key": [
        request(thinking={"type": "adaptive", "budget_tokens": 2000}),
        request(model="claude-haiku-5-5", thinking={"type": "disabled", "display": "omitted"}),
        request(model="claude-sonnet-5-5", thinking={"type": "between_tools", "display": "omitted"}),
    ],
    "thinking display": [request(thinking={"type": "adaptive", "display": "full"})],
    "budget missing": [request(model=SAMPLES, thinking={"type": "enabled"})],
    "budget small": [request(model=SAMPLES, max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1023})],
    "budget large": [request(model=SAMPLES, max_tokens=1024, thinking=ENABLED)],
    "thinking off at high effort": [
        request(model="claude-haiku-5-5", thinking={"type": "disabled"}, output_config={"effort": "max"}),
        request(model="claude-sonnet-5-5", thinking={"type": "between_tools"}, output_config={"effort": "xhigh"}),
    ],
    "thinking block": [
        request(user("a"), claude({**THOUGHT, "signature": ""}, text()), user("b")),
        request(user("a"), claude({"type": "redacted_thinking"}, text()), user("b")),
    ],
    "thinking last": [request(user("a"), claude(THOUGHT), user("b"))],
    "thinking expected": [
        request(user("a"), claude(call()), user(result()), tools=TOOLS, model=SAMPLES, max_tokens=2000, thinking=ENABLED),
    ],
}  # fmt: skip


def mark(**fields: Json) -> Json:
    return {"cache_control": {"type": "ephemeral", **fields}}


MARKS = {
    "mark shape": [
        request(user(text(cache_control={"type": "persistent"}))),
        request(cache_control={"type": "ephemeral", "ttl": "24h"}),
    ],
    "marks": [
        request(user(*[text(**mark())] * 5)),
        request(user(*[text(**mark())] * 3), tools=[tool(**mark())], **mark()),
    ],
    "mark on thinking": [request(user("a"), claude({**THOUGHT, **mark()}, text()), user("b"))],
    "mark on empty text": [request(user(text("", **mark()), text()))],
    "mark order": [
        request(user(text(**mark(ttl="1h"))), tools=[tool(**mark())]),
        request(
            user("a"), claude(call()), user(result(**mark(), content=[text(**mark(ttl="1h"))])), tools=TOOLS
        ),
    ],
    "automatic mark": [
        request(user(text(**mark(ttl="1h"))), **mark(ttl="5m")),
        request(user(text(**mark()), text()), **mark(ttl="1h")),
    ],
}
