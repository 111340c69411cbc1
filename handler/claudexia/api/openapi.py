"""The OpenAPI description of the routes. Only a request for /openapi.json imports this module.

FastAPI knows the paths, but no bodies. The schemas of requests come from the pydantic models
CompletionCreateParams and ResponseCreateParams, those of responses from the TypedDicts of `translate.types`. Of
the Messages API, only what the gateway itself reads is described: the rest is relayed.

Source: https://spec.openapis.org/oas/v3.1.0
"""

import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from claudexia.api.http import COUNT_TOKENS, MESSAGES
from claudexia.api.text_completions import TextCompletion, TextCompletionChunk, rejected_fields
from claudexia.errors import AnthropicErrorResponse, ErrorResponse
from claudexia.translate.types.anthropic import Flags, ModelInfo, ModelInfoPage
from claudexia.translate.types.openai import ChatCompletion, ChatCompletionChunk, Model, ModelList
from claudexia.translate.types.params import CompletionCreateParams
from claudexia.translate.types.response_params import ResponseCreateParams
from claudexia.translate.types.responses import InputItemList, Response, ResponseDeleted

_Schema = dict[str, Any]
_REF = "#/components/schemas/{model}"
_KEY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
_JSON, _EVENTS = "application/json", "text/event-stream"
_HEADERS = {
    "x-request-id": {"description": "The request's id", "schema": {"type": "string"}},
    "openai-processing-ms": {"description": "Milliseconds until the response", "schema": {"type": "string"}},
}
_WARNINGS = {
    "x-claudexia-warnings": {
        "description": "The request's fields that were left out or changed",
        "schema": {"type": "string"},
    }
}
_HEALTH = {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]}
_RESPONSE_PARAMETER = {"name": "response_id", "in": "path", "required": True, "schema": {"type": "string"}}
_MODEL_PARAMETER = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}

_KEY_ERRORS = {
    401: "The API key is missing or wrong",
    403: "The API key may not use this model",
    500: "The gateway or the upstream failed",
    503: "The upstream or the table of keys is not available",
}
_STORED_ERRORS = {
    **_KEY_ERRORS,
    400: "A parameter of the query is invalid, or the response cannot be cancelled",
    404: "The key has no such response",
}
_MODEL_ERRORS = {**_KEY_ERRORS, 404: "The model does not exist"}
_COMPLETION_ERRORS = {
    **_MODEL_ERRORS,
    400: "The request is invalid, or Claude does not support a field of it",
    409: "The upstream refused the request because of a conflict",
    413: "The request is too large",
    429: "A limit of the key or of the upstream is reached, or its money is spent",
    502: "The upstream failed, or refused the gateway's credential",
    504: "The upstream or the response took too long",
}
_MESSAGE_ERRORS = {
    **{status: text for status, text in _COMPLETION_ERRORS.items() if status != 503},
    402: "The upstream's account is not paid",
    529: "The upstream or the table of keys is not available",
}
_MAX_TOKENS = {"max_tokens": {"type": "integer"}}
_MESSAGE_FIELDS = {
    "model": {"type": "string", "description": "A Claude model, or an alias of this gateway"},
    "messages": {"type": "array", "items": {"type": "object"}},
}


