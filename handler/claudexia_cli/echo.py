"""EchoTransport: an embedded upstream which speaks the Messages API, to try the gateway without a key.

It says the last user turn back, calls the tool that is named there, and refuses what the API would refuse.
Events: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Annotated, Literal, TypedDict, cast

import httpx
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError

from claudexia_cli.emulator.runtime_api import Answer, HttpServer, Request

# --- claudexia.local.echo_schema
# Schema: as much of JSON Schema as the echo reads, and the smallest value that is worth showing for one.

# Neither a wish for one more level nor a schema that contains itself goes deeper than this.
MAX_DEPTH = 8


class Schema(BaseModel):
    """A JSON Schema (draft 2020-12); malformed ones are refused, as the API does."""

    model_config = ConfigDict(strict=True, extra="allow")

    type: str | list[str] | None = None
    const: object = None
    default: object = None
    enum: list[object] = []
    minimum: int | float = 1
    properties: "dict[str, Schema | bool]" = {}
    required: list[str] = []
    items: "Schema | bool" = True
    min_items: int = Field(default=0, alias="minItems")
    any_of: "list[Schema | bool]" = Field(default=[], alias="anyOf")
    one_of: "list[Schema | bool]" = Field(default=[], alias="oneOf")
    all_of: "list[Schema | bool]" = Field(default=[], alias="allOf")
    ref: str = Field(default="", alias="$ref")
    defs: "dict[str, Schema | bool]" = Field(default={}, alias="$defs")
    definitions: "dict[str, Schema | bool]" = {}

    @property
    def main_type(self) -> str:
        """Of several types the first that is not null; where none is said, what the other keywords mean."""
        named = [self.type] if isinstance(self.type, str) else self.type
        if named:
            return next((name for name in named if name != "null"), "null")
        told = {"properties": "object", "required": "object", "items": "array"}
        return next((kind for field, kind in told.items() if field in self.model_fields_set), "string")


def sample(root: Schema, text: str) -> object:
    """What `root` requires and no more, with `text` for every string."""
    return _Sampler(root, text).value(root, depth=0)


class _Sampler:
    def __init__(self, root: Schema, text: str) -> None:
        self._root = root
        self._text = text

    def value(self, schema: Schema | bool | None, depth: int) -> object:
        if not isinstance(schema, Schema):  # `true` or nothing: anything goes
            return self._text
        if "const" in schema.model_fields_set:
            return schema.const
        if "default" in schema.model_fields_set:
            return schema.default
        if schema.enum:
            return schema.enum[0]
        if schema.ref:
            return self.value(self._resolve(schema.ref), depth + 1) if depth < MAX_DEPTH else {}
        if options := schema.any_of or schema.one_of:
            return self.value(_choose(options, depth), depth)
        if schema.all_of:
            return self._all_of(schema, depth)
        return self._by_type(schema, depth)

    def _by_type(self, schema: Schema, depth: int) -> object:
        match schema.main_type:
            case "object":
                return {name: self.value(schema.properties.get(name), depth + 1) for name in schema.required}
            case "array":
                count = max(schema.min_items, 1 if depth < MAX_DEPTH // 2 else 0)
                return [self.value(schema.items, depth + 1) for _ in range(count)]
            case "integer" | "number":
                return schema.minimum
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._text

    def _all_of(self, schema: Schema, depth: int) -> object:
        """Objects are laid over each other; of anything else the last part has the last word."""
        values = [self._by_type(schema, depth), *(self.value(part, depth) for part in schema.all_of)]
        objects = [value for value in values if isinstance(value, dict)]
        return {name: value for part in objects for name, value in part.items()} if objects else values[-1]

    def _resolve(self, ref: str) -> Schema | bool | None:
        if ref == "#":
            return self._root
        name = ref.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
        return {**self._root.definitions, **self._root.defs}.get(name)


def _choose(options: Sequence[Schema | bool], depth: int) -> Schema | bool:
    """The first option that says something; deep down rather `null`, where a recursive schema ends."""
    wants_null = depth >= MAX_DEPTH // 2
    return min(options, key=lambda option: _is_null(option) != wants_null)


def _is_null(option: Schema | bool) -> bool:
    return isinstance(option, Schema) and option.main_type == "null"


# --- claudexia.local.echo_request
# EchoRequest: what POST /v1/messages takes, as far as the echo reads it.
#
# Shapes: https://platform.claude.com/docs/en/api/messages


class _Params(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class Text(_Params):
    type: Literal["text"]
    text: str


class ToolUse(_Params):
    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, object]


class ToolResult(_Params):
    type: Literal["tool_result"]
    tool_use_id: str
    content: "str | list[Block]" = ""


class Other(_Params):
    """Images, documents, thinking and whatever else the echo can only mention."""

    type: str


def _tag(block: object) -> str:
    kind = block.get("type") if isinstance(block, dict) else None
    return kind if kind in ("text", "tool_use", "tool_result") else "other"


Block = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[ToolUse, Tag("tool_use")]
    | Annotated[ToolResult, Tag("tool_result")]
    | Annotated[Other, Tag("other")],
    Discriminator(_tag),
]


def _as_blocks(content: object) -> object:
    """A string is short for one text block; an empty string for none."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content


