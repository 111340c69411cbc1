"""The output items of a response, each written as events and then complete.

    text, refusal        message             content_part, output_text, annotation and refusal events
    tool_use             function_call       function_call_arguments events
                         custom_tool_call    custom_tool_call_input events
    thinking             reasoning           reasoning_summary events, if the client asked for a summary
    server_tool_use      web_search_call     web_search_call events

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from pydantic_core import from_json

from claudexia.translate.encrypted_content import to_encrypted_content
from claudexia.translate.report import DEFAULT_OPTIONS, ResponseOptions
from claudexia.translate.response.blocks import CitedText, to_thinking_block, tool_arguments
from claudexia.translate.response.text_filters import CustomToolInput, ObjectText
from claudexia.translate.types.anthropic import Citation, ContentBlock, ContentDelta
from claudexia.translate.types.responses import (
    ItemStatus,
    OutputCustomToolCall,
    OutputFunctionCall,
    OutputItem,
    OutputMessage,
    OutputReasoning,
    OutputRefusal,
    OutputText,
    OutputWebSearch,
    SearchSource,
    TextAnnotation,
)

# An event of the stream: `type`, `sequence_number` and what belongs to the type.
Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ItemOptions:
    """How the items of one response are written; see ResponsePieces for the three that are not `shared`."""

    shared: ResponseOptions = DEFAULT_OPTIONS
    namespaces: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    shows_summary: bool = False
    shows_sources: bool = False


class EventNumbers:
    """Creates the events of one response, numbered without gaps. `next` is the next number."""

    def __init__(self) -> None:
        self.next = 0

    def event(self, kind: str, **fields: object) -> Event:
        number, self.next = self.next, self.next + 1
        return {"type": f"response.{kind}", "sequence_number": number, **fields}


class ItemEncoder(Protocol):
    """Encodes one item. `item` is what has been sent of it."""

    @property
    def item(self) -> OutputItem: ...
    def open(self) -> list[Event]: ...
    def feed(self, delta: ContentDelta, /) -> list[Event]: ...
    def close(self, status: ItemStatus) -> list[Event]: ...


class _ItemEncoder:
    """What all items have in common. `output_index` is the position of the item in the output."""

    item: OutputItem

    def __init__(self, numbers: EventNumbers, output_index: int) -> None:
        self._event = numbers.event
        self._output_index = output_index

    def open(self) -> list[Event]:
        return [self._event("output_item.added", output_index=self._output_index, item=deepcopy(self.item))]

    def _here(self, kind: str, **fields: object) -> Event:
        """An event inside of the item."""
        return self._event(kind, item_id=self.item["id"], output_index=self._output_index, **fields)

    def _done(self) -> Event:
        return self._event("output_item.done", output_index=self._output_index, item=deepcopy(self.item))


class MessageEncoder(_ItemEncoder):
    """Text blocks that follow each other, in one part: Claude begins a new block for every cited claim."""

    item: OutputMessage

    def __init__(self, numbers: EventNumbers, output_index: int, id_: str) -> None:
        super().__init__(numbers, output_index)
        self.item = {
            "id": id_,
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        self._pieces: list[str] = []
        self._length = 0  # in code points
        self._cited = CitedText()
        self._part: OutputText | None = None

    def feed(self, delta: ContentDelta, /) -> list[Event]:
        raise AssertionError("text comes through text(): it may be filtered")

    def start_block(self, citations: Iterable[Citation] | None) -> list[Event]:
        events = self.end_block()
        self._cited.start(self._length, citations)
        return events

    def cite(self, citation: Citation) -> None:
        self._cited.cite(citation)

    def end_block(self) -> list[Event]:
        """The annotations of the block that ends; may be called without one."""
        self._cited.end(self._length)
        if self._part is None:
            return []
        known = self._part["annotations"]
        found = [_flat(annotation["url_citation"]) for annotation in self._cited.annotations[len(known) :]]
        known += found
        return [
            self._in_part("output_text.annotation.added", annotation_index=index, annotation=annotation)
            for index, annotation in enumerate(found, len(known) - len(found))
        ]

    def text(self, text: str) -> list[Event]:
        events: list[Event] = []
        if self._part is None:
            self._part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            events.append(self._in_part("content_part.added", part=deepcopy(self._part)))
            self.item["content"].append(self._part)
        self._pieces.append(text)
        self._length += len(text)
        events.append(self._in_part("output_text.delta", delta=text, logprobs=[]))
        return events

    def refuse(self, text: str) -> list[Event]:
        events = self._close_part()
        index = len(self.item["content"])
        part: OutputRefusal = {"type": "refusal", "refusal": text}
        self.item["content"].append(part)
        empty: OutputRefusal = {"type": "refusal", "refusal": ""}
        return [
            *events,
            self._here("content_part.added", content_index=index, part=empty),
            self._here("refusal.delta", content_index=index, delta=text),
            self._here("refusal.done", content_index=index, refusal=text),
            self._here("content_part.done", content_index=index, part={**part}),
        ]

    def close(self, status: ItemStatus) -> list[Event]:
        events = self._close_part()
        self.item["status"] = status
        return [*events, self._done()]

    def _close_part(self) -> list[Event]:
        events, part = self.end_block(), self._part
        if part is None:
            return events
        part["text"] = "".join(self._pieces)
        events += [
            self._in_part("output_text.done", text=part["text"], logprobs=[]),
            self._in_part("content_part.done", part=deepcopy(part)),
        ]
        self._part = None
        return events

    def _in_part(self, kind: str, **fields: object) -> Event:
        return self._here(kind, content_index=0, **fields)


class _InputDecoder(Protocol):
    """Reads the input of a call, split at any position."""

    def feed(self, text: str, /) -> str: ...
    def close(self) -> str: ...


class _CallEncoder(_ItemEncoder):
    """A tool call. Its input is sent as far as `decoder` can decode it; without one, as the model writes it."""

    _input_event: str

    def __init__(
        self, numbers: EventNumbers, output_index: int, block: ContentBlock, decoder: _InputDecoder | None
    ) -> None:
        super().__init__(numbers, output_index)
        self._block = block
        self._decoder = decoder
        self._has_input = False
        self._pieces: list[str] = []

    def feed(self, delta: ContentDelta, /) -> list[Event]:
        text = delta.get("partial_json")
        if not text:
            return []
        self._has_input = True
        return self._piece(self._decoder.feed(text) if self._decoder else text)

    def _end_input(self) -> tuple[list[Event], str]:
        """The events of the rest of the input, and the complete input.

        A call without deltas gets the input of its content_block_start, or "{}".
        """
        text = "" if self._has_input else tool_arguments(self._block)
        if self._decoder:
            text = self._decoder.feed(text) + self._decoder.close()
        events = self._piece(text)
        return events, "".join(self._pieces)

    def _piece(self, text: str) -> list[Event]:
        if not text:
            return []
        self._pieces.append(text)
        return [self._here(f"{self._input_event}.delta", delta=text)]


class FunctionCallEncoder(_CallEncoder):
    item: OutputFunctionCall
    _input_event = "function_call_arguments"

    def __init__(
        self,
        numbers: EventNumbers,
        output_index: int,
        item: OutputFunctionCall,
        block: ContentBlock,
        names: Mapping[str, str] | None,
    ) -> None:
        """`names` are the client's names of arguments by their upstream names."""
        super().__init__(numbers, output_index, block, ObjectText(names) if names else None)
        self.item = item

    def close(self, status: ItemStatus) -> list[Event]:
        events, arguments = self._end_input()
        self.item["arguments"] = arguments
        self.item["status"] = status
        done = self._here(f"{self._input_event}.done", name=self.item["name"], arguments=arguments)
        return [*events, done, self._done()]


