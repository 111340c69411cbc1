"""Large bodies for POST /v1/responses: one generator per way in which one can be expensive for its size.

Each takes a number of kilobytes, approximately, as those of large_bodies.py do.
"""

import json
from collections.abc import Iterable, Mapping

from claudexia.translate.encrypted_content import to_encrypted_content
from tests.helpers.large_bodies import Generator

_HELLO: Mapping[str, object] = {"role": "user", "content": "hi"}
_EPHEMERAL = {"cache_control": {"type": "ephemeral"}}
_CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
_OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "r"}
_SIGNED = to_encrypted_content({"type": "thinking", "thinking": "t", "signature": "s", "host": "anthropic"})
_REDACTED = to_encrypted_content({"type": "redacted_thinking", "data": "d"})


def _request(items: object = (_HELLO,), /, **fields: object) -> bytes:
    given = items if isinstance(items, str) else list(items)  # type: ignore[call-overload]
    return json.dumps({"model": "claude-sonnet-5-5", "input": given, **fields}).encode()


def _user(parts: Iterable[object]) -> bytes:
    return _request([{"role": "user", "content": list(parts)}])


def _assistant(parts: Iterable[object]) -> bytes:
    return _request([_HELLO, {"role": "assistant", "content": list(parts)}, _HELLO])


def _reasoning(content: str, count: int) -> bytes:
    return _request([_HELLO, *[{"type": "reasoning", "encrypted_content": content}] * count, _HELLO])


def _calls(ids: Iterable[str], outputs: bool = True) -> bytes:
    ids = list(ids)
    return _request(
        [
            _HELLO,
            *({**_CALL, "call_id": each} for each in ids),
            *({**_OUTPUT, "call_id": each} for each in (ids if outputs else ())),
        ]
    )


def _result(output: object) -> bytes:
    return _request([_HELLO, _CALL, {**_OUTPUT, "output": output}])


def _tools(tools: Iterable[object], **fields: object) -> bytes:
    return _request(tools=list(tools), **fields)


def _format(schema: object) -> bytes:
    return _request(text={"format": {"type": "json_schema", "name": "n", "strict": True, "schema": schema}})


def _object(properties: Mapping[str, object]) -> dict[str, object]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _strings(count: int) -> dict[str, object]:
    return {f"p{number}": {"type": "string"} for number in range(count)}


def _function(number: int, **fields: object) -> dict[str, object]:
    return {"type": "function", "name": f"f{number}", **fields}


def _nested(depth: int) -> bytes:
    """A message whose content is nested deeper than any parser accepts."""
    content = b'{"a":[' * depth + b"]}" * depth
    return _request([{"role": "user", "content": "@"}]).replace(b'"@"', content)


