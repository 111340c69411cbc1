"""Known-good and large bodies of the Responses API and of the Messages API."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from tests.campaign.bodies import IMAGE_DATA, MARK, MODELS, PDF_DATA, SCHEMA, BodySource, Generator, text, user
from tests.campaign.damage import dumped

Json = Any
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"
STORED_ID = "resp_1"  # of every answer that tests.campaign.judge makes
_CACHED: Json = {"cache_control": {"type": "ephemeral"}}
_ARGUMENTS = json.dumps({"city": MARK, "days": [], "unit": None})


# --- the Responses API ---


def respond(*items: Json, **fields: Json) -> Json:
    return {"input": list(items) or MARK, **fields}


def item(role: str = "user", content: Json = MARK, **fields: Json) -> Json:
    return {"role": role, "content": content, **fields}


def part(words: str = MARK, kind: str = "input_text", **fields: Json) -> Json:
    return {"type": kind, "text": words, **fields}


def flat_tool(name: str = "weather", **fields: Json) -> Json:
    return {
        "type": "function",
        "name": name,
        "description": MARK,
        "parameters": SCHEMA,
        "strict": False,
        **fields,
    }


def call_item(id_: str = "call_1", name: str = "weather") -> Json:
    return {"type": "function_call", "call_id": id_, "name": name, "arguments": _ARGUMENTS}


def output_item(id_: str = "call_1", output: Json = MARK) -> Json:
    return {"type": "function_call_output", "call_id": id_, "output": output}


def _responses() -> dict[str, Json]:
    custom = {"type": "custom", "name": "run", "description": MARK, "format": {"type": "text"}}
    written = item(
        "assistant",
        [part(kind="output_text", annotations=[], logprobs=[])],
        type="message",
        id="msg_1_0",
        status="completed",
    )
    return {
        "text": respond(),
        "parameters": respond(
            instructions=MARK, max_output_tokens=100, temperature=0.5, metadata={"a": MARK}, user=MARK, store=False,
            parallel_tool_calls=True, truncation="disabled", service_tier="auto", prompt_cache_key="k", safety_identifier=MARK,
            include=[], stream_options={"include_obfuscation": False}, top_logprobs=0, background=False,
        ),
        "conversation": respond(
            item("system"), item("developer", [part()]), item(content=[part(), part("b")]), written, item(type="message"),
            item("assistant"), item(),
        ),
        "tools": respond(tools=[flat_tool(), flat_tool("other", strict=True)], tool_choice="auto", max_tool_calls=3),
        "tool choice": respond(
            tools=[flat_tool(), flat_tool("b", parameters={})], parallel_tool_calls=False,
            tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "weather"}]},
        ),
        "a named call": respond(tools=[flat_tool()], tool_choice={"type": "function", "name": "weather"}),
        "namespace": respond(tools=[{"type": "namespace", "name": "home", "description": MARK, "tools": [flat_tool()]}]),
        "tool loop": respond(item(), call_item(), output_item(), item("assistant"), item(), tools=[flat_tool()]),
        "parallel calls": respond(
            item(), call_item(), call_item("call_2"), output_item("call_2"),
            output_item(output=[part(), {"type": "input_image", "image_url": IMAGE_DATA}]), tools=[flat_tool()],
        ),
        "custom tool": respond(
            item(), {"type": "custom_tool_call", "call_id": "call_1", "name": "run", "input": MARK},
            {"type": "custom_tool_call_output", "call_id": "call_1", "output": MARK}, tools=[custom],
        ),
        "images": respond(item(content=[part(), {"type": "input_image", "image_url": IMAGE_DATA, "detail": "high"}, {"type": "input_image", "image_url": "https://example.com/a.png"}])),
        "pdf": respond(item(content=[{"type": "input_file", "filename": "a.pdf", "file_data": PDF_DATA}, part()])),
        "structured": respond(text={"format": {"type": "json_schema", "name": "w", "schema": SCHEMA, "strict": True}, "verbosity": "low"}),
        "json object": respond(instructions=f"JSON {MARK}", text={"format": {"type": "json_object"}}),
        "reasoning": respond(reasoning={"effort": "high", "summary": "auto"}, include=["reasoning.encrypted_content"], max_output_tokens=9000),
        "reasoning items": respond(
            item(), {"type": "reasoning", "id": "rs_1_0", "summary": [{"type": "summary_text", "text": MARK}], "encrypted_content": None},
            call_item(), output_item(), tools=[flat_tool()], reasoning={"effort": "medium"},
        ),
        "web search": respond(
            item(), tools=[{"type": "web_search", "search_context_size": "low", "user_location": {"type": "approximate", "city": MARK, "country": "DE"}}],
            include=["web_search_call.action.sources"],
        ),
        "cache": respond(item("system", [part(**_CACHED)]), item(content=[part(**_CACHED), part()]), tools=[{**flat_tool(), **_CACHED}]),
        "streamed": respond(stream=True),
        # The first body's response, which is stored before the others are sent.
        "previous response": respond(previous_response_id=STORED_ID),
        "previous response and items": respond(
            item("developer"), item(), call_item(), output_item(), previous_response_id=STORED_ID, tools=[flat_tool()], stream=True
        ),
    }  # fmt: skip


def _many_items(count: int) -> Json:
    return respond(*(item(("user", "system")[turn % 2], "a") for turn in range(count)))


def _many_references(count: int) -> Json:
    return respond(*({"type": "item_reference", "id": f"msg_{number}_0"} for number in range(count)))


def _many_calls(count: int) -> Json:
    ids = [f"call_{number}" for number in range(count)]
    return respond(item(), *map(call_item, ids), *map(output_item, reversed(ids)))


def _unknown_in_each_item(count: int) -> Json:
    return respond(*(item(content="a", extra=1) for _ in range(count)))


def _integers_for_items(count: int) -> Json:
    return respond(*[1] * count)


def _flat_tools(count: int) -> Json:
    return respond(tools=[flat_tool(f"tool_{number}", parameters={}) for number in range(count)])


def _more_fields(count: int) -> Json:
    return respond(**{f"field_{number}": number for number in range(count)})


_LARGE_RESPONSES: Sequence[tuple[Generator, int]] = (
    (_many_items, 38), (_many_references, 48), (_many_calls, 230), (_unknown_in_each_item, 46), (_integers_for_items, 3),
    (_flat_tools, 110), (_more_fields, 22),
)  # fmt: skip


# --- the Messages API ---


def create(*turns: Json, **fields: Json) -> Json:
    return {"max_tokens": 100, "messages": list(turns) or [user(MARK)], **fields}


def native_tool(name: str = "weather", **fields: Json) -> Json:
    return {"name": name, "description": MARK, "input_schema": SCHEMA, **fields}


def _messages() -> dict[str, Json]:
    use = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": MARK}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [text()]}
    image, pdf = (
        {"type": kind, "source": {"type": "base64", "media_type": media, "data": data.partition(",")[2]}}
        for kind, media, data in (("image", "image/png", IMAGE_DATA), ("document", "application/pdf", PDF_DATA))
    )
    thinking = {"type": "thinking", "thinking": MARK, "signature": "c2lnbmF0dXJl"}
    return {
        "text": create(),
        "streamed": create(stream=True),
        "parameters": create(
            system=MARK, temperature=0.5, stop_sequences=["x"], metadata={"user_id": MARK}, service_tier="auto", stream=False
        ),
        "conversation": create(user(text(), text("b")), {"role": "assistant", "content": MARK}, user(MARK), system=[text(**_CACHED)]),
        "tools": create(user(MARK), {"role": "assistant", "content": [text(), use]}, user(result), tools=[native_tool(**_CACHED)], tool_choice={"type": "auto"}),
        "thinking": create(user(MARK), {"role": "assistant", "content": [thinking, use]}, user(result), tools=[native_tool()], thinking={"type": "adaptive"}, stream=True),
        "images": create(user(text(), image)),
        "pdf": create(user(pdf, text()), stream=True),
        "structured": create(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
        "a new field": create(a_new_field={"a": MARK}),
    }  # fmt: skip


def _many_turns(count: int) -> Json:
    return create(*({"role": ("user", "assistant")[turn % 2], "content": "a"} for turn in range(count)))


def _new_fields(count: int) -> Json:
    return create(**{f"field_{number}": number for number in range(count)})


def _escaped_names(count: int) -> Json:
    return create(metadata={f"stream{number}": "\u0061\x00" for number in range(count)})


_LARGE_MESSAGES: Sequence[tuple[Generator, int]] = (
    (_many_turns, 38), (_new_fields, 22), (_escaped_names, 28), (lambda count: create(user("word " * count)), 5),
)  # fmt: skip


def _dumped(path: str, bodies: dict[str, Json]) -> dict[str, tuple[str, bytes]]:
    """Each body with a model, in turn."""
    return {
        name: (path, dumped({"model": "claude-opus-4-6" if name == "parameters" else MODELS[index % len(MODELS)], **body}))
        for index, (name, body) in enumerate(bodies.items())
    }  # fmt: skip


@cache
def responses_source() -> BodySource:
    return BodySource(
        "responses-body", "responses", _dumped(RESPONSES, _responses()), RESPONSES, _LARGE_RESPONSES
    )


@cache
def messages_source() -> BodySource:
    counted = {
        f"tokens of {name}": {key: value for key, value in body.items() if key not in ("max_tokens", "stream")}
        for name, body in _messages().items()
        if name in ("text", "conversation", "tools", "images", "a new field")
    }
    bodies = {**_dumped(MESSAGES, _messages()), **_dumped(COUNT_TOKENS, counted)}
    return BodySource("messages-body", "messages", bodies, MESSAGES, _LARGE_MESSAGES)