class CustomToolCallEncoder(_CallEncoder):
    item: OutputCustomToolCall
    _input_event = "custom_tool_call_input"

    def __init__(
        self, numbers: EventNumbers, output_index: int, item: OutputCustomToolCall, block: ContentBlock
    ) -> None:
        super().__init__(numbers, output_index, block, CustomToolInput())
        self.item = item

    def close(self, status: ItemStatus) -> list[Event]:
        events, complete = self._end_input()
        self.item["input"] = complete
        self.item["status"] = status
        return [*events, self._here(f"{self._input_event}.done", input=complete), self._done()]


class ReasoningEncoder(_ItemEncoder):
    item: OutputReasoning

    def __init__(
        self, numbers: EventNumbers, output_index: int, id_: str, block: ContentBlock, options: ItemOptions
    ) -> None:
        super().__init__(numbers, output_index)
        self.item = {
            "id": id_,
            "type": "reasoning",
            "status": "in_progress",
            "summary": [],
            "encrypted_content": None,
        }
        self._block = block
        self._shows_summary = options.shows_summary and options.shared.reasoning
        self._host = options.shared.host
        self._pieces: list[str] = []
        self._signature = [block.get("signature") or ""]

    def open(self) -> list[Event]:
        return super().open() + self._piece(self._block.get("thinking"))

    def feed(self, delta: ContentDelta, /) -> list[Event]:
        self._signature.append(delta.get("signature") or "")
        return self._piece(delta.get("thinking"))

    def close(self, status: ItemStatus) -> list[Event]:
        """The signed block as a whole: it is of use only unchanged and complete."""
        text, events = "".join(self._pieces), list[Event]()
        if text and self._shows_summary:
            self.item["summary"] = [{"type": "summary_text", "text": text}]
            events = [
                self._in_summary("text.done", text=text),
                self._in_summary("part.done", part={"type": "summary_text", "text": text}),
            ]
        complete: ContentBlock = {**self._block, "thinking": text, "signature": "".join(self._signature)}
        if signed := to_thinking_block(complete, self._host):
            self.item["encrypted_content"] = to_encrypted_content(signed)
        self.item["status"] = status
        return [*events, self._done()]

    def _piece(self, text: str | None) -> list[Event]:
        if not text:
            return []
        self._pieces.append(text)
        if not self._shows_summary:
            return []
        events: list[Event] = []
        if len(self._pieces) == 1:
            events.append(self._in_summary("part.added", part={"type": "summary_text", "text": ""}))
        return [*events, self._in_summary("text.delta", delta=text)]

    def _in_summary(self, kind: str, **fields: object) -> Event:
        return self._here(f"reasoning_summary_{kind}", summary_index=0, **fields)