class MessageParam(_Params):
    role: Literal["user", "assistant", "system"]
    content: Annotated[list[Block], BeforeValidator(_as_blocks)]


class Tool(_Params):
    """A tool of the client's; server tools have another `type` and no schema."""

    model_config = ConfigDict(strict=True, extra="allow")

    type: str = "custom"
    name: str = Field(pattern="^[a-zA-Z0-9_-]{1,128}$")
    input_schema: Schema | None = None


class ToolChoice(_Params):
    type: Literal["auto", "any", "tool", "none"] = "auto"
    name: str = ""


class Format(_Params):
    json_schema: Schema = Field(alias="schema")


class OutputConfig(_Params):
    format: Format | None = None


class EchoRequest(_Params):
    """All top-level parameters of the API; what the echo has no use for is known by its name only."""

    model_config = ConfigDict(strict=True, extra="forbid")

    model: str = Field(pattern=r"\S")
    messages: list[MessageParam]
    max_tokens: int = Field(ge=0)
    system: Annotated[list[Text], BeforeValidator(_as_blocks)] = []
    stop_sequences: list[Annotated[str, Field(pattern=r"\S")]] = []
    stream: bool = False
    tools: list[Tool] = []
    tool_choice: ToolChoice = ToolChoice()
    output_config: OutputConfig = OutputConfig()

    cache_control: object = None
    container: object = None
    diagnostics: object = None
    inference_geo: object = None
    metadata: object = None
    service_tier: object = None
    speed: object = None
    temperature: object = None
    thinking: object = None
    top_k: object = None
    top_p: object = None


@dataclass(frozen=True, slots=True)
class Turn:
    """Neighbouring messages of one role, which the API reads as one; `index` is that of the first."""

    index: int
    role: str
    blocks: Sequence[Block]


def turns(messages: Sequence[MessageParam]) -> list[Turn]:
    return [
        Turn(group[0][0], role, [block for _, message in group for block in message.content])
        for role, members in groupby(enumerate(messages), key=lambda member: member[1].role)
        for group in [list(members)]
    ]


# --- claudexia.local.echo_reply
# Reply: what the echo says to a request, cut into the pieces in which it says it.


@dataclass(frozen=True, slots=True)
class Reply:
    """`pieces`, a token each, join to the text or, where a `tool` is named, to the JSON of its input."""

    pieces: Sequence[str]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]
    stop_sequence: str | None = None
    tool: str | None = None


def reply_to(request: EchoRequest) -> Reply:
    user = next(turn for turn in reversed(turns(request.messages)) if turn.role == "user")
    text = _text(user.blocks)
    answers_tools = any(isinstance(block, ToolResult) for block in user.blocks)
    # A forced tool would be called again for each of its results, without end.
    if not answers_tools and (tool := _called_tool(request, text)):
        return _call(tool, text, request.max_tokens)
    if request.output_config.format:
        answer = sample(request.output_config.format.json_schema, text)
        return _say(json.dumps(answer, ensure_ascii=False), request)
    return _say(f"Echo: {text}".strip(), request)


def count_input(request: EchoRequest) -> int:
    """About four characters a token, which is what the vendors say of English."""
    texts = [_text(message.content) for message in request.messages]
    texts += [block.text for block in request.system]
    texts += [tool.model_dump_json(exclude_unset=True) for tool in request.tools]
    return 1 + sum(map(len, texts)) // 4


def _text(blocks: Iterable[Block]) -> str:
    return "\n".join(map(_block_text, blocks)).strip()


def _block_text(block: Block) -> str:
    match block:
        case Text():
            return block.text
        case ToolResult(content=str(content)):
            return content
        case ToolResult(content=list(content)):
            return _text(content)
        case _:
            return f"[{block.type}]"


def _say(text: str, request: EchoRequest) -> Reply:
    found = [(text.find(stop), stop) for stop in request.stop_sequences if stop in text]
    end, stop = min(found, default=(len(text), None))
    pieces = _pieces(text[:end])
    if len(pieces) > request.max_tokens:
        return Reply(pieces[: request.max_tokens], "max_tokens")
    return Reply(pieces, "end_turn") if stop is None else Reply(pieces, "stop_sequence", stop)


def _pieces(text: str) -> list[str]:
    """Each word with the space before it; together they are the text."""
    return re.findall(r"\s*\S+|\s+$", text)


