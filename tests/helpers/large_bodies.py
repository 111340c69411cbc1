"""Large request bodies: one generator per way in which a body can be expensive for its size.

Each generator takes a number of items and returns a request body. They measure the translation: `translate()` does
what the gateway does with a body before it calls the upstream.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from pydantic_core import to_json

from claudexia.api.http import warnings_header
from claudexia.errors import APIError
from claudexia.models import find_model
from claudexia.translate import estimate_tokens, parse_params, replay_keys, to_message_params
from claudexia.translate.report import Report
from claudexia.translate.request.parse import with_existing_param
from claudexia.translate.request.surrogates import replace_unpaired_surrogates
from claudexia.translate.types import tools
from claudexia.translate.types.params import MAX_TOOLS
from tests.helpers.large_schemas import SCHEMAS

Generator = Callable[[int], bytes]

_MODEL = "claude-sonnet-5-5"
_HELLO: Mapping[str, object] = {"role": "user", "content": "hi"}
_NO_ARGUMENTS: Mapping[str, object] = {}
_EPHEMERAL = {"cache_control": {"type": "ephemeral"}}


def translate(body: bytes) -> int:
    """Translates `body`. Returns the HTTP status."""
    try:
        upstream_body(body)
    except APIError as error:
        return with_existing_param(error, body).status
    return 200


def upstream_body(body: bytes) -> bytes:
    """Raises APIError."""
    params = parse_params(replace_unpaired_surrogates(body, Report()))
    model = find_model(params.model, {})
    answers = dict.fromkeys(replay_keys(params, model), ())
    request = to_message_params(params, model, caching=True, stored_answers=answers)
    estimate_tokens(request.params)
    warnings_header(request.warnings)
    return to_json(request.params)


def translate_agent(body: bytes) -> None:
    """Parses and translates `body`, whose earlier thinking is not stored."""
    params = parse_params(body)
    model = find_model(params.model, {})
    replay_keys(params, model)
    to_message_params(params, model, caching=True, stored_answers={})


def forget_tools() -> None:
    """Lets the next request be the first one with its tools and patterns."""
    tools._recent = tools._RecentTools()
    re.purge()


def load_all(body: bytes) -> None:
    """json.loads() of `body` and of the JSON in the arguments of its tool calls."""
    messages = json.loads(body)["messages"]
    for message in messages:
        for call in message.get("tool_calls") or () if isinstance(message, dict) else ():
            if isinstance(call, dict):
                json.loads(call.get("function", call).get("arguments") or "{}")


def agent_request() -> bytes:
    """A coding agent's request of 143 kB: 151 messages, of which 50 call a tool, and 40 tools."""
    words = "Read the file and report what it says about the build. "
    filters = _object({"field": {"type": "string"}, "value": {"anyOf": [{"type": "string"}, {"type": "null"}]}})
    properties = {
        "path": {"type": "string", "description": "The absolute path of the file in the workspace."},
        "query": {"type": "string", "description": "A regular expression or plain words.", "minLength": 1},
        "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
        "mode": {"type": "string", "enum": ["fast", "exact", "fuzzy"], "description": "How to match."},
        "recursive": {"type": "boolean", "default": False},
        "filters": {"type": "array", "items": filters},
    }
    parameters = {**_object(properties), "required": ["path"]}
    definitions = [
        {
            "type": "function",
            "function": {"name": f"tool_{i}", "description": words * 6, "parameters": parameters},
        }
        for i in range(40)
    ]
    messages: list[object] = [{"role": "system", "content": words * 150}]
    for turn in range(50):
        call_id = f"toolu_{turn:022d}"
        arguments = {"path": f"/src/module_{turn}.py", "query": "def \\w+", "filters": [{"field": "kind"}]}
        function = {"name": f"tool_{turn % 40}", "arguments": json.dumps(arguments)}
        messages += [
            {"role": "user", "content": words * 4},
            {
                "role": "assistant",
                "content": "I read the file.",
                "tool_calls": [{"id": call_id, "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": call_id, "content": f'{turn}: "value"\n' * 75},
        ]
    return _request(messages, tools=definitions)


def _request(messages: Iterable[object] = (_HELLO,), /, **fields: object) -> bytes:
    return json.dumps({"model": _MODEL, "messages": list(messages), **fields}).encode()


def _with_fields(fields: Callable[[int], Mapping[str, object]], n: int) -> bytes:
    return _request(**fields(n))


def _user(parts: Iterable[object]) -> bytes:
    return _request([{"role": "user", "content": list(parts)}])


def _assistant(parts: Iterable[object], **fields: object) -> bytes:
    return _request([_HELLO, {"role": "assistant", "content": list(parts), **fields}, _HELLO])


def _calls(ids: Iterable[str], name: str = "f", arguments: object = _NO_ARGUMENTS) -> bytes:
    function = {"name": name, "arguments": json.dumps(arguments)}
    calls = [{"id": each, "type": "function", "function": function} for each in ids]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "r"} for call in calls]
    return _request([_HELLO, {"role": "assistant", "tool_calls": calls}, *results])


