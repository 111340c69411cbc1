"""For each rule about parameters, turns, tools and schemas: requests that violate this rule only."""

from typing import Any

Json = Any

NEW, WITH_FORCED_TOOL, WITH_SAMPLING, WITH_PREFILL = (
    "claude-opus-5-5",
    "claude-haiku-5-5",
    "claude-sonnet-4-6",
    "claude-sonnet-4-5",
)
FULL_EFFORT = "claude-opus-4-5"


def request(*messages: Json, **fields: Json) -> Json:
    """A request for a new model with these messages, or with a greeting."""
    return {"model": NEW, "max_tokens": 9, "messages": list(messages) or [user("Hello")], **fields}


def user(*content: Json) -> Json:
    return {"role": "user", "content": content[0] if content and isinstance(content[0], str) else list(content)}


def assistant(*content: Json) -> Json:
    return {**user(*content), "role": "assistant"}


def text(words: str = "a", **fields: Json) -> Json:
    return {"type": "text", "text": words, **fields}


def call(id_: str = "t1", **fields: Json) -> Json:
    return {"type": "tool_use", "id": id_, "name": "f", "input": {}, **fields}


def result(id_: str = "t1", **fields: Json) -> Json:
    return {"type": "tool_result", "tool_use_id": id_, **fields}


def tool(name: str = "f", **fields: Json) -> Json:
    return {"name": name, "input_schema": {"type": "object", "properties": {}}, **fields}


def schema(**fields: Json) -> Json:
    """A request with a tool that has these fields in its schema."""
    return request(tools=[tool(input_schema={"type": "object", **fields})])


def output(value: Json, **fields: Json) -> Json:
    """A request with structured output: a closed object with one property of this schema."""
    return request(output_config={"format": {"type": "json_schema", "schema": closed(a=value)}}, **fields)


def closed(**properties: Json) -> Json:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip


def search(**fields: Json) -> Json:
    return request(tools=[{**SEARCH[0], **fields}])


TOOLS = [tool()]
SEARCH = [{"type": "web_search_20250305", "name": "web_search"}]
STRING = {"type": "string"}
SERVER_CALL = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "a"}}
SERVER_RESULT = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
SYSTEM = {"role": "system", "content": "Now in French."}
ENABLED = {"type": "enabled", "budget_tokens": 1024}
FORCED = {"tools": TOOLS, "tool_choice": {"type": "any"}}

PARAMETERS = {
    "unknown key": [request(seed=1), request(metadata={"a": "b"}), request(user_profile_id="a")],
    "missing key": [{"model": NEW, "messages": [user("a")]}],
    "max_tokens negative": [request(max_tokens=-1)],
    "max_tokens zero": [
        request(max_tokens=0, stream=True),
        request(model=WITH_FORCED_TOOL, max_tokens=0, **FORCED),
    ],
    "max_tokens above": [request(max_tokens=128_001), request(model=WITH_PREFILL, max_tokens=64_001)],
    "blank stop sequence": [request(stop_sequences=["a", " \n"])],
    "sampling range": [request(model=WITH_SAMPLING, temperature=1.1), request(model=WITH_SAMPLING, top_p=-0.1)],
    "sampling of model": [
        request(temperature=0.5),
        request(top_k=3),
        request(model="claude-opus-4-7", top_p=0.9),
    ],
    "temperature and top_p": [request(model=WITH_SAMPLING, temperature=1, top_p=1)],
    "sampling with thinking": [
        request(model=WITH_SAMPLING, thinking={"type": "adaptive"}, temperature=0.5),
        request(model=WITH_SAMPLING, thinking={"type": "adaptive"}, top_p=0.94),
        request(model=WITH_PREFILL, max_tokens=2000, thinking=ENABLED, top_k=5),
    ],
    "effort": [request(output_config={"effort": "minimal"})],
    "effort of model": [
        request(model=WITH_PREFILL, output_config={"effort": "low"}),
        request(model=WITH_SAMPLING, output_config={"effort": "xhigh"}),
        request(model=FULL_EFFORT, output_config={"effort": "max"}),
    ],
    "inference_geo": [request(model=WITH_PREFILL, inference_geo="us"), request(inference_geo="mars")],
    "speed": [request(model="claude-opus-4-7", speed="fast")],
    "types": [request(max_tokens="9"), request(metadata={"user_id": 1}), request(service_tier="flex")],
}

TURNS = {
    "no messages": [request(messages=[])],
    "role": [request(user("a"), {"role": "tool", "content": "b"})],
    "first turn": [request(assistant("a"), user("b"))],
    "empty content": [request(user("")), request({"role": "user", "content": []})],
    "system turn of model": [request(user("a"), SYSTEM, model="claude-sonnet-5")],
    "system turn place": [
        request(SYSTEM, user("a")),
        request(user("a"), SYSTEM, user("b")),
        request(user("a"), assistant("b"), SYSTEM),
    ],
    "tool_use unanswered": [
        request(user("a"), assistant(call()), user("b"), tools=TOOLS),
        request(user("a"), assistant(call(), call("t2")), user(result()), tools=TOOLS),
    ],
    "tool_result without call": [
        request(user(result()), tools=TOOLS),
        request(user("a"), assistant(call()), user(result(), result("t2")), tools=TOOLS),
    ],
    "duplicate tool_result": [request(user("a"), assistant(call()), user(result(), result()), tools=TOOLS)],
    "tool_result first": [request(user("a"), assistant(call()), user(text(), result()), tools=TOOLS)],
    "duplicate tool_use id": [
        request(user("a"), assistant(call()), user(result()), assistant(call()), user(result()), tools=TOOLS),
    ],
    "calls without tools": [request(user("a"), assistant(call()), user(result()))],
    "server tool without result": [request(user("a"), assistant(SERVER_CALL), user("b"), tools=SEARCH)],
    "pending server tool": [
        request(user("a"), assistant(SERVER_CALL, call()), user(result(), text()), tools=TOOLS),
    ],
    "prefill of model": [
        request(user("a"), assistant("b")),
        request(user("a"), assistant("b"), model=WITH_SAMPLING),
    ],
    "prefill with thinking": [
        request(user("a"), assistant("b"), model=WITH_PREFILL, max_tokens=2000, thinking=ENABLED),
    ],
    "prefill with format": [output(STRING, model=WITH_PREFILL, messages=[user("a"), assistant("b")])],
    "prefill whitespace": [request(user("a"), assistant("b "), model=WITH_PREFILL)],
}