def describe(description: _Schema) -> _Schema:
    """FastAPI's `description`, completed."""
    requests = _request_schemas()
    schemas = _ResponseSchemas(requests)
    for response in (ChatCompletionChunk, TextCompletionChunk, ErrorResponse, AnthropicErrorResponse):
        schemas.schema_of(response)
    operations = {
        ("/v1/chat/completions", "post"): {
            "requestBody": _request_body("CompletionCreateParams"),
            "responses": _completion_responses(ChatCompletion, "ChatCompletionChunk", schemas),
        },
        ("/v1/completions", "post"): {
            "requestBody": _request_body("TextCompletionCreateParams"),
            "responses": _completion_responses(TextCompletion, "TextCompletionChunk", schemas),
        },
        (f"/v1{MESSAGES}", "post"): {
            "requestBody": _message_request({**_MAX_TOKENS, "stream": {"type": "boolean"}}, ["max_tokens"]),
            "responses": _message_responses("The Message; with `stream`, its events"),
        },
        (f"/v1{COUNT_TOKENS}", "post"): {
            "requestBody": _message_request({}, []),
            "responses": _message_responses("The number of input tokens", events=False),
        },
        ("/v1/models", "get"): {"responses": _responses(ModelList | ModelInfoPage, schemas, _KEY_ERRORS)},
        ("/v1/models/{model}", "get"): {
            "parameters": [_MODEL_PARAMETER],
            "responses": _responses(Model | ModelInfo, schemas, _MODEL_ERRORS),
        },
        ("/v1/health", "get"): {
            "security": [],
            "responses": {
                "200": _response("The gateway runs", {_JSON: _HEALTH}),
                **_errors({500: "It failed"}),
            },
        },
    }
    operations |= _response_operations(schemas)
    for (path, method), operation in operations.items():
        description["paths"][path][method].update(operation)
    description["components"] = {"schemas": {**requests, **schemas.named}, "securitySchemes": _KEY_SCHEMES}
    description["security"] = [{name: []} for name in _KEY_SCHEMES]
    return description


def _response_operations(schemas: "_ResponseSchemas") -> dict[tuple[str, str], _Schema]:
    """The Responses API and the responses that are stored."""
    one = "/v1/responses/{response_id}"
    created = _responses(Response, schemas, _COMPLETION_ERRORS)
    created["200"]["headers"] |= _WARNINGS
    created["200"]["content"][_EVENTS] = {
        "schema": {
            "description": "With `stream`: an `event:` and a `data:` line per event. The last one is "
            "response.completed, response.incomplete or response.failed, with the whole response.",
        }
    }
    query = [
        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
        {"name": "order", "in": "query", "schema": {"enum": ["asc", "desc"]}},
        {"name": "after", "in": "query", "schema": {"type": "string"}},
    ]
    known = {"parameters": [_RESPONSE_PARAMETER]}
    return {
        ("/v1/responses", "post"): {
            "requestBody": _request_body("ResponseCreateParams"), "responses": created
        },
        (one, "get"): {**known, "responses": _responses(Response, schemas, _STORED_ERRORS)},
        (one, "delete"): {**known, "responses": _responses(ResponseDeleted, schemas, _STORED_ERRORS)},
        (f"{one}/input_items", "get"): {
            "parameters": [_RESPONSE_PARAMETER, *query],
            "responses": _responses(InputItemList, schemas, _STORED_ERRORS),
        },
        (f"{one}/cancel", "post"): {**known, "responses": _errors(_STORED_ERRORS)},
    }  # fmt: skip


def _request_schemas() -> _Schema:
    """The request bodies and what they refer to."""
    chat = _with_any_of(CompletionCreateParams.model_json_schema(ref_template=_REF))
    definitions = chat.pop("$defs", {})
    response = _with_any_of(ResponseCreateParams.model_json_schema(ref_template=_REF))
    definitions |= response.pop("$defs", {})
    rejected = {"messages", *rejected_fields()}
    fields = {name: schema for name, schema in chat["properties"].items() if name not in rejected}
    prompt = {
        "title": "Prompt",
        "anyOf": [
            {"type": "string", "pattern": r"\S"},
            {
                "type": "array",
                "items": {"type": "string", "pattern": r"\S"},
                "minItems": 1,
                "maxItems": 1,
            },
        ],
    }
    text = {
        **chat,
        "title": "TextCompletionCreateParams",
        "description": "The body of POST /v1/completions.",
        "properties": {"prompt": prompt, **fields},
        "required": ["prompt", "model"],
    }
    return {
        **definitions,
        "CompletionCreateParams": chat,
        "TextCompletionCreateParams": text,
        "ResponseCreateParams": response,
    }


