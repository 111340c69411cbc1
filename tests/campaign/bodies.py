"""Request bodies: known-good ones, damaged ones, and large ones that repeat one thing very often."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, Literal

from tests.campaign.damage import damage_bytes, damage_value, dumped, raw
from tests.campaign.gateway import AUTHORIZED, HeaderPairs, Request

Json = Any
Api = Literal["chat", "text", "responses", "messages"]
# Stands in every text of every body, and must not stand in the log.
MARK = "zq7marked"
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
MODELS = ("claude-sonnet-5-5", "claude-haiku-4-5", "claude-opus-4-6", "claude-fable-5-2", "claude-haiku-5-5")
_CONTROL_EVERY = 8
_LARGE_EVERY = 101  # a prime, so that controls and large bodies fall on different numbers
IMAGE_DATA = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(24)).decode()
PDF_DATA = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode()
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": MARK, "minLength": 1},
        "days": {"type": "array", "items": {"$ref": "#/$defs/day"}, "maxItems": 5},
        "unit": {"anyOf": [{"enum": ["c", "f"]}, {"type": "null"}]},
    },
    "required": ["city", "days", "unit"],
    "additionalProperties": False,
    "$defs": {"day": {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}},
}  # fmt: skip


def user(*content: Json) -> Json:
    return {"role": "user", "content": content[0] if len(content) == 1 else list(content)}


def text(words: str = MARK, **fields: Json) -> Json:
    return {"type": "text", "text": words, **fields}


def function(name: str = "weather", **fields: Json) -> Json:
    return {"name": name, "description": MARK, "parameters": SCHEMA, **fields}


def tool(name: str = "weather", **fields: Json) -> Json:
    return {"type": "function", "function": function(name, **fields)}


def call(id_: str = "call_1", name: str = "weather") -> Json:
    arguments = json.dumps({"city": MARK, "days": [], "unit": None})
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(id_: str = "call_1", content: Json = MARK) -> Json:
    return {"role": "tool", "tool_call_id": id_, "content": content}


def assistant(**fields: Json) -> Json:
    return {"role": "assistant", **fields}


def chat(*messages: Json, **fields: Json) -> Json:
    return {"messages": list(messages) or [user(MARK)], **fields}


def image(**fields: Json) -> Json:
    return {"type": "image_url", "image_url": {"url": IMAGE_DATA, **fields}}


def _chats() -> dict[str, Json]:
    cached: Json = {"cache_control": {"type": "ephemeral"}}
    custom = {"type": "custom", "custom": {"name": "run", "description": MARK, "format": {"type": "text"}}}
    pdf = {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_DATA}}
    signed = {"type": "thinking", "thinking": MARK, "signature": "c2lnbmF0dXJl"}
    legacy = {"name": "weather", "arguments": '{"city": "a"}'}
    return {
        "text": chat(),
        "parameters": chat(
            temperature=0.5, top_p=0.9, stop=["x", "y"], max_completion_tokens=100, seed=1, user=MARK,
            metadata={"a": MARK}, frequency_penalty=0, presence_penalty=0, logit_bias={}, service_tier="auto",
            store=False, parallel_tool_calls=True, verbosity="low", safety_identifier=MARK, prompt_cache_key="k",
        ),
        "conversation": chat(
            {"role": "system", "content": MARK}, {"role": "developer", "content": [text()]}, user(text(), text("b")),
            assistant(content=MARK), user(MARK), assistant(content=[text()], refusal=None), {**user(MARK), "name": "n"},
        ),
        "tools": chat(tools=[tool(), tool("other", strict=True)], tool_choice="auto"),
        "tool choice": chat(
            tools=[tool(), tool("b", parameters={})], parallel_tool_calls=False,
            tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "weather"}}]}},
        ),
        "tool loop": chat(
            user(MARK), assistant(content=None, tool_calls=[call()]), result(), assistant(content=MARK), user(MARK),
            tools=[tool()],
        ),
        "parallel calls": chat(
            user(MARK), assistant(content=MARK, tool_calls=[call(), call("call_2")]), result("call_2"), result(content=[text(), image()]),
            tools=[tool()],
        ),
        "images": chat(user(text(), image(detail="high"), {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}})),
        "pdf": chat(user(pdf, text())),
        "structured": chat(response_format={"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA, "strict": True}}),
        "json object": chat(user(f"JSON {MARK}"), response_format={"type": "json_object"}),
        "effort": chat(reasoning_effort="high"),
        "reasoning": chat(reasoning={"max_tokens": 2000}, max_tokens=9000),
        "thinking": chat(
            user(MARK), assistant(content=MARK, reasoning_content=MARK, thinking_blocks=[signed], tool_calls=[call()]), result(),
            tools=[tool()], reasoning_effort="medium",
        ),
        "choices": chat(n=2, logprobs=False, top_logprobs=0),
        "functions": chat(
            user(MARK), assistant(content=None, function_call=legacy), {"role": "function", "name": "weather", "content": MARK},
            functions=[function()], function_call="auto",
        ),
        "cache": chat({"role": "system", "content": [text(**cached)]}, user(text(**cached), text()), tools=[{**tool(), **cached}]),
        "web search": chat(web_search_options={"search_context_size": "low", "user_location": {"type": "approximate", "approximate": {"city": MARK, "country": "DE"}}}),
        "custom tool": chat(
            user(MARK), assistant(tool_calls=[{"id": "call_1", "type": "custom", "custom": {"name": "run", "input": MARK}}]), result(),
            tools=[custom],
        ),
        "a demanded call": chat(tools=[tool(), tool("other")], tool_choice="required"),
        "a named call": chat(tools=[tool()], tool_choice={"type": "function", "function": {"name": "weather"}}),
        "usage": chat(stream=True, stream_options={"include_usage": True}),
    }  # fmt: skip


def _texts() -> dict[str, Json]:
    return {
        "prompt": {"prompt": MARK, "max_tokens": 50, "temperature": 1, "echo": False, "stop": "\n\n"},
        "prompts": {"prompt": [MARK], "n": 2, "best_of": 1, "logprobs": None, "suffix": None, "user": MARK},
    }


@cache
def chat_source() -> "BodySource":
    """Chat completions and text completions."""
    bodies: dict[str, tuple[str, bytes]] = {}
    for path, of_path in ((CHAT, _chats()), (TEXT, _texts())):
        for index, (name, body) in enumerate(of_path.items()):
            model = MODELS[0] if "web_search_options" in body else MODELS[index % len(MODELS)]
            if name in ("parameters", "prompt"):
                model = "claude-opus-4-6"
            if name == "parameters":
                del body["top_p"]
            bodies[name] = path, dumped({"model": model, **body})
    return BodySource("body", "chat", bodies, CHAT, LARGE)


def good_request(name: str) -> Request:
    """A known-good chat or text completion."""
    return chat_source().good_request(name)


@dataclass(frozen=True)
class BodySource:
    """The bodies of one API.

    `kind` is that of its cases. `good` has the path and the body of each known-good request by name, `large` what
    repeats in large bodies, for `large_path`, and how many bytes one repetition has.
    """

    kind: str
    api: Api
    good: Mapping[str, tuple[str, bytes]]
    large_path: str
    large: "Sequence[tuple[Generator, int]]"

    def good_request(self, name: str) -> Request:
        path, body = self.good[name]
        return Request(body, path)

    def control_name(self, index: int) -> str | None:
        """The known-good body at this index of a campaign; None if a damaged one is there."""
        turn, rest = divmod(index, _CONTROL_EVERY)
        names = list(self.good)
        return None if rest else names[turn % len(names)]

    def damaged_request(self, seed: int, index: int, largest: int) -> Request:
        """The damaged request at this index. Large bodies have at most about `largest` bytes."""
        random = Random(f"{self.kind} {seed} {index}")  # noqa: S311  # reproducible on purpose
        if index % _LARGE_EVERY == 1:
            repeats, bytes_each = random.choice(self.large)
            size, model = random.choice((largest, largest // 3)), random.choice(MODELS)
            return Request(sized_body(repeats, bytes_each, size, model), self.large_path)
        path, body = self.good[random.choice(list(self.good))]
        value = json.loads(body)
        value["model"] = random.choice((value["model"], *MODELS, "claude-next-9", "gpt-5"))
        if random.random() < 0.3:
            value["stream"] = True
        for _ in range(random.choice((1, 1, 1, 2, 2, 3, 6))):
            if isinstance(value, dict | list):
                value = damage_value(value, random)
        data = dumped(value)
        if random.random() < 0.15:
            data = damage_bytes(data, random)
        return Request(data, path, _headers(random))


def _headers(random: Random) -> HeaderPairs:
    options = (
        (b"x-claudexia-strict", b"true"), (b"x-claudexia-thinking-blocks", b"true"), (b"x-claudexia-cache", b"off"),
        (b"content-type", b"text/plain"), (b"x-correlation-id", MARK.encode() + b" is no id"),
    )  # fmt: skip
    extra = tuple(option for option in options if random.random() < 0.08)
    if random.random() < 0.02:
        secret = random.choice((b"Bearer", b"Bearer sk_cdx_wrong", b"Basic YTpi", b"\xff", b""))
        return ((b"authorization", secret), *extra)
    return (*AUTHORIZED, *extra)


# --- one thing, very often ---

Generator = Callable[[int], Json]


def _alternating(count: int) -> Json:
    return chat(*({"role": ("user", "system")[turn % 2], "content": "a"} for turn in range(count)), user("a"))


def _unknown_fields(count: int) -> Json:
    return chat(**{f"field_{number}": number for number in range(count)})


def _unknown_in_each_message(count: int) -> Json:
    return chat(*({**user("a"), "extra": 1} for _ in range(count)))


def _unknown_in_each_part(count: int) -> Json:
    return chat(user(*(text("a", extra=1) for _ in range(count + 2))))


def _references(count: int) -> Json:
    large = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(count)}}
    some = {"anyOf": [{"$ref": "#/$defs/large"}] * max(1, count // 20)}
    return chat(
        tools=[tool(parameters={"type": "object", "properties": {"a": some}, "$defs": {"large": large}})]
    )


def _same_call_id(count: int) -> Json:
    return chat(user("a"), assistant(tool_calls=[call()] * count), result())


def _calls_and_results(count: int) -> Json:
    ids = [f"call_{number}" for number in range(count)]
    return chat(
        user("a"), assistant(tool_calls=[call(id_) for id_ in ids]), *(result(id_) for id_ in reversed(ids))
    )


def _unsigned_thinking(count: int) -> Json:
    blocks = [{"type": "thinking", "thinking": "a"}] * count
    return chat(user("a"), assistant(content="a", thinking_blocks=blocks), user("a"))


def _integers_for_messages(count: int) -> Json:
    return {"messages": [1] * count}


def _integers_for_parts(count: int) -> Json:
    return chat(user(*([1] * (count + 2))))


def _integers_for_tools(count: int) -> Json:
    return chat(tools=[1] * count)


def _enums(count: int) -> Json:
    options = [
        {"enum": [f"{option}_{number}" for number in range(max(1, count // 64))]} for option in range(64)
    ]
    return _structured({"type": "object", "properties": {"a": {"oneOf": options}}, "required": ["a"]})


def _all_of(count: int) -> Json:
    schema: Json = {"type": "string"}
    for _ in range(min(count, 200)):
        schema = {"allOf": [schema, {"description": "a"}]}
    return _structured({"type": "object", "properties": {"a": schema}})


def _pattern(count: int) -> Json:
    return _structured({"type": "object", "properties": {"a": {"type": "string", "pattern": "(a|b)?" * count}}})


def _tools(count: int) -> Json:
    return chat(tools=[tool(f"tool_{number}", parameters={}) for number in range(count)])


def _stops(count: int) -> Json:
    return chat(stop=["a"] * count)


def _long_text(count: int) -> Json:
    return chat(user("word " * count))


def _digits(count: int) -> Json:
    return chat(n=raw("9" * 4400), metadata={str(number): "9" * 400 for number in range(count)})


def _structured(schema: Json) -> Json:
    return chat(
        response_format={"type": "json_schema", "json_schema": {"name": "w", "schema": schema, "strict": True}}
    )


# What repeats, and how many bytes one repetition has.
LARGE: Sequence[tuple[Generator, int]] = (
    (_alternating, 35), (_unknown_fields, 22), (_unknown_in_each_message, 46), (_unknown_in_each_part, 45),
    (_references, 30), (_same_call_id, 150), (_calls_and_results, 230), (_unsigned_thinking, 42),
    (_integers_for_messages, 3), (_integers_for_parts, 3), (_integers_for_tools, 3), (_enums, 10), (_all_of, 60),
    (_pattern, 6), (_tools, 110), (_stops, 5), (_long_text, 5), (_digits, 410),
)  # fmt: skip


def sized_body(repeats: Generator, bytes_each: int, size: int, model: str = MODELS[0]) -> bytes:
    return dumped({"model": model, **repeats(max(1, size // bytes_each))})