def _called_tool(request: EchoRequest, text: str) -> Tool | None:
    tools = [tool for tool in request.tools if tool.type == "custom"]
    named = [tool for tool in tools if re.search(rf"(?<![\w-]){tool.name}(?![\w-])", text, re.IGNORECASE)]
    match request.tool_choice.type:
        case "none":
            return None
        case "auto":
            return next(iter(named), None)
        case "any":
            return next(iter(named or tools), None)
        case "tool":
            return next((tool for tool in tools if tool.name == request.tool_choice.name), None)


def _call(tool: Tool, text: str, max_tokens: int) -> Reply:
    arguments = sample(tool.input_schema, text) if tool.input_schema else {}
    # Anthropic's first piece is always empty, and for an input without arguments it is the only one.
    pieces = ["", *(_pieces(json.dumps(arguments, ensure_ascii=False)) if arguments else [])]
    if len(pieces) > max_tokens:
        return Reply(pieces[:max_tokens], "max_tokens", tool=tool.name)
    return Reply(pieces, "tool_use", tool=tool.name)


# --- claudexia.local.echo_rules
# parse_request(): what the Messages API refuses, in the words with which it does.
#
# The API checks shapes with pydantic too, so that its `max_tokens: Field required` and its `x: Extra inputs
# are not permitted` need no code here. What does is how the parts of a request fit each other.


class InvalidRequestError(Exception):
    """The API would answer 400 `invalid_request_error`, with this message."""


def parse_request(body: bytes) -> EchoRequest:
    """Raises InvalidRequestError with the sentence the API would answer."""
    try:
        request = EchoRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise InvalidRequestError(f"The request body is not valid JSON: {first['msg']}") from error
        where = ".".join(map(str, first["loc"])) or "body"
        raise InvalidRequestError(f"{where}: {first['msg']}") from error
    _check_texts(request)
    _check_order(request)
    _check_tools(request)
    return request


def _check_texts(request: EchoRequest) -> None:
    for index, message in enumerate(request.messages):
        if not message.content:
            raise InvalidRequestError(
                f"messages.{index}: all messages must have non-empty content "
                "except for the optional final assistant message"
            )
    said = (block for message in request.messages for block in message.content)
    for parameter, blocks in (("system", request.system), ("messages", said)):
        for text in _texts(blocks):
            if not text:
                raise InvalidRequestError(f"{parameter}: text content blocks must be non-empty")
            if text.isspace():
                raise InvalidRequestError(f"{parameter}: text content blocks must contain non-whitespace text")


def _texts(blocks: Iterable[Block]) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, Text):
            yield block.text
        elif isinstance(block, ToolResult) and isinstance(block.content, list):
            yield from _texts(block.content)


def _check_order(request: EchoRequest) -> None:
    if not request.messages:
        raise InvalidRequestError("messages: at least one message is required")
    if request.messages[0].role != "user":
        raise InvalidRequestError('messages: first message must use the "user" role')
    order = [Turn(-1, "start", []), *turns(request.messages), Turn(len(request.messages), "end", [])]
    for before, turn in pairwise(order):
        _check_answers(before, turn)
    # Only Claude 4.5 and older continue an answer: https://platform.claude.com/docs/en/api/errors
    if order[-2].role == "assistant" and "-4-5" not in request.model:
        raise InvalidRequestError(
            "This model does not support assistant message prefill. "
            "The conversation must end with a user message."
        )


def _check_answers(before: Turn, turn: Turn) -> None:
    """All calls of one turn are answered at the head of the next, and nothing else is."""
    calls = [block.id for block in before.blocks if isinstance(block, ToolUse)]
    head = {block.tool_use_id for block in turn.blocks[: len(calls)] if isinstance(block, ToolResult)}
    if missing := [call for call in calls if call not in head]:
        raise InvalidRequestError(
            f"messages.{before.index}: `tool_use` ids were found without `tool_result` blocks immediately "
            f"after: {', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` "
            "block in the next message."
        )
    for position, block in enumerate(turn.blocks):
        if isinstance(block, ToolResult) and block.tool_use_id not in calls:
            raise InvalidRequestError(
                f"messages.{turn.index}.content.{position}: unexpected `tool_use_id` found in `tool_result` "
                f"blocks: {block.tool_use_id}. Each `tool_result` block must have a corresponding `tool_use` "
                "block in the previous message."
            )


def _check_tools(request: EchoRequest) -> None:
    for index, tool in enumerate(request.tools):
        where = f"tools.{index}.custom.input_schema"
        if tool.type != "custom":
            continue
        if tool.input_schema is None:
            raise InvalidRequestError(f"{where}: Field required")
        if tool.input_schema.type != "object":
            raise InvalidRequestError(f"{where}.type: Input should be 'object'")
    choice = request.tool_choice
    if choice.type == "any" and not request.tools:
        raise InvalidRequestError("tool_choice: may only be specified while providing `tools`")
    if choice.type == "tool" and choice.name not in [tool.name for tool in request.tools]:
        raise InvalidRequestError(f"tool_choice: Tool '{choice.name}' not found in provided tools")


