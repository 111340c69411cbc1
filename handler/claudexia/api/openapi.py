"""The OpenAPI description of the routes. Only a request for /openapi.json imports this module.

FastAPI knows the paths, but no bodies. Request schemas come from the pydantic model CompletionCreateParams, response
schemas from the TypedDicts of `translate.types.openai`.

Source: https://spec.openapis.org/oas/v3.1.0
"""

import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from claudexia.api.text_completions import TextCompletion, TextCompletionChunk, rejected_fields
from claudexia.errors import ErrorResponse
from claudexia.translate.types.openai import ChatCompletion, ChatCompletionChunk, Model, ModelList
from claudexia.translate.types.params import CompletionCreateParams

_Schema = dict[str, Any]
_REF = "#/components/schemas/{model}"
_KEY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
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
_MODEL_PARAMETER = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}

_KEY_ERRORS = {
    401: "The API key is missing or wrong",
    403: "The API key may not use this model",
    500: "The gateway or the upstream failed",
    503: "The upstream or the table of keys is not available",
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


def describe(description: _Schema) -> _Schema:
    """FastAPI's `description`, completed."""
    schemas: _Schema = {}
    for response in (ChatCompletionChunk, TextCompletionChunk, ErrorResponse):
        _schema_of(response, schemas)
    schemas |= _request_schemas()
    operations = {
        ("/v1/chat/completions", "post"): {
            "requestBody": _request_body("CompletionCreateParams"),
            "responses": _completion_responses(ChatCompletion, "ChatCompletionChunk", schemas),
        },
        ("/v1/completions", "post"): {
            "requestBody": _request_body("TextCompletionCreateParams"),
            "responses": _completion_responses(TextCompletion, "TextCompletionChunk", schemas),
        },
        ("/v1/models", "get"): {"responses": _responses(ModelList, schemas, _KEY_ERRORS)},
        ("/v1/models/{model}", "get"): {
            "parameters": [_MODEL_PARAMETER],
            "responses": _responses(Model, schemas, _MODEL_ERRORS),
        },
        ("/v1/health", "get"): {
            "security": [],
            "responses": {
                "200": _response("The gateway runs", {_JSON: _health()}),
                **_errors({500: "It failed"}),
            },
        },
    }
    for (path, method), operation in operations.items():
        description["paths"][path][method].update(operation)
    description["components"] = {"schemas": schemas, "securitySchemes": _KEY_SCHEMES}
    description["security"] = [{name: []} for name in _KEY_SCHEMES]
    return description


def _request_schemas() -> _Schema:
    """The two request bodies and what they refer to."""
    chat = CompletionCreateParams.model_json_schema(ref_template=_REF)
    definitions = chat.pop("$defs", {})
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
    return {**definitions, "CompletionCreateParams": chat, "TextCompletionCreateParams": text}


def _request_body(name: str) -> _Schema:
    return {"required": True, "content": {_JSON: {"schema": _reference(name)}}}


def _completion_responses(response: type, chunk: str, schemas: _Schema) -> _Schema:
    responses = _responses(response, schemas, _COMPLETION_ERRORS)
    success = responses["200"]
    success["headers"] = {**success["headers"], **_WARNINGS}
    success["content"][_EVENTS] = {
        "schema": {
            "type": "string",
            "description": f"With `stream`: one `data:` line per {chunk}, then `data: [DONE]`. A failure after the "
            "start is one line with an ErrorResponse, without [DONE].",
        }
    }
    return responses


def _responses(response: type, schemas: _Schema, errors: Mapping[int, str]) -> _Schema:
    success = _response("Success", {_JSON: _schema_of(response, schemas)})
    return {"200": success, **_errors(errors)}


def _errors(errors: Mapping[int, str]) -> _Schema:
    content = {_JSON: _reference("ErrorResponse")}
    return {str(status): _response(errors[status], content) for status in sorted(errors)}


def _response(description: str, content: Mapping[str, _Schema]) -> _Schema:
    return {
        "description": description,
        "headers": dict(_HEADERS),
        "content": {media_type: {"schema": schema} for media_type, schema in content.items()},
    }


def _health() -> _Schema:
    return {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]}


def _reference(name: str) -> _Schema:
    return {"$ref": _REF.format(model=name)}


_SIMPLE: Mapping[object, _Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    None: {"type": "null"},
    object: {},
}


def _schema_of(kind: Any, schemas: _Schema) -> _Schema:
    """The JSON Schema of a type of the response objects. Schemas of TypedDicts are added to `schemas`.

    pydantic does not read the standard library's TypedDict before Python 3.12.
    """
    if is_typeddict(kind):
        return _typed_dict(kind, schemas)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": _schemas_of(arguments, schemas)}
    if origin is list:
        return {"type": "array", "items": _schema_of(arguments[0], schemas)}
    return dict(_SIMPLE[kind])


def _schemas_of(kinds: Sequence[object], schemas: _Schema) -> list[_Schema]:
    return [_schema_of(kind, schemas) for kind in kinds]


def _typed_dict(kind: Any, schemas: _Schema) -> _Schema:
    name = kind.__name__
    if name not in schemas:
        schemas[name] = {}  # a type may refer to itself
        hints = get_type_hints(kind)
        properties = {key: _schema_of(hint, schemas) for key, hint in hints.items()}
        schemas[name] = {
            "title": name,
            "type": "object",
            "properties": properties,
            "required": sorted(kind.__required_keys__),
        }
        if kind.__doc__:
            schemas[name]["description"] = " ".join(kind.__doc__.split())
    return _reference(name)