DEFINITIONS = {
    "tool type": [request(tools=[{"type": "web_search_20990101", "name": "web_search"}])],
    "tool key": [request(tools=[tool(parameters={})])],
    "tool name": [request(tools=[tool("a.b")]), request(tools=[tool("a" * 65)])],
    "duplicate tool name": [request(tools=[tool(), tool()])],
    "input_schema missing": [request(tools=[{"name": "f"}])],
    "input_schema type": [request(tools=[tool(input_schema={"properties": {}})])],
    "input_schema union": [schema(anyOf=[{}]), schema(oneOf=[{}]), schema(allOf=[{}])],
    "input_schema draft": [schema(properties={"a": {"type": "text"}}), schema(required="a")],
    "property name": [
        schema(properties={"$filter": {}}),
        schema(properties={"filter[name]": {}}),
        schema(properties={"two words": {}}),
        schema(properties={"größe": {}}),
        schema(properties={"a" * 65: {}}),
        schema(properties={"": {}}),
    ],
    "input_examples": [
        request(tools=[tool(input_schema={"type": "object", "required": ["a"]}, input_examples=[{"b": 1}])]),
    ],
    "tool_choice shape": [
        request(tools=TOOLS, tool_choice={"type": "required"}),
        request(tools=TOOLS, tool_choice={"type": "none", "disable_parallel_tool_use": True}),
        request(tools=TOOLS, tool_choice={"type": "auto", "name": "f"}),
    ],
    "tool_choice without tools": [request(tool_choice={"type": "auto"})],
    "tool_choice name": [request(model=WITH_FORCED_TOOL, tools=TOOLS, tool_choice={"type": "tool", "name": "g"})],
    "forced tool of model": [request(**FORCED), request(model="claude-mythos-preview", **FORCED)],
    "forced tool with thinking": [request(model=WITH_SAMPLING, max_tokens=2000, thinking=ENABLED, **FORCED)],
    "web search shape": [search(max_uses=0), search(query="a"), search(name="search")],
    "web search domains": [search(allowed_domains=["a.com"], blocked_domains=["b.com"])],
    "web search location": [search(user_location={"type": "exact"}), search(user_location={"type": "approximate", "zip": "1"})],
}  # fmt: skip

LOOP = {"type": "object", "properties": {"b": {"$ref": "#/$defs/a"}}, "additionalProperties": False}
SCHEMAS = {
    "format key": [request(output_config={"format": {"type": "json_schema", "schema": closed(), "strict": True}})],
    "schema draft": [output({"type": "string", "title": 1})],
    "schema open": [
        output({"type": "object", "properties": {}}),
        output({"type": ["object", "null"], "additionalProperties": True}),
        request(tools=[tool(strict=True)]),
    ],
    "schema type": [output({}), output({"description": "anything"})],
    "schema bound": [
        *(output({**STRING, key: 1}) for key in ("minLength", "maxLength")),
        *(output({"type": "number", key: 1}) for key in ("minimum", "exclusiveMaximum", "multipleOf")),
        *(output({"type": "array", "items": STRING, key: 2}) for key in ("minItems", "maxItems")),
    ],
    "schema keyword": [output({"oneOf": [STRING]}), output({**STRING, "not": {"const": "a"}}), output({**STRING, "if": {}})],
    "schema format": [output({**STRING, "format": "regex"})],
    "schema pattern": [output({**STRING, "pattern": pattern}) for pattern in ("^(?=a)", r"(a)\1", r"\ba")],
    "schema enum": [output({"enum": [{"a": 1}]})],
    "schema allOf": [
        output({"allOf": [{"$ref": "#/properties/b"}]}) | {"output_config": {"format": {"type": "json_schema", "schema": {
            **closed(a={"allOf": [{"$ref": "#/$defs/b"}]}), "$defs": {"b": STRING}}}}},
    ],
    "schema reference": [output({"$ref": "https://example.com/a.json"}), output({"$ref": "#/$defs/b"})],
    "schema recursion": [
        output({"$ref": "#"}),
        request(tools=[tool(strict=True, input_schema={**closed(a={"$ref": "#/$defs/a"}), "$defs": {"a": LOOP}})]),
    ],
    "schema optional": [output({**closed(**{f"p{n}": STRING for n in range(25)}), "required": []})],
    "schema unions": [output(closed(**{f"p{n}": {"type": ["string", "null"]} for n in range(17)}))],
    "strict tools": [request(tools=[tool(f"f{n}", strict=True, input_schema=closed()) for n in range(21)])],
}  # fmt: skip
