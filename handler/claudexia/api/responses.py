"""POST /v1/responses, and the responses that are stored.

    body -> ResponseCreateParams -> the stored items that it refers to -> to_response_pieces -> ...
    -> to_response, or ResponseStream for each event -> the store, before the response ends

Source: https://platform.openai.com/docs/api-reference/responses
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, cast

from fastapi import Request
from pydantic_core import to_json

from claudexia.access.keys import Key
from claudexia.access.response_store import ResponseStore, StoredResponse
from claudexia.api.completions import Caller, CompletionRequest, ResponseContext
from claudexia.errors import APIError, invalid_request, shorten
from claudexia.generation.concurrency import in_thread_if_large
from claudexia.translate.report import FieldWarning, Report
from claudexia.translate.request.build import Origin
from claudexia.translate.request.parse import read_json, validated
from claudexia.translate.request.responses import LocatedItem, ResponsePieces, to_response_pieces
from claudexia.translate.response.output_items import Event, ItemOptions
from claudexia.translate.response.responses import (
    ResponseStream,
    response_id_of,
    to_response,
)
from claudexia.translate.sse import named_event
from claudexia.translate.types.anthropic import Message, MessageStreamEvent, Usage
from claudexia.translate.types.base import LongItems, Params
from claudexia.translate.types.response_items import ItemReference, ResponseItem
from claudexia.translate.types.response_params import ResponseCreateParams
from claudexia.translate.types.responses import InputItemList, Response, ResponseDeleted, ResponseSettings

# An item, or another part of a body, as JSON.
_Json = Mapping[str, Any]

_MAX_LISTED, _LISTED = 100, 20


class _StoredItems(Params):
    items: LongItems[ResponseItem]


@dataclass(frozen=True, slots=True)
class ResponsesRequest(CompletionRequest):
    """`input` are the items of the whole conversation; `stored` is whether the response will be kept.

    `body_size` is that of the request's body.
    """

    pieces: ResponsePieces | None = None
    settings: ResponseSettings | None = None
    input: Sequence[_Json] = ()
    stored: bool = False
    body_size: int = 0


class _Earlier(NamedTuple):
    """What a request refers to: the items before its own, those that its references stand for by the index of
    the reference, and the bytes of JSON that were loaded for both.
    """

    items: Sequence[_Json]
    referenced: Mapping[int, _Json]
    size: int


class Responses:
    """The API of OpenAI's responses. Without a `store`, no response is kept."""

    def __init__(self, store: ResponseStore | None) -> None:
        self._store = store

    async def read(self, body: bytes, caller: Caller, report: Report) -> CompletionRequest:
        params, given = await in_thread_if_large(len(body), _read, body)
        if params.store and self._store is None:
            report.at("store").warn("this deployment keeps no responses")
        stored = params.store is not False and self._store is not None
        earlier = await self._earlier(params, caller, report)
        size = len(body) + earlier.size
        located, items = await in_thread_if_large(size, _conversation, params, given["input"], earlier)
        pieces = await in_thread_if_large(size, to_response_pieces, params, located, report)
        return ResponsesRequest(
            pieces.params,
            Origin(params, pieces.report),
            size,
            pieces,
            _settings(given, stored),
            items if stored else (),
            stored,
            len(body),
        )

    def body(self, messages: Sequence[Message], context: ResponseContext, cost: float | None) -> bytes:
        response = _whole(messages[0], context)
        if cost is not None and response["usage"]:
            response["usage"]["cost"] = cost
        return to_json(response)

    def encoder(self, messages: Sequence[Message], context: ResponseContext) -> "ResponseEncoder":
        return ResponseEncoder(messages[0], context)

    async def save(self, message: Message, context: ResponseContext) -> FieldWarning | None:
        request = cast("ResponsesRequest", context.request)
        if request.stored and self._store:
            response = cast("_Json", _whole(message, context))
            items = await in_thread_if_large(request.body_size, _with_ids, request.input, response["id"])
            caller = context.caller
            if not await self._store.save(caller.key_id, StoredResponse(response, items), caller.now):
                cast("ResponseSettings", request.settings)["store"] = False  # for what is not sent yet
                return FieldWarning("store", "the response could not be stored")
        return None

    async def _earlier(self, params: ResponseCreateParams, caller: Caller, report: Report) -> "_Earlier":
        """What the request refers to. Raises APIError if a response or an item is not stored."""
        before: list[_Json] = []
        size = 0
        if params.previous_response_id:
            previous = await self._load(params.previous_response_id, caller)
            if previous is None:
                raise _previous_not_found(params.previous_response_id)
            before, size = [*previous.input, *previous.response["output"]], previous.size
        if isinstance(params.input, str):
            return _Earlier(before, {}, size)
        ids = {index: item.id for index, item in enumerate(params.input) if isinstance(item, ItemReference)}
        if not ids:
            return _Earlier(before, {}, size)
        found, found_size = await self._referenced(ids, caller, report)
        return _Earlier(before, found, size + found_size)

    async def _referenced(
        self, ids: Mapping[int, str], caller: Caller, report: Report
    ) -> tuple[dict[int, _Json], int]:
        """The stored items by the index of the reference to each, and the bytes that were loaded for them.

        The last reference is looked up first: the newest response has the items of the conversation before it.
        So few responses are loaded, however many references there are.
        """
        places = {id_: index for index, id_ in reversed([*ids.items()])}
        for index, id_ in ids.items():
            if places[id_] != index:
                raise _duplicate_item(id_)
        found: dict[str, _Json] = {}
        size = 0
        for id_, index in places.items():
            if id_ in found:
                continue
            response_id = response_id_of(id_)
            stored = await self._load(response_id, caller) if response_id else None
            if stored:
                size += stored.size
                for key, item in _by_id(stored).items():
                    found.setdefault(key, item)
            if id_ not in found:
                raise _item_not_found(id_, report.at("input", index, "id"))
        return {index: found[id_] for index, id_ in ids.items()}, size

    async def _load(self, response_id: str, caller: Caller) -> StoredResponse | None:
        return await self._store.load(caller.key_id, response_id, caller.now) if self._store else None