def _call(arguments: object) -> bytes:
    return _calls(["c"], arguments=arguments)


def _tool(parameters: object, **fields: object) -> bytes:
    function = {"name": "f", "parameters": parameters, **fields}
    return _request(tools=[{"type": "function", "function": function}])


def _format(schema: object) -> bytes:
    json_schema = {"name": "n", "strict": True, "schema": schema}
    return _request(response_format={"type": "json_schema", "json_schema": json_schema})


def _object(properties: Mapping[str, object]) -> dict[str, object]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _strings(count: int, prefix: str = "p") -> dict[str, object]:
    return {f"{prefix}{number}": {"type": "string"} for number in range(count)}


def _nested(depth: int, keyword: str, inner: object) -> object:
    schema = inner
    for level in range(depth):
        schema = {keyword: [schema], "properties": {f"level{level}": {"type": "string"}}}
    return schema


def _unions(depth: int, leaf: object) -> object:
    schema = leaf
    for _ in range(depth):
        schema = {"anyOf": [_object({"a": schema}), {"type": "null"}]}
    return schema


def _text(size: int) -> str:
    return "word " * size


def _doubling(levels: int, last: object) -> dict[str, object]:
    """Definitions that each refer to the next one twice."""
    definitions: dict[str, object] = {f"d{levels}": last}
    for level in range(levels):
        ref = {"$ref": f"#/$defs/d{level + 1}"}
        definitions[f"d{level}"] = {"anyOf": [ref, ref, {"$ref": "#/$defs/d0"}]}
    return definitions


def _deep(levels: int, inner: object) -> object:
    for _ in range(levels):
        inner = [inner]
    return inner


def _returning(last: Mapping[str, object]) -> dict[str, object]:
    """A schema in which `last` is reached on a thousand ways, each of which leads back to the first definition."""
    back = {"$ref": "#/$defs/d0"}
    return {"$defs": {**_doubling(10, {**last, "allOf": [back, {"type": "null"}]})}, "anyOf": [back]}


def _classes(number: int) -> str:
    """A kilobyte of classes of three letters beyond Latin-1, which no other pattern has."""
    letters = f"{chr(0x100 + number)}{chr(0x1000 + number)}"
    return "".join(f"[{letters}{chr(0x2000 + index)}]" for index in range(48))


def _groups(number: int) -> str:
    return f"{number}{'(a|b)' * 180}"


def _two_lifetimes(count: int) -> Sequence[object]:
    return [{**_HELLO, "prompt_cache_breakpoint": {"ttl": ttl}} for ttl in ("5m", "24h")] * count


def _without_assistant(n: int) -> bytes:
    return _request(_HELLO if i % 2 == 0 else {"role": "system", "content": "s"} for i in range(n))