RESPONSES: Mapping[str, Generator] = {
    # Messages
    "text": lambda n: _request("word " * (200 * n)),
    "instructions": lambda n: _request(instructions="word " * (200 * n)),
    "user-messages": lambda n: _request([_HELLO] * (28 * n)),
    "user-and-assistant": lambda n: _request([_HELLO, {"role": "assistant", "content": "a"}] * (14 * n)),
    "user-and-system": lambda n: _request([_HELLO, {"role": "system", "content": "s"}] * (15 * n)),
    "assistant-messages": lambda n: _request([_HELLO, *[{"role": "assistant", "content": "a"}] * (26 * n)]),
    "empty-messages": lambda n: _request([_HELLO, *[{"role": "user"}] * (55 * n)]),
    "messages-with-ids": lambda n: _request(
        [{"type": "message", "id": f"msg_{i}", "status": "completed", **_HELLO} for i in range(10 * n)]
    ),
    "extra-field-in-each-item": lambda n: _request([{**_HELLO, "x": 1}] * (25 * n)),
    "extra-fields-in-an-item": lambda n: _request([{**_HELLO, **{f"x{i}": 1 for i in range(80 * n)}}]),
    "breakpoint-on-each-item": lambda n: _request([{**_HELLO, **_EPHEMERAL}] * (13 * n)),
    "openai-breakpoint-on-each-item": lambda n: _request(
        [{**_HELLO, "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "24h"}}] * (9 * n)
    ),
    # Parts
    "text-parts": lambda n: _user([{"type": "input_text", "text": "a"}] * (25 * n)),
    "answer-parts": lambda n: _assistant([{"type": "output_text", "text": "a"}] * (24 * n)),
    "answer-parts-with-annotations": lambda n: _assistant(
        [{"type": "output_text", "text": "a", "annotations": [{"type": "url_citation", "url": "u"}]}] * (10 * n)
    ),
    "refusal-parts": lambda n: _assistant([{"type": "refusal", "refusal": "a"}] * (24 * n)),
    "messages-of-one-part": lambda n: _request(
        [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}] * (14 * n)
    ),
    "image-parts": lambda n: _user(
        [{"type": "input_image", "image_url": "https://a.b/c", "detail": "low"}] * (13 * n)
    ),
    "file-parts": lambda n: _user([{"type": "input_file", "file_url": "https://a.b/c"}] * (17 * n)),
    "base64-file": lambda n: _user([{"type": "input_file", "file_data": "YWFh" * (250 * n)}]),
    "base64-image": lambda n: _user(
        [{"type": "input_image", "image_url": "data:image/png;base64," + "YWFh" * (250 * n)}]
    ),
    "extra-field-in-each-part": lambda n: _user([{"type": "input_text", "text": "a", "x": 1}] * (22 * n)),
    "breakpoint-on-each-part": lambda n: _user([{"type": "input_text", "text": "a", **_EPHEMERAL}] * (12 * n)),
    # Reasoning
    "reasoning-without-content": lambda n: _request([_HELLO, *[{"type": "reasoning"}] * (45 * n)]),
    "reasoning-summaries": lambda n: _request(
        [
            _HELLO,
            *[{"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}] * 3}] * (6 * n),
        ]
    ),
    "signed-reasoning": lambda n: _reasoning(_SIGNED, 5 * n),
    "redacted-reasoning": lambda n: _reasoning(_REDACTED, 8 * n),
    "foreign-reasoning": lambda n: _reasoning("gAAA", 15 * n),
    "damaged-reasoning": lambda n: _reasoning("claude_e30", 14 * n),
    "undecodable-reasoning": lambda n: _reasoning("claude_%%%", 14 * n),
    "one-large-reasoning": lambda n: _reasoning(
        to_encrypted_content({"type": "thinking", "thinking": "t" * (700 * n), "signature": "s"}), 1
    ),
    "integers-in-reasoning": lambda n: _reasoning(
        to_encrypted_content({"type": "thinking", "x": [1] * (300 * n)}), 1
    ),
    # Calls
    "calls-with-one-id": lambda n: _calls(["c"] * (6 * n)),
    "calls-with-numbered-ids": lambda n: _calls(f"c_{i}" for i in range(6 * n)),
    "calls-with-invalid-ids": lambda n: _calls(f"c{'.' * (1 + i % 3)}" for i in range(6 * n)),
    "calls-without-output": lambda n: _calls((f"c_{i}" for i in range(12 * n)), outputs=False),
    "outputs-in-reverse": lambda n: _request(
        [
            _HELLO,
            *({**_CALL, "call_id": f"c_{i}"} for i in range(6 * n)),
            *({**_OUTPUT, "call_id": f"c_{i}"} for i in reversed(range(6 * n))),
        ]
    ),
    "turns-with-one-id": lambda n: _request([_HELLO, _CALL, _OUTPUT] * (5 * n)),
    "calls-in-a-namespace": lambda n: _request([_HELLO, *[{**_CALL, "namespace": "n"}, _OUTPUT] * (6 * n)]),
    "custom-calls": lambda n: _request(
        [
            _HELLO,
            *[
                {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "i"},
                {"type": "custom_tool_call_output", "call_id": "c", "output": "r"},
            ]
            * (6 * n),
        ]
    ),
    "dense-arguments": lambda n: _request(
        [_HELLO, {**_CALL, "arguments": json.dumps({"a": [1] * (300 * n)})}, _OUTPUT]
    ),
    "output-parts": lambda n: _result([{"type": "input_text", "text": "a"}] * (25 * n)),
    "breakpoint-on-each-output-part": lambda n: _result(
        [{"type": "input_text", "text": "a", **_EPHEMERAL}] * (12 * n)
    ),
    # Other items
    "items-without-a-translation": lambda n: _request([_HELLO, *[{"type": "shell_call"}] * (42 * n)]),
    "web-searches": lambda n: _request(
        [_HELLO, *[{"type": "web_search_call", "id": "ws", "action": {"type": "search"}}] * (13 * n)]
    ),
    "references-to-nothing": lambda n: _request(
        [{"type": "item_reference", "id": f"msg_{i}"} for i in range(22 * n)]
    ),
    "one-reference-many-times": lambda n: _request([{"id": "msg_1_o0"}] * (45 * n)),
    "references-to-responses": lambda n: _request([{"id": f"msg_{i}_o0"} for i in range(40 * n)]),
    # Fields
    "unknown-fields": lambda n: _request(**{f"x{i}": 1 for i in range(80 * n)}),
    "metadata": lambda n: _request(metadata={f"m{i}": "v" for i in range(70 * n)}),
    "metadata-of-wrong-types": lambda n: _request(metadata={f"m{i}": 1 for i in range(80 * n)}),
    "long-user": lambda n: _request(safety_identifier="1" * (1000 * n)),
    "include": lambda n: _request(include=["message.input_image.image_url"] * (30 * n)),
    "unknown-includes": lambda n: _request(include=[f"x{i}" for i in range(90 * n)]),
    "context-management": lambda n: _request(context_management=[{}] * (240 * n)),
    "stream-options": lambda n: _request(stream_options={f"x{i}": 1 for i in range(80 * n)}),
    "extra-fields-of-text": lambda n: _request(text={f"x{i}": 1 for i in range(80 * n)}),
    "extra-fields-of-reasoning": lambda n: _request(reasoning={f"x{i}": 1 for i in range(80 * n)}),
    "unpaired-surrogates": lambda n: _user([{"type": "input_text", "text": "\ud83d"}] * (22 * n)),
    # Invalid
    "integers-as-items": lambda n: _request([1] * (330 * n)),
    "integers-as-parts": lambda n: _user([1] * (330 * n)),
    "integers-as-output-parts": lambda n: _result([1] * (330 * n)),
    "integers-as-tools": lambda n: _tools([1] * (330 * n)),
    "integers-as-includes": lambda n: _request(include=[1] * (330 * n)),
    "integers-as-namespace-tools": lambda n: _tools(
        [{"type": "namespace", "name": "n", "tools": [1] * (330 * n)}]
    ),
    "integers-as-allowed-tools": lambda n: _request(
        tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [1] * (330 * n)}
    ),
    "integers-as-domains": lambda n: _tools(
        [{"type": "web_search", "filters": {"allowed_domains": [1] * (330 * n)}}]
    ),
    "one-invalid-item-at-the-end": lambda n: _request([*[_HELLO] * (28 * n), 1]),
    "unknown-types": lambda n: _request([{"type": f"x{i}"} for i in range(50 * n)]),
    "nested-input": lambda n: _nested(120 * n),
    # Tools and their choice
    "functions": lambda n: _tools(_function(i) for i in range(22 * n)),
    "functions-with-parameters": lambda n: _tools(
        _function(i, parameters=_object(_strings(2))) for i in range(6 * n)
    ),
    "strict-functions": lambda n: _tools(
        _function(i, strict=True, parameters=_object(_strings(2))) for i in range(6 * n)
    ),
    "custom-tools": lambda n: _tools({"type": "custom", "name": f"f{i}"} for i in range(24 * n)),
    "anthropic-tools": lambda n: _tools({"name": f"f{i}", "input_schema": {}} for i in range(22 * n)),
    "server-tools": lambda n: _tools([{"type": "bash_20250124", "name": "bash"}] * (20 * n)),
    "web-search-tools": lambda n: _tools([{"type": "web_search"}] * (45 * n)),
    "web-searches-without-access": lambda n: _tools(
        [{"type": "web_search", "external_web_access": False}] * (16 * n)
    ),
    "web-search-domains": lambda n: _tools(
        [{"type": "web_search", "filters": {"allowed_domains": [f"d{i}.org" for i in range(80 * n)]}}]
    ),
    "a-namespace": lambda n: _tools(
        [{"type": "namespace", "name": "n", "description": "d", "tools": [_function(i) for i in range(22 * n)]}]
    ),
    "a-long-description-of-a-namespace": lambda n: _tools(
        [
            {
                "type": "namespace",
                "name": "n",
                "description": "d" * (500 * n),
                "tools": [_function(i) for i in range(11 * n)],
            }
        ]
    ),
    "a-long-name-of-a-namespace": lambda n: _tools(
        [{"type": "namespace", "name": "n" * (500 * n), "tools": [_function(i) for i in range(11 * n)]}]
    ),
    "namespaces": lambda n: _tools(
        {"type": "namespace", "name": f"n{i}", "tools": [_function(i)]} for i in range(10 * n)
    ),
    "callers-and-deferred-tools": lambda n: _tools(
        _function(i, allowed_callers=["x"], defer_loading=True) for i in range(9 * n)
    ),
    "allowed-tools": lambda n: _tools(
        (_function(i) for i in range(11 * n)),
        tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [_function(i) for i in range(11 * n)]},
    ),
    "a-large-function": lambda n: _tools([_function(0, parameters=_object(_strings(35 * n)))]),
    # Formats
    "a-large-format": lambda n: _format(_object(_strings(35 * n))),
    "enum-of-a-format": lambda n: _format(_object({"a": {"enum": [f"value {i}" for i in range(60 * n)]}})),
}