class ResponseEncoder:
    """Encodes one streamed response as events with names."""

    def __init__(self, message: Message, context: ResponseContext) -> None:
        request = cast("ResponsesRequest", context.request)
        self._stream = ResponseStream(
            message,
            created=context.created,
            settings=cast("ResponseSettings", request.settings),
            options=_item_options(context),
        )

    def feed(self, index: int, event: MessageStreamEvent) -> bytes:
        return _frames(self._stream.feed(event))

    def end(self, usage: Usage, cost: float | None) -> bytes:
        return _frames([self._stream.end(usage, cost)])

    def error(self, error: APIError) -> bytes:
        return _frames(self._stream.fail(error))

    def keep_alive(self) -> bytes:
        return _frames(self._stream.keep_alive())


class StoredResponses:
    """The routes of stored responses. Each raises APIError 404 for a response that the key does not have.

    `now` returns the time with its zone.
    """

    def __init__(self, store: ResponseStore | None, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    async def retrieve(self, request: Request, key: Key) -> _Json:
        if request.query_params.get("stream") == "true":
            raise invalid_request("A stored response is not streamed again: leave out 'stream'.", "stream")
        return (await self._load(request, key)).response

    async def delete(self, request: Request, key: Key) -> ResponseDeleted:
        stored = await self._load(request, key)
        if self._store:
            await self._store.delete(key.id, stored.response["id"])
        return {"id": stored.response["id"], "object": "response", "deleted": True}

    async def cancel(self, request: Request, key: Key) -> _Json:
        await self._load(request, key)
        raise invalid_request("Cannot cancel a synchronous response.", None)

    async def list_input(self, request: Request, key: Key) -> InputItemList:
        stored = await self._load(request, key)
        query = request.query_params
        items = [*stored.input] if query.get("order") == "asc" else [*reversed(stored.input)]
        ids = [item["id"] for item in items]
        if after := query.get("after"):
            if after not in ids:
                raise invalid_request(f"No item with the id '{shorten(after, 60)}'.", "after")
            items = items[ids.index(after) + 1 :]
        limit = _limit(query.get("limit"))
        listed = items[:limit]
        return {
            "object": "list",
            "data": listed,
            "first_id": listed[0]["id"] if listed else "",
            "last_id": listed[-1]["id"] if listed else "",
            "has_more": len(items) > limit,
        }

    async def _load(self, request: Request, key: Key) -> StoredResponse:
        id_ = request.path_params["response_id"]
        stored = await self._store.load(key.id, id_, self._now()) if self._store else None
        if stored is None:
            raise APIError(404, f"Response with id '{shorten(id_, 60)}' not found.")
        return stored


def _whole(message: Message, context: ResponseContext) -> Response:
    request = cast("ResponsesRequest", context.request)
    settings = cast("ResponseSettings", request.settings)
    return to_response(message, created=context.created, settings=settings, options=_item_options(context))


def _item_options(context: ResponseContext) -> ItemOptions:
    pieces = cast("ResponsePieces", cast("ResponsesRequest", context.request).pieces)
    return ItemOptions(context.options[0], pieces.namespaces, pieces.shows_summary, pieces.shows_sources)


def _frames(events: Sequence[Event]) -> bytes:
    return b"".join(map(named_event, events))


def _read(body: bytes) -> tuple[ResponseCreateParams, _Json]:
    """The request, and its fields as JSON."""
    document = read_json(body)
    return validated(ResponseCreateParams, document), cast("_Json", document)


def _settings(given: _Json, stored: bool) -> ResponseSettings:
    """What the response repeats of the request, with OpenAI's defaults in place of what is missing or null."""
    sent = {name: value for name, value in given.items() if value is not None}
    return {
        "instructions": sent.get("instructions"),
        "max_output_tokens": sent.get("max_output_tokens"),
        "max_tool_calls": sent.get("max_tool_calls"),
        "metadata": sent.get("metadata", {}),
        "parallel_tool_calls": sent.get("parallel_tool_calls", True),
        "previous_response_id": sent.get("previous_response_id"),
        "prompt_cache_key": sent.get("prompt_cache_key"),
        "reasoning": {"effort": None, "summary": None, **sent.get("reasoning", {})},
        "safety_identifier": sent.get("safety_identifier"),
        "store": stored,
        "temperature": sent.get("temperature", 1.0),
        "text": {"format": {"type": "text"}, "verbosity": "medium", **sent.get("text", {})},
        "tool_choice": sent.get("tool_choice", "auto"),
        "tools": [_tool(tool) for tool in sent.get("tools", ())],
        "top_p": sent.get("top_p", 1.0),
        "truncation": "disabled",
        "user": sent.get("user"),
    }


def _tool(tool: _Json) -> _Json:
    if tool.get("type") != "function" or "function" in tool:
        return tool
    return {"description": None, "parameters": None, "strict": False, **tool}


# Stored items


def _conversation(
    params: ResponseCreateParams, given: str | list[_Json], earlier: _Earlier
) -> tuple[list[LocatedItem], list[_Json]]:
    """The items of the whole conversation: parsed, with their places, and as JSON."""
    located = [LocatedItem(item, ("previous_response_id",)) for item in _parsed(earlier.items)]
    if isinstance(given, str):
        message: _Json = {"type": "message", "role": "user", "content": given}
        located += [LocatedItem(item, ("input",)) for item in _parsed([message])]
        return located, [*earlier.items, message]
    parsed, items = cast("list[ResponseItem]", params.input), [*earlier.items, *given]
    referenced = earlier.referenced
    for index, item in zip(referenced, _parsed([*referenced.values()]), strict=True):
        parsed[index] = item
        items[len(earlier.items) + index] = referenced[index]
    located += [LocatedItem(item, ("input", index)) for index, item in enumerate(parsed)]
    return located, items


def _parsed(items: Sequence[_Json]) -> list[ResponseItem]:
    return _StoredItems.model_validate({"items": items}).items if items else []


def _by_id(stored: StoredResponse) -> dict[str, _Json]:
    return {item["id"]: item for item in (*stored.input, *stored.response["output"])}


_ID_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "reasoning": "rs",
    "web_search_call": "ws",
}