def _with_open_call(n: int) -> bytes:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [{"role": "system", "content": "s"}, {"role": "assistant", "content": "a"}] * n
    result = {"role": "tool", "tool_call_id": "c", "content": "r"}
    return _request([_HELLO, {"role": "assistant", "tool_calls": [call]}, *turns, result])


# Each is about 1 kB for each item of `n`, so that one number means one size for all.
BODIES: Mapping[str, Generator] = {
    # Conversations
    "user-and-system": lambda n: _without_assistant(32 * n),
    "user-system-assistant": lambda n: _request(
        [_HELLO, {"role": "system", "content": "s"}, {"role": "assistant", "content": "a"}] * (9 * n)
    ),
    "system-before-results": lambda n: _with_open_call(14 * n),
    "short-messages": lambda n: _request([_HELLO, {"role": "assistant", "content": "a"}] * (15 * n)),
    "system-after-assistant": lambda n: _request(
        [_HELLO] + [{"role": "assistant", "content": "a"}, {"role": "system", "content": "s"}] * (14 * n)
    ),
    "named-speakers": lambda n: _request(
        [
            {**_HELLO, "name": "b"},
            {"role": "assistant", "content": "a", "name": "c"},
            {**_HELLO, "name": "c"},
            {"role": "assistant", "content": "a", "name": "d"},
        ]
        * (5 * n)
    ),
    "refusals": lambda n: _request([_HELLO, {"role": "assistant", "refusal": "r"}] * (14 * n)),
    "user-messages-only": lambda n: _request([_HELLO] * (30 * n)),
    "long-text": lambda n: _request([{"role": "user", "content": _text(200 * n)}]),
    "extra-field-in-each-message": lambda n: _request([{**_HELLO, "x": 1}] * (25 * n)),
    "extra-field-in-each-part": lambda n: _user([{"type": "text", "text": "a", "x": 1}] * (25 * n)),
    "text-parts": lambda n: _user([{"type": "text", "text": "a"}] * (30 * n)),
    "breakpoint-on-each-part": lambda n: _user([{"type": "text", "text": "a", **_EPHEMERAL}] * (13 * n)),
    "breakpoint-on-each-message": lambda n: _request([{**_HELLO, **_EPHEMERAL}] * (14 * n)),
    "breakpoints-of-two-lifetimes": lambda n: _request(
        [{**_HELLO, "prompt_cache_breakpoint": {"ttl": ttl}} for ttl in ("5m", "24h")] * (7 * n)
    ),
    "breakpoints-at-the-end": lambda n: _request(
        [
            *[_HELLO, {"role": "assistant", "content": "a"}] * (15 * n),
            *({**_HELLO, "prompt_cache_breakpoint": {"ttl": ttl}} for ttl in ("5m", "24h") * 3),
        ]
    ),
    "unsigned-thinking": lambda n: _assistant([{"type": "thinking", "thinking": "t"}] * (24 * n)),
    "signed-thinking-with-breakpoints": lambda n: _assistant(
        [{"type": "thinking", "thinking": "t", "signature": "s", **_EPHEMERAL}] * (10 * n)
    ),
    "thinking-with-openai-breakpoints": lambda n: _assistant(
        [{"type": "thinking", "signature": "s", "prompt_cache_breakpoint": {}}] * (14 * n)
    ),
    "blank-parts-after-thinking": lambda n: _assistant(
        [
            *[{"type": "thinking", "thinking": "t", "signature": "s"}] * (8 * n),
            *[{"type": "text", "text": "", **_EPHEMERAL}] * (7 * n),
        ]
    ),
    "thinking-beside-content": lambda n: _assistant(
        [{"type": "text", "text": "a"}], thinking_blocks=[{"type": "thinking", "thinking": "t"}] * (24 * n)
    ),
    # Tool calls
    "calls-with-one-id": lambda n: _calls(["c"] * (7 * n)),
    "calls-with-numbered-ids": lambda n: _calls(
        [*(f"c_{number}" for number in range(3 * n)), *["c"] * (3 * n)]
    ),
    "calls-with-invalid-ids": lambda n: _calls(f"c{'.' * (1 + number % 3)}" for number in range(7 * n)),
    "turns-with-one-id": lambda n: _request(
        [
            _HELLO,
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
        ]
        * (5 * n)
    ),
    "turns-with-function-call": lambda n: _request(
        [_HELLO]
        + [{"role": "assistant", "function_call": {"name": "f"}}, {"role": "function", "content": "r"}]
        * (10 * n)
    ),
    "turns-with-call-blocks": lambda n: _request(
        [_HELLO]
        + [
            message
            for number in range(6 * n)
            for message in (
                {
                    "role": "assistant",
                    "content": [
                        {"type": "tool_use", "id": f"c{number}", "name": "f", "input": {}, **_EPHEMERAL}
                    ],
                },
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"c{number}"}]},
            )
        ]
    ),
    "failed-results-of-one-call": lambda n: _request(
        [
            _HELLO,
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
            *[{"role": "tool", "tool_call_id": "c", "is_error": True}] * (15 * n),
        ]
    ),
    # Text, then an image, which a failed result cannot have.
    "failed-results-after-an-image": lambda n: _request(
        [
            _HELLO,
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
            *[{"role": "tool", "tool_call_id": "c", "content": "r"}] * (7 * n),
            {
                "role": "tool",
                "tool_call_id": "c",
                "content": [{"type": "image_url", "image_url": {"url": "https://example.com"}}],
            },
            *[{"role": "tool", "tool_call_id": "c", "is_error": True}] * (7 * n),
        ]
    ),
    "long-invalid-id": lambda n: _calls(["é." * (100 * n)], name="è" * (60 * n)),
    "server-calls": lambda n: _assistant(
        part
        for number in range(4 * n)
        for part in (
            {"type": "server_tool_use", "id": f"srvtoolu_{number}", "name": "web_search", "input": {}},
            {"type": "web_search_tool_result", "tool_use_id": f"srvtoolu_{number}", "content": []},
        )
    ),
    "dense-arguments": lambda n: _call({"a": [1] * (300 * n)}),
    "arguments-of-small-objects": lambda n: _call({"a": [{"b": i} for i in range(70 * n)]}),
    "arguments-of-strings": lambda n: _call({"a": [f"value {i}" for i in range(60 * n)]}),
    "nested-arguments": lambda n: _call({"a": [[[[]]]] * (90 * n)}),
    "arguments-of-many-calls": lambda n: _calls(
        (f"c_{i}" for i in range(5 * n)), arguments={"a": {"b": [1, "c"]}}
    ),
    "messages-of-one-part": lambda n: _request(
        [{"role": "user", "content": [{"type": "text", "text": "a"}]}] * (16 * n)
    ),
    "function-calls": lambda n: _request(
        [
            _HELLO,
            *[{"role": "assistant", "function_call": {"name": "f"}}, {"role": "function"}] * (13 * n),
        ]
    ),
    # Fields
    "numbers-before-breakpoints": lambda n: _request(
        [{**_HELLO, "x": _deep(150, [1] * (300 * n))}, *_two_lifetimes(5)]
    ),
    "breakpoints-behind-messages": lambda n: _request(
        [_HELLO] * (28 * n),
        tools=[
            {"name": f"f{i}", **each}
            for i, each in enumerate([{"prompt_cache_breakpoint": {"ttl": ttl}} for ttl in ("5m", "24h")] * 5)
        ],
    ),
    "unknown-fields": lambda n: _request(**{f"x{number}": 1 for number in range(80 * n)}),
    "stop-sequences": lambda n: _request(stop=[" "] * (200 * n)),
    "long-user": lambda n: _request(user="1" * (1000 * n)),
    "metadata": lambda n: _request(metadata={f"m{number}": "v" for number in range(70 * n)}),
    "logit-bias-of-wrong-types": lambda n: _request(logit_bias={str(number): "x" for number in range(90 * n)}),
    # Half characters
    "half-characters": lambda n: _user([{"type": "text", "text": "\ud83d"}] * (28 * n)),
    "half-characters-deep-inside": lambda n: _request(x=_deep(150, ["\ud83d"] * (95 * n))),
    "numbers-beside-half-a-character": lambda n: _request(x=_deep(150, [*[1] * (330 * n), "\ud83d"])),
    "escapes-beside-half-a-character": lambda n: _request(user="\n" * (500 * n) + "\ud83d"),
    # Invalid
    "integers-as-messages": lambda n: _request([1] * (300 * n)),
    "integers-as-parts": lambda n: _user([1] * (300 * n)),
    "integers-as-calls": lambda n: _assistant([], tool_calls=[1] * (300 * n)),
    "integers-as-tools": lambda n: _request(tools=[1] * (300 * n)),
    "integers-as-tool-results": lambda n: _request(
        [_HELLO, {"role": "tool", "tool_call_id": "c", "content": [1] * (300 * n)}]
    ),
    "integers-as-stop-sequences": lambda n: _request(stop=[1] * (300 * n)),
    "integers-as-modalities": lambda n: _request(modalities=[1] * (300 * n)),
    "integers-as-allowed-tools": lambda n: _request(
        tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [1] * (300 * n)}}
    ),
    "forbidden-extras": lambda n: _user(
        [
            {
                "type": "image",
                "source": {"type": "url", "url": "u", **{f"x{number}": 1 for number in range(80 * n)}},
            }
        ]
    ),
    "parts-without-fields": lambda n: _user([{"type": "text"}] * (50 * n)),
    # Tools and their choice
    "tools": lambda n: _request(
        tools=[{"type": "function", "function": {"name": f"f{number}"}} for number in range(16 * n)]
    ),
    "flat-tools": lambda n: _request(
        tools=[{"type": "function", "name": f"f{number}"} for number in range(24 * n)]
    ),
    "anthropic-tools": lambda n: _request(
        tools=[{"name": f"f{number}", "input_schema": {}} for number in range(24 * n)]
    ),
    "strict-tools-without-parameters": lambda n: _request(
        tools=[{"function": {"name": f"f{number}", "strict": True}} for number in range(20 * n)]
    ),
    "allowed-tools": lambda n: _request(
        tools=[{"type": "function", "function": {"name": f"f{number}"}} for number in range(8 * n)],
        tool_choice={
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "auto",
                "tools": [{"type": "function", "function": {"name": f"f{number}"}} for number in range(8 * n)],
            },
        },
    ),
    "empty-tools": lambda n: _request(tools=[{}] * min(250 * n, MAX_TOOLS)),
    "tools-in-the-form-of-responses": lambda n: _request(tools=[{"name": f"f{i}"} for i in range(55 * n)]),
    "forced-choice-of-tools": lambda n: _request(
        tools=[{"name": f"g{i}"} for i in range(55 * n)], tool_choice="required"
    ),
    "tools-before-an-invalid-one": lambda n: _request(
        tools=[
            *[
                {"name": f"f{i}", "parameters": {"anyOf": [_object({"a": {}}), _object({"b": {}})]}}
                for i in range(6 * n)
            ],
            {"name": "g", "parameters": {"type": "string"}},
        ]
    ),
    "custom-tools": lambda n: _request(tools=[{"type": "custom", "name": f"f{i}"} for i in range(25 * n)]),
    "server-tools": lambda n: _request(tools=[{"type": "a_20250101"}] * (35 * n)),
    "tools-with-unions": lambda n: _request(
        tools=[{"name": f"f{i}", "input_schema": {"anyOf": [{}, {}]}} for i in range(18 * n)]
    ),
    "tools-with-parameters": lambda n: _request(
        tools=[{"function": {"name": f"f{i}", "parameters": _object(_strings(2))}} for i in range(6 * n)]
    ),
    "strict-tools": lambda n: _request(
        tools=[
            {"function": {"name": f"f{number}", "strict": True, "parameters": _object(_strings(2))}}
            for number in range(6 * n)
        ]
    ),
    # Schemas of tools
    "large-object-by-reference": lambda n: _tool(
        {"$defs": {"a": _object(_strings(30 * n))}, "anyOf": [{"$ref": "#/$defs/a"}] * 200}
    ),
    "large-object-at-many-references": lambda n: _tool(
        {
            "$defs": {
                "a": _object(_strings(15 * n)),
                **{f"d{i}": {"$ref": "#/$defs/a"} for i in range(10 * n)},
            },
            "anyOf": [{"$ref": f"#/$defs/d{number}"} for number in range(10 * n)],
        }
    ),
    "all-of-90-deep": lambda n: _tool(_nested(90, "allOf", _object(_strings(30 * n)))),
    "any-of-90-deep": lambda n: _tool(_nested(90, "anyOf", _object(_strings(30 * n)))),
    "options-of-a-tool": lambda n: _tool({"anyOf": [_object({f"p{i}": {}}) for i in range(10 * n)]}),
    "options-with-one-property": lambda n: _tool(
        {"anyOf": [_object({"p": {"const": i}}) for i in range(10 * n)]}
    ),
    "names-read-again": lambda n: _tool(_returning({"required": [f"p{i}" for i in range(120 * n)]})),
    "properties-read-again": lambda n: _tool(_returning({"properties": {f"p{i}": {} for i in range(80 * n)}})),
    "reference-read-again": lambda n: _tool(_returning({"$ref": "#/$defs" + "/a" * (500 * n)})),
    "deep-numbers": lambda n: _tool({"type": "object", "x-a": _deep(150, [*[0] * (330 * n), "NaN"])}),
    "recursive-references": lambda n: _request(
        tools=[
            {
                "function": {
                    "name": f"f{i}",
                    "parameters": {"$defs": _doubling(6, {}), "$ref": "#/$defs/d0", "anyOf": [{}]},
                }
            }
            for i in range(n)
        ]
    ),
    # Schemas of response formats
    "enums-of-one-of": lambda n: _format(
        {"oneOf": [{"enum": [f"{option}-{i}" for i in range(n)]} for option in range(64)]}
    ),
    "objects-of-one-of": lambda n: _format(
        {"oneOf": [_object(_strings(2 * n)) | {"required": ["p0", f"p{2 * n - 1}"]} for option in range(20)]}
    ),
    "all-of-50-deep": lambda n: _format(_nested(50, "allOf", _object(_strings(30 * n)))),
    "all-of-many": lambda n: _format(
        {"allOf": [_object({f"p{i}": {"type": "string"}}) for i in range(10 * n)]}
    ),
    "one-enum": lambda n: _format(_object({"a": {"enum": [f"value {i}" for i in range(60 * n)]}})),
    "enum-of-numbers": lambda n: _format(_object({"a": {"enum": [*range(150 * n)]}})),
    "enum-of-a-strict-tool": lambda n: _tool(
        _object({"a": {"enum": [f"value {i}" for i in range(60 * n)]}}), strict=True
    ),
    "described-properties": lambda n: _format(
        _object({f"p{i}": {"type": "string", "description": "d", "minLength": 1} for i in range(12 * n)})
    ),
    "options-of-a-union": lambda n: _format({"anyOf": [{"const": i} for i in range(60 * n)]}),
    "unions-30-deep": lambda n: _format(_unions(30, {"enum": [f"value {i}" for i in range(70 * n)]})),
    "nullable-definitions": lambda n: _format(
        {
            "$defs": {f"d{i}": {"type": "array", "description": "d", "nullable": True} for i in range(9 * n)},
            **_object({f"p{i}": {"$ref": f"#/$defs/d{i}"} for i in range(9 * n)}),
        }
    ),
    "tuple-of-arrays": lambda n: _format(
        _object(
            {"a": {"prefixItems": [{"type": "array", "items": {"minimum": 2, "nullable": True}}] * (16 * n)}}
        )
    ),
    "repeated-types": lambda n: _format(
        {"$defs": {"x": 5}, "allOf": [{"type": [name] * (55 * n)} for name in ("integer", "null")]}
    ),
    "options-that-allow-all": lambda n: _format(_object({"a": {"anyOf": [True] * (160 * n)}})),
    "tuple-of-anything": lambda n: _format(_object({"a": {"prefixItems": [True] * (160 * n)}})),
    "open-objects-with-long-names": lambda n: _format(
        _object({f"{'x' * 90}{i}": {**_object({"a": {}}), "additionalProperties": True} for i in range(6 * n)})
    ),
    "short-patterns": lambda n: _format(
        _object({f"p{i}": {"type": "string", "pattern": f"{i}(a|b)"} for i in range(20 * n)})
    ),
    "patterns-of-open-groups": lambda n: _format(
        _object({f"p{i}": {"type": "string", "pattern": f"{i}{'(' * 900}"} for i in range(n)})
    ),
    "patterns-of-braces": lambda n: _format(
        _object({f"p{i}": {"type": "string", "pattern": f"{i}{'{1' * 450}"} for i in range(n)})
    ),
    "patterns-of-groups": lambda n: _format(
        _object({f"p{i}": {"type": "string", "pattern": _groups(i)} for i in range(n)})
    ),
    "patterns-of-classes": lambda n: _format(
        _object({f"p{i}": {"type": "string", "pattern": _classes(i)} for i in range(n)})
    ),
    "long-pattern": lambda n: _format(_object({"a": {"type": "string", "pattern": "a?b" * (300 * n)}})),
    "group-patterns": lambda n: _format(_object({"a": {"type": "string", "pattern": "(a|b)" * (200 * n)}})),
    "large-enum-in-many-places": lambda n: _format(
        {
            "$defs": {"e": {"enum": [f"value {i}" for i in range(50 * n)]}},
            **_object({f"p{i}": {"$ref": "#/$defs/e", "description": "d"} for i in range(10 * n)}),
        }
    ),
    "long-text-in-many-places": lambda n: _format(
        {
            "$defs": {"e": {"type": "string", "description": "d" * (500 * n)}},
            **_object({f"p{i}": {"$ref": "#/$defs/e", "title": "d"} for i in range(10 * n)}),
        }
    ),
    "long-property-names": lambda n: _format(
        _object(
            {"x" * (500 * n): _object({f"p{i}": {"type": "string", "minLength": 2} for i in range(10 * n)})}
        )
    ),
    "nested-tuples": lambda n: _format(
        {"type": "object", "properties": {"a": _tuples(30, [{"type": "string"}] * (50 * n))}}
    ),
    "many-definitions": lambda n: _format(
        {
            "$defs": {f"d{i}": {"type": "string"} for i in range(15 * n)},
            **_object({f"p{i}": {"$ref": f"#/$defs/d{i}"} for i in range(15 * n)}),
        }
    ),
    "long-references": lambda n: _format(
        _object({f"p{i}": {"$ref": "#" + "/properties" * (40 * n)} for i in range(2)})
    ),
    "long-digits-in-a-reference": lambda n: _format(
        {"type": "object", "anyOf": [{"$ref": "#/anyOf/" + "1" * (1000 * n)}]}
    ),
    **{name: partial(_with_fields, fields) for name, fields in SCHEMAS.items()},
    # Media
    "files-as-images": lambda n: _user(
        [{"type": "image_url", "image_url": "data:;base64,JVBERg=="}] * (14 * n)
    ),
    "image-urls": lambda n: _user([{"type": "image_url", "image_url": "https://a"}] * (20 * n)),
    "base64-file": lambda n: _user([{"type": "file", "file": {"file_data": "YWFh" * (250 * n)}}]),
}


def _tuples(depth: int, items: object) -> object:
    schema: object = {"type": "array", "prefixItems": items}
    for _ in range(depth):
        schema = {"type": "array", "prefixItems": [schema]}
    return schema