class Message(TypedDict):
    """The API's Message, in the order of its own answers."""

    model: str
    id: str
    type: str
    role: str
    content: list[Mapping[str, object]]
    stop_reason: str | None
    stop_sequence: str | None
    stop_details: None
    usage: Mapping[str, object]


class EchoTransport(httpx.AsyncBaseTransport):
    """`delay` is the time in seconds before each piece of a streamed answer."""

    def __init__(self, delay: float = 0.02) -> None:
        self._delay = delay

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request_id = _id("req")
        headers = {"request-id": request_id}
        if request.method != "POST" or not request.url.path.endswith("/v1/messages"):
            return httpx.Response(404, headers=headers, json=_error("not_found_error", "Not found", request_id))
        try:
            params = parse_request(await request.aread())
        except InvalidRequestError as error:
            body = _error("invalid_request_error", str(error), request_id)
            return httpx.Response(400, headers=headers, json=body)
        reply = reply_to(params)
        if not params.stream:
            return httpx.Response(200, headers=headers, json=_message(params, reply))
        headers["content-type"] = "text/event-stream; charset=utf-8"
        return httpx.Response(200, headers=headers, stream=_EventStream(_events(params, reply), self._delay))


class _EventStream(httpx.AsyncByteStream):
    def __init__(self, events: Iterator[Mapping[str, object]], delay: float) -> None:
        self._events = events
        self._delay = delay

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self._events:
            if event["type"] == "content_block_delta":
                await asyncio.sleep(self._delay)
            yield f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def _events(params: EchoRequest, reply: Reply) -> Iterator[Mapping[str, object]]:
    message = _message(params, reply)
    content, usage = message["content"], message["usage"]
    yield {
        "type": "message_start",
        "message": {
            **message,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {**usage, "output_tokens": 1},
        },
    }
    for index, block in enumerate(content):
        start = {**block, "input": {}} if reply.tool else {**block, "text": ""}
        yield {"type": "content_block_start", "index": index, "content_block": start}
        yield {"type": "ping"}
        for piece in reply.pieces:
            delta = (
                {"type": "input_json_delta", "partial_json": piece}
                if reply.tool
                else {"type": "text_delta", "text": piece}
            )
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    stop = {
        "stop_reason": message["stop_reason"],
        "stop_sequence": message["stop_sequence"],
        "stop_details": None,
    }
    cumulative = {name: count for name, count in usage.items() if name != "service_tier"}
    yield {"type": "message_delta", "delta": stop, "usage": cumulative}
    yield {"type": "message_stop"}


def _message(params: EchoRequest, reply: Reply) -> Message:
    return {
        "model": params.model,
        "id": _id("msg"),
        "type": "message",
        "role": "assistant",
        "content": _content(reply),
        "stop_reason": reply.stop_reason,
        "stop_sequence": reply.stop_sequence,
        "stop_details": None,
        "usage": {
            "input_tokens": count_input(params),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": len(reply.pieces),
            "service_tier": "standard",
        },
    }


def _content(reply: Reply) -> list[Mapping[str, object]]:
    """One block, or none where the answer ended before its first word."""
    said = "".join(reply.pieces)
    if reply.tool:
        # An input that max_tokens cut short is not JSON; the API then shows what it could read of it.
        arguments = json.loads(said) if said and reply.stop_reason == "tool_use" else {}
        return [{"type": "tool_use", "id": _id("toolu"), "name": reply.tool, "input": arguments}]
    return [{"type": "text", "text": said}] if said else []


def _id(kind: str) -> str:
    return f"{kind}_echo_{secrets.token_hex(12)}"


def _error(kind: str, message: str, request_id: str) -> dict[str, object]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}


# --- claudexia.local.echo_server
# EchoServer: an httpx transport on a port of the loopback interface, for a gateway in another process.

_FRAMING = {"content-length", "transfer-encoding"}


class EchoServer:
    """Answers each request with what `transport` answers."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self._server = HttpServer(self._handle)

    async def start(self) -> str:
        """Gives its base URL."""
        return f"http://{await self._server.start()}"

    def stop(self) -> None:
        self._server.stop()

    async def _handle(self, request: Request, answer: Answer) -> None:
        asked = httpx.Request(
            request.method, f"http://echo.invalid{request.target}", content=await request.read()
        )
        response = await self._transport.handle_async_request(asked)
        headers = {name: value for name, value in response.headers.items() if name not in _FRAMING}
        async with aclosing(response):
            await answer.begin(response.status_code, headers)
            async for piece in cast("httpx.AsyncByteStream", response.stream):
                await answer.write(piece)
            await answer.end()