def _with_any_of(node: Any) -> Any:
    """`node` with `anyOf` for each `oneOf` without a discriminator.

    pydantic writes such a `oneOf` for a union whose branch a function chooses. The branches' schemas overlap.
    """
    if isinstance(node, list):
        return [_with_any_of(item) for item in node]
    if not isinstance(node, dict):
        return node
    overlaps = isinstance(node.get("oneOf"), list) and "discriminator" not in node
    return {"anyOf" if key == "oneOf" and overlaps else key: _with_any_of(value) for key, value in node.items()}


def _request_body(name: str) -> _Schema:
    return {"required": True, "content": {_JSON: {"schema": _reference(name)}}}


def _message_request(fields: _Schema, required: list[str]) -> _Schema:
    schema = {
        "type": "object",
        "description": "Anthropic's request, relayed: https://platform.claude.com/docs/en/api/messages",
        "properties": {**_MESSAGE_FIELDS, **fields},
        "required": [*_MESSAGE_FIELDS, *required],
    }
    return {"required": True, "content": {_JSON: {"schema": schema}}}


def _message_responses(description: str, *, events: bool = True) -> _Schema:
    content: dict[str, _Schema] = {_JSON: {"type": "object"}}
    if events:
        content[_EVENTS] = {"description": "Anthropic's events"}
    return {
        "200": _response(description, content),
        **_errors(_MESSAGE_ERRORS, "AnthropicErrorResponse"),
    }


def _completion_responses(response: type, chunk: str, schemas: "_ResponseSchemas") -> _Schema:
    responses = _responses(response, schemas, _COMPLETION_ERRORS)
    success = responses["200"]
    success["headers"] = {**success["headers"], **_WARNINGS}
    success["content"][_EVENTS] = {
        "schema": {
            "description": f"With `stream`: one `data:` line per {chunk}, then `data: [DONE]`. A failure after "
            "the start is one line with an ErrorResponse, without [DONE].",
        }
    }
    return responses


def _responses(response: Any, schemas: "_ResponseSchemas", errors: Mapping[int, str]) -> _Schema:
    success = _response("Success", {_JSON: schemas.schema_of(response)})
    return {"200": success, **_errors(errors)}


def _errors(errors: Mapping[int, str], envelope: str = "ErrorResponse") -> _Schema:
    content = {_JSON: _reference(envelope)}
    return {str(status): _response(errors[status], content) for status in sorted(errors)}


def _response(description: str, content: Mapping[str, _Schema]) -> _Schema:
    return {
        "description": description,
        "headers": dict(_HEADERS),
        "content": {media_type: {"schema": schema} for media_type, schema in content.items()},
    }


def _reference(name: str) -> _Schema:
    return {"$ref": _REF.format(model=name)}


_SIMPLE: Mapping[object, _Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    object: {},
    Any: {},
    Flags: {"type": "object"},
}


class _ResponseSchemas:
    """The JSON Schemas of the response objects. `named` collects those of TypedDicts.

    `requests` are the schemas of requests, whose names are taken: a TypedDict of the same name gets a prefix.
    pydantic does not read the standard library's TypedDict before Python 3.12.
    """

    def __init__(self, requests: Mapping[str, _Schema]) -> None:
        self._requests = requests
        self.named: dict[str, _Schema] = {}

    def schema_of(self, kind: Any) -> _Schema:
        if is_typeddict(kind):
            return self._typed_dict(kind)
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.schema_of(argument) for argument in arguments]}
        if origin in (list, Sequence):
            return {"type": "array", "items": self.schema_of(arguments[0])}
        if origin is Mapping:
            return {"type": "object", "additionalProperties": self.schema_of(arguments[1])}
        return dict(_SIMPLE[kind])

    def _typed_dict(self, kind: Any) -> _Schema:
        name = f"Response{kind.__name__}" if kind.__name__ in self._requests else kind.__name__
        if name not in self.named:
            self.named[name] = schema = {"title": name, "type": "object"}
            if kind.__doc__:
                schema["description"] = " ".join(kind.__doc__.split())
            properties = {key: self.schema_of(hint) for key, hint in get_type_hints(kind).items()}
            schema |= {"properties": properties, "required": sorted(kind.__required_keys__)}
        return _reference(name)
