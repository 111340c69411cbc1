"""ResponseStream: MessageStreamEvents in, the events of the Responses API out.

    message_start           response.created, response.in_progress
      a block               output_item.added, what belongs to the item, output_item.done
    message_stop            the end of the last item
    the end of the answer   response.completed or response.incomplete, with the whole response
    a failure               response.failed, with what there is of the response

An item ends when the next one begins, or when the message ends: text blocks that follow each other are one,
and only the message's stop_reason tells whether its last item is complete. The rules of the upstream's stream
that stream.py names hold here, too.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Mapping
from typing import cast

from claudexia.errors import APIError
from claudexia.translate.response.completion import to_refusal
from claudexia.translate.response.output_items import (
    Event,
    EventNumbers,
    ItemEncoder,
    ItemOptions,
    MessageEncoder,
    ReasoningEncoder,
    WebSearchEncoder,
    call_encoder,
)
from claudexia.translate.response.text_filters import JSONObjectText
from claudexia.translate.response.usage import to_completion_usage
from claudexia.translate.types.anthropic import (
    THINKING_TYPES,
    Citation,
    ContentBlock,
    ContentDelta,
    Message,
    MessageDelta,
    MessageStreamEvent,
    Usage,
)
from claudexia.translate.types.responses import (
    IncompleteDetails,
    ItemStatus,
    OutputItem,
    Response,
    ResponseError,
    ResponseSettings,
    ResponseStatus,
    ResponseUsage,
)

_INCOMPLETE: Mapping[str, IncompleteDetails] = {
    "max_tokens": {"reason": "max_output_tokens"},
    "model_context_window_exceeded": {"reason": "max_output_tokens"},
    # The turn was resumed as often as allowed.
    "pause_turn": {"reason": "max_output_tokens"},
    "refusal": {"reason": "content_filter"},
}
# Codes that clients act upon, although the SDK's type has only the second.
_ERROR_CODES = {"insufficient_quota", "rate_limit_exceeded", "context_length_exceeded"}


class ResponseStream:
    """Encodes one streamed answer. `created` is in seconds; `settings` are what the response repeats.

    `store` is read again at the end, since saving may have failed.
    """

    def __init__(
        self, message: Message, *, created: int, settings: ResponseSettings, options: ItemOptions
    ) -> None:
        """`message` is as it started: its id and its model."""
        self._options = options
        self._settings = settings
        self._numbers = EventNumbers()
        self._response: Response = {
            "id": to_response_id(message["id"]),
            "object": "response",
            "created_at": created,
            "status": "in_progress",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": message["model"],
            "output": [],
            "service_tier": "default",
            "top_logprobs": 0,
            "usage": None,
            **settings,
        }
        self._key = _key(message["id"])
        self._is_open = self._is_over = False
        self._item: ItemEncoder | None = None
        self._item_block = -1  # the index of the block that the item takes deltas from
        self._in_text = False
        self._citations: list[Citation] = []  # of the latest text block, until its item begins
        self._json_filter = JSONObjectText() if options.shared.json_object else None
        self._stop_reason: str | None = None
        self._refusal: str | None = None

    def feed(self, event: MessageStreamEvent) -> list[Event]:
        """The events for `event`: often one, often none."""
        if event["type"] == "content_block_delta":
            return self._on_delta(event["index"], event["delta"])
        if event["type"] == "content_block_start":
            return self._on_block(event["index"], event["content_block"])
        if event["type"] == "message_start":
            return self._on_start(event["message"])
        if event["type"] == "message_delta":
            self._set_stop_reason(event["delta"])
        elif event["type"] == "message_stop":
            return self._on_stop()
        return []

    def end(self, usage: Usage, cost: float | None) -> Event:
        """The last event, after message_stop. `cost` is in US dollars, None if it is not shown."""
        self._is_over = True
        response = self.response(usage, cost)
        return self._numbers.event(response["status"], response=response)

    def response(self, usage: Usage, cost: float | None = None) -> Response:
        """The whole response, after message_stop."""
        details = _INCOMPLETE.get(self._stop_reason or "")
        status: ResponseStatus = "incomplete" if details else "completed"
        return {
            **self._response,
            "status": status,
            "incomplete_details": details,
            "store": self._settings["store"],
            "usage": to_response_usage(usage, cost),
        }

    def fail(self, error: APIError) -> list[Event]:
        """The last events of a response that failed."""
        self._is_over = True
        events, output = self._open(), [*self._response["output"]]
        if self._item:
            number = self._numbers.next
            self._item.close("incomplete")  # its events are not sent: clients would act upon the item
            self._numbers.next = number
            output.append(self._item.item)
        response: Response = {
            **self._response,
            "status": "failed",
            "error": _to_error(error),
            "output": output,
        }
        return [*events, self._numbers.event("failed", response=response)]

    def keep_alive(self) -> list[Event]:
        """Events that change nothing; none after the last one."""
        if self._is_over:
            return []
        return self._open() or [self._numbers.event("in_progress", response={**self._response, "output": []})]

    def _open(self) -> list[Event]:
        if self._is_open:
            return []
        self._is_open = True
        response = {**self._response, "output": list[OutputItem]()}
        return [self._numbers.event(kind, response=response) for kind in ("created", "in_progress")]

    def _on_start(self, message: Message) -> list[Event]:
        self._set_stop_reason(message)
        events = self._open()
        for index, block in enumerate(message.get("content") or []):
            events += self._on_block(index, block)
        return events

    def _on_block(self, index: int, block: ContentBlock) -> list[Event]:
        kind = block.get("type")
        self._in_text = kind == "text"
        if kind == "text":
            return self._on_text_block(block)
        events = self._item.end_block() if isinstance(self._item, MessageEncoder) else []
        if kind == "web_search_tool_result" and isinstance(self._item, WebSearchEncoder):
            self._item.found(cast("Mapping[str, object]", block).get("content"))
        elif kind == "tool_use":
            events += self._close()
            events += self._start(call_encoder(self._numbers, *self._place(), block, self._options), index)
        elif kind in THINKING_TYPES:
            events += self._close()
            output_index, id_ = self._place()
            encoder = ReasoningEncoder(self._numbers, output_index, f"rs_{id_}", block, self._options)
            events += self._start(encoder, index)
        elif kind == "server_tool_use" and block.get("name") == "web_search":
            events += self._close()
            output_index, id_ = self._place()
            shows = self._options.shows_sources
            events += self._start(
                WebSearchEncoder(self._numbers, output_index, f"ws_{id_}", block, shows), index
            )
        return events

    def _on_text_block(self, block: ContentBlock) -> list[Event]:
        """The item begins with the first text that is not empty, which may be in a later block."""
        events = []
        self._citations = list(block.get("citations") or ())
        if isinstance(self._item, MessageEncoder):
            events = self._item.start_block(self._citations)
        return events + self._text(block.get("text"))

    def _on_delta(self, index: int, delta: ContentDelta) -> list[Event]:
        if self._in_text:
            if citation := delta.get("citation"):
                self._cite(citation)
            return self._text(delta.get("text"))
        if self._item and index == self._item_block:
            return self._item.feed(delta)
        return []

    def _text(self, text: str | None) -> list[Event]:
        if text and self._json_filter:
            text = self._json_filter.feed(text)
        return self._write(text) if text else []

    def _write(self, text: str) -> list[Event]:
        if isinstance(self._item, MessageEncoder):
            return self._item.text(text)
        return self._start_message() + cast("MessageEncoder", self._item).text(text)

    def _start_message(self) -> list[Event]:
        events = self._close()
        output_index, id_ = self._place()
        message = MessageEncoder(self._numbers, output_index, f"msg_{id_}")
        events += self._start(message, -1)
        message.start_block(self._citations)
        return events

    def _cite(self, citation: Citation) -> None:
        """A citation may come before the text that it belongs to."""
        if isinstance(self._item, MessageEncoder):
            self._item.cite(citation)
        else:
            self._citations.append(citation)

    def _place(self) -> tuple[int, str]:
        """The output index of a new item, and its id without the prefix."""
        output_index = len(self._response["output"])
        return output_index, f"{self._key}_{output_index}"

    def _start(self, item: ItemEncoder, block: int) -> list[Event]:
        self._item, self._item_block = item, block
        return item.open()

    def _close(self, status: ItemStatus = "completed") -> list[Event]:
        if self._item is None:
            return []
        events = self._item.close(status)
        self._response["output"].append(self._item.item)
        self._item, self._item_block = None, -1
        return events

    def _set_stop_reason(self, source: MessageDelta | Message) -> None:
        if source.get("stop_reason"):
            self._stop_reason = source["stop_reason"]
            self._refusal = to_refusal(self._stop_reason, source.get("stop_details"))

    def _on_stop(self) -> list[Event]:
        events: list[Event] = []
        if self._json_filter and (rest := self._json_filter.close()):
            events += self._write(rest)
        if self._refusal:
            if not isinstance(self._item, MessageEncoder):
                events += self._start_message()
            events += cast("MessageEncoder", self._item).refuse(self._refusal)
        return events + self._close("incomplete" if self._stop_reason in _INCOMPLETE else "completed")


def to_response(
    message: Message, *, created: int, settings: ResponseSettings, options: ItemOptions
) -> Response:
    """A whole message as a response: what its stream would end with."""
    stream = ResponseStream(message, created=created, settings=settings, options=options)
    stream.feed({"type": "message_start", "message": message})
    stream.feed({"type": "message_stop"})
    return stream.response(message.get("usage") or {})


def to_response_id(message_id: str) -> str:
    """Anthropic's id with OpenAI's prefix, so that an answer can be found in the logs of both sides."""
    return f"resp_{_key(message_id)}"


def response_id_of(item_id: str) -> str | None:
    """The id of the response that has an item with this id; None if no item of the gateway's has it."""
    _, _, rest = item_id.partition("_")
    key, _, index = rest.rpartition("_")
    return f"resp_{key}" if key and index else None


def to_response_usage(usage: Usage, cost: float | None = None) -> ResponseUsage:
    counted = to_completion_usage(usage)
    prompt, completion = counted["prompt_tokens_details"], counted["completion_tokens_details"]
    written: ResponseUsage = {
        "input_tokens": counted["prompt_tokens"],
        "input_tokens_details": {
            "cached_tokens": prompt["cached_tokens"],
            "cache_write_tokens": prompt["cache_write_tokens"],
        },
        "output_tokens": counted["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": completion["reasoning_tokens"]},
        "total_tokens": counted["total_tokens"],
    }
    if cost is not None:
        written["cost"] = cost
    return written


def _key(message_id: str) -> str:
    return message_id.removeprefix("msg_")


def _to_error(error: APIError) -> ResponseError:
    code = error.code if error.code in _ERROR_CODES else None
    if code is None:
        code = "rate_limit_exceeded" if error.status == 429 else "server_error"
    return {"code": code, "message": error.message, "type": error.type, "param": error.param}