def _with_ids(items: Sequence[_Json], response_id: str) -> list[_Json]:
    key = response_id.removeprefix("resp_")
    return [_with_id(item, f"{key}_i{index}") for index, item in enumerate(items)]


def _with_id(item: _Json, id_: str) -> _Json:
    """The item as OpenAI lists it: with a type, an id, and the content of a message as parts."""
    kind = item.get("type") or "message"
    named: dict[str, Any] = {**item, "type": kind}
    if not item.get("id"):
        named["id"] = f"{_ID_PREFIXES.get(kind, 'item')}_{id_}"
    if kind == "message":
        named |= {"status": "completed", "content": _parts(item)}
    return named


def _parts(message: _Json) -> object:
    content = message.get("content")
    if not isinstance(content, str):
        return content or []
    if message["role"] == "assistant":
        return [{"type": "output_text", "text": content, "annotations": []}]
    return [{"type": "input_text", "text": content}]


def _limit(text: str | None) -> int:
    if text is None:
        return _LISTED
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_LISTED:
        raise invalid_request(
            f"Invalid 'limit': expected an integer from 1 to {_MAX_LISTED}.", "limit", "invalid_value"
        )
    return int(text)


def _previous_not_found(id_: str) -> APIError:
    return invalid_request(
        f"Previous response with id '{shorten(id_, 60)}' not found.",
        "previous_response_id",
        "previous_response_not_found",
    )


def _duplicate_item(id_: str) -> APIError:
    """As OpenAI answers. Each reference would send the whole item once more."""
    return invalid_request(
        f"Duplicate item found with id {shorten(id_, 60)}. Remove duplicate items from your input and try "
        "again.",
        "input",
    )


def _item_not_found(id_: str, report: Report) -> APIError:
    return APIError(
        404,
        f"Item with id '{shorten(id_, 60)}' not found. Items are kept only with their response, while it is "
        "stored; send the item itself.",
        param=report.param,
    )