class WebSearchEncoder(_ItemEncoder):
    """A search of Claude's: first its query, then found() its results."""

    item: OutputWebSearch

    def __init__(
        self, numbers: EventNumbers, output_index: int, id_: str, block: ContentBlock, shows_sources: bool
    ) -> None:
        super().__init__(numbers, output_index)
        action = {"type": "search", "query": "", "queries": []}
        self.item = {"id": id_, "type": "web_search_call", "status": "in_progress", "action": action}  # type: ignore[typeddict-item]  # complete
        self._block = block
        self._shows_sources = shows_sources
        self._pieces: list[str] = []
        self._found: object = None

    def open(self) -> list[Event]:
        return [
            *super().open(),
            self._here("web_search_call.in_progress"),
            self._here("web_search_call.searching"),
        ]

    def feed(self, delta: ContentDelta, /) -> list[Event]:
        self._pieces.append(delta.get("partial_json") or "")
        return []

    def found(self, content: object) -> None:
        """`content` is a list of results, or an error object."""
        self._found = content

    def close(self, status: ItemStatus) -> list[Event]:
        query = self._query()
        self.item["action"]["query"] = query
        self.item["action"]["queries"] = [query]
        if self._found is None:
            self.item["status"] = "incomplete"
            return [self._done()]
        if not isinstance(self._found, Sequence):
            self.item["status"] = "failed"
            return [self._done()]
        if self._shows_sources:
            self.item["action"]["sources"] = _sources(self._found)
        self.item["status"] = "completed"
        return [self._here("web_search_call.completed"), self._done()]

    def _query(self) -> str:
        text = "".join(self._pieces) or tool_arguments(self._block)
        try:
            given: object = from_json(text, allow_partial=True)
        except ValueError:
            return ""
        query = given.get("query") if isinstance(given, dict) else None
        return query if isinstance(query, str) else ""


def call_encoder(
    numbers: EventNumbers, output_index: int, id_: str, block: ContentBlock, options: ItemOptions
) -> ItemEncoder:
    """`id_` is the item's id without its prefix."""
    name = options.shared.original_name(block["name"])
    namespace, name = options.namespaces.get(name, ("", name))
    group = {"namespace": namespace} if namespace else {}
    common = {"status": "in_progress", "call_id": block["id"], "name": name, **group}
    if block["name"] in options.shared.custom:
        custom = cast(
            "OutputCustomToolCall", {"id": f"ctc_{id_}", "type": "custom_tool_call", **common, "input": ""}
        )
        return CustomToolCallEncoder(numbers, output_index, custom, block)
    call = cast("OutputFunctionCall", {"id": f"fc_{id_}", "type": "function_call", **common, "arguments": ""})
    names = options.shared.argument_names.get(block["name"])
    return FunctionCallEncoder(numbers, output_index, call, block, names)


def _flat(citation: Mapping[str, Any]) -> TextAnnotation:
    return cast("TextAnnotation", {"type": "url_citation", **citation})


def _sources(results: Iterable[object]) -> list[SearchSource]:
    urls = [result.get("url") for result in results if isinstance(result, Mapping)]
    return [{"type": "url", "url": url} for url in urls if isinstance(url, str)]
