"""Large bodies for POST /v1/messages, /v1/messages/count_tokens and /v1/completions, as those of large_bodies.py."""

import json
from collections.abc import Iterable, Mapping

from tests.helpers.large_bodies import Generator

_HELLO: Mapping[str, object] = {"role": "user", "content": "hi"}
_EPHEMERAL = {"cache_control": {"type": "ephemeral"}}
_URL = {"type": "image", "source": {"type": "url", "url": "https://a.b/c"}}


def _request(messages: Iterable[object] = (_HELLO,), /, **fields: object) -> bytes:
    return json.dumps(
        {"model": "claude-sonnet-5-5", "max_tokens": 9, "messages": list(messages), **fields}
    ).encode()


def _user(blocks: Iterable[object]) -> bytes:
    return _request([{"role": "user", "content": list(blocks)}])


def _assistant(blocks: Iterable[object]) -> bytes:
    return _request([_HELLO, {"role": "assistant", "content": list(blocks)}, _HELLO])


def _nested(depth: int, inner: object = 1) -> object:
    for _ in range(depth):
        inner = {"a": [inner]}
    return inner


MESSAGES: Mapping[str, Generator] = {
    "messages": lambda n: _request([_HELLO] * (28 * n)),
    "long-text": lambda n: _request([{"role": "user", "content": "word " * (200 * n)}]),
    "text-not-in-ascii": lambda n: _request([{"role": "user", "content": "\u00e9" * (160 * n)}]),
    "text-blocks": lambda n: _user([{"type": "text", "text": "a"}] * (30 * n)),
    "cache-control-on-each-block": lambda n: _user([{"type": "text", "text": "a", **_EPHEMERAL}] * (13 * n)),
    "system-blocks": lambda n: _request(system=[{"type": "text", "text": "a"}] * (30 * n)),
    "images-by-url": lambda n: _user([_URL] * (13 * n)),
    "base64-image": lambda n: _user(
        [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "YWFh" * (250 * n)}}]
    ),
    "documents-of-parts": lambda n: _user(
        [{"type": "document", "source": {"type": "content", "content": [_URL] * (13 * n)}}]
    ),
    "thinking": lambda n: _assistant([{"type": "thinking", "thinking": "t", "signature": "s"}] * (15 * n)),
    "redacted-thinking": lambda n: _assistant([{"type": "redacted_thinking", "data": "d"}] * (23 * n)),
    "tool-uses": lambda n: _assistant([{"type": "tool_use", "id": "t", "name": "f", "input": {}}] * (16 * n)),
    "server-tool-uses": lambda n: _assistant(
        [{"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}}] * (12 * n)
    ),
    "tool-results": lambda n: _user([{"type": "tool_result", "tool_use_id": "t"}] * (20 * n)),
    "tool-results-with-images": lambda n: _user(
        [{"type": "tool_result", "tool_use_id": "t", "content": [_URL]}] * (7 * n)
    ),
    "one-tool-result-of-blocks": lambda n: _user(
        [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "a"}] * (30 * n)}]
    ),
    "tools": lambda n: _request(tools=[{"name": f"f{i}", "input_schema": {}} for i in range(22 * n)]),
    "server-run-tools": lambda n: _request(tools=[{"type": "web_search_20250305"}] * (28 * n)),
    "enum-of-a-tool": lambda n: _request(
        tools=[{"name": "f", "input_schema": {"enum": [f"value {i}" for i in range(60 * n)]}}]
    ),
    "unknown-fields": lambda n: _request(**{f"x{i}": 1 for i in range(80 * n)}),
    "unknown-fields-deep-inside": lambda n: _request(
        [{"role": "user", "content": [{"type": "text", "text": "a", "x": _nested(30)}] * (2 * n)}]
    ),
    "metadata": lambda n: _request(metadata={f"m{i}": "v" for i in range(70 * n)}),
    "models-deep-inside": lambda n: _request(x=[{"model": "claude-sonnet-5-5"}] * (30 * n)),
    "enforced-fields-deep-inside": lambda n: _request(
        x=[{"model": 1, "max_tokens": 1, "stream": 1}] * (20 * n)
    ),
    "escaped-letters": lambda n: _request(x=["\\u0061"] * (80 * n)),
    "braces-in-strings": lambda n: _request(x=["{" * 10] * (60 * n)),
    # Invalid
    "integers-as-messages": lambda n: _request([1] * (330 * n)),
    "integers-as-blocks": lambda n: _user([1] * (330 * n)),
    "integers-as-tools": lambda n: _request(tools=[1] * (330 * n)),
    "objects-as-messages": lambda n: _request([{}] * (240 * n)),
    "model-of-a-wrong-type": lambda n: _request(model=[1] * (330 * n)),
    "max-tokens-of-a-wrong-type": lambda n: _request(max_tokens=["a"] * (200 * n)),
    "a-long-model": lambda n: _request(model="claude-" * (140 * n)),
    "not-an-object": lambda n: json.dumps([{}] * (240 * n)).encode(),
    "a-field-twice": lambda n: _request()[:-1] + b', "model": "a"' * (60 * n) + b"}",
    "no-end": lambda n: _request([_HELLO] * (28 * n))[:-1],
    "unpaired-surrogates": lambda n: _user([{"type": "text", "text": "\ud83d"}] * (26 * n)),
}


def _text(**fields: object) -> bytes:
    return json.dumps({"model": "claude-sonnet-5-5", "prompt": "hi", **fields}).encode()


TEXT_COMPLETIONS: Mapping[str, Generator] = {
    "a-long-prompt": lambda n: _text(prompt="word " * (200 * n)),
    "prompt-not-in-ascii": lambda n: _text(prompt="\u00e9" * (160 * n)),
    "blank-prompt": lambda n: _text(prompt=" " * (1000 * n)),
    "one-prompt-in-an-array": lambda n: _text(prompt=["word " * (200 * n)]),
    "prompts": lambda n: _text(prompt=["a"] * (200 * n)),
    "token-ids": lambda n: _text(prompt=[1] * (330 * n)),
    "arrays-of-token-ids": lambda n: _text(prompt=[[1]] * (200 * n)),
    "one-array-of-token-ids": lambda n: _text(prompt=[[1] * (330 * n)]),
    "unknown-fields": lambda n: _text(**{f"x{i}": 1 for i in range(80 * n)}),
    "an-unknown-field-of-integers": lambda n: _text(x=[1] * (330 * n)),
    "stop-sequences": lambda n: _text(stop=[" "] * (200 * n)),
    "logit-bias": lambda n: _text(logit_bias={str(i): 1 for i in range(90 * n)}),
    "metadata": lambda n: _text(metadata={f"m{i}": "v" for i in range(70 * n)}),
    "a-long-suffix": lambda n: _text(suffix="word " * (200 * n)),
    "messages": lambda n: _text(messages=[_HELLO] * (28 * n)),
    "a-response-format": lambda n: _text(
        response_format={
            "type": "json_schema",
            "json_schema": {
                "name": "n",
                "schema": {
                    "type": "object",
                    "properties": {f"p{i}": {"type": "string"} for i in range(35 * n)},
                },
            },
        }
    ),
    "unpaired-surrogates": lambda n: _text(prompt="\ud83d" * (160 * n)),
    "integers-as-stop-sequences": lambda n: _text(stop=[1] * (330 * n)),
    "not-an-object": lambda n: json.dumps([{}] * (240 * n)).encode(),
    "no-end": lambda n: _text(prompt="word " * (200 * n))[:-1],
}
