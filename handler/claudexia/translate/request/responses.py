"""to_completion_request(): a Responses request in the pieces that build.py translates.

    instructions                        a system message
    message                             a message of its role
    reasoning, function_call, ...       content of one assistant message, with the assistant's messages beside
                                        them: together they are one answer of Claude's
    function_call_output, ...           a tool message

The pieces are the models that a chat completion is read into, so nothing is translated twice. `paths` lead from
each of them to its place in the client's body, for warnings and errors.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from claudexia.errors import invalid_request, shorten
from claudexia.translate.encrypted_content import from_encrypted_content
from claudexia.translate.report import Path, Paths, Report, Step, check_extras
from claudexia.translate.request.media import FILES_NOT_STORED
from claudexia.translate.request.prompt_cache import is_plain
from claudexia.translate.request.response_tools import (
    namespaced_name,
    to_tool_choice_piece,
    to_tool_pieces,
)
from claudexia.translate.types.base import Cacheable, construct
from claudexia.translate.types.messages import (
    AssistantMessage,
    BareImageURL,
    CalledCustomTool,
    CalledFunction,
    ChatMessage,
    FileObject,
    FilePart,
    ImagePart,
    RedactedThinkingBlock,
    RefusalPart,
    SystemMessage,
    TextPart,
    ThinkingBlock,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from claudexia.translate.types.params import (
    MAX_MESSAGES,
    CompletionCreateParams,
    JSONSchemaFormat,
    Reasoning,
    ResponseFormat,
)
from claudexia.translate.types.response_items import (
    CustomToolCallItem,
    FunctionCallItem,
    ItemReference,
    MessageItem,
    OtherItem,
    ReasoningItem,
    ResponseFilePart,
    ResponseImagePart,
    ResponseItem,
    ResponsePart,
    ResponseTextPart,
    ToolOutputItem,
)
from claudexia.translate.types.response_params import (
    NO_VERBOSITY,
    FlatJSONSchemaFormat,
    ResponseCreateParams,
    ResponseReasoning,
    ResponseText,
)

# Where the fields are that have another name, or another level, in a chat completion.
_FIELD_PATHS: Paths = {
    ("max_completion_tokens",): ("max_output_tokens",),
    ("max_tokens",): ("max_output_tokens",),
    ("response_format",): ("text", "format"),
    ("response_format", "json_schema"): ("text", "format"),
    ("reasoning", "exclude"): ("reasoning", "summary"),
    ("tool_choice", "function"): ("tool_choice",),
    ("tool_choice", "custom"): ("tool_choice",),
    ("tool_choice", "allowed_tools"): ("tool_choice",),
}
_ENCRYPTED, _SOURCES = "reasoning.encrypted_content", "web_search_call.action.sources"
# Values of `include` that need nothing: the items always hold it, or are never in a response.
_INCLUDED = {
    _ENCRYPTED,
    _SOURCES,
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
}
# Items without which the rest of the conversation means something else.
_REJECTED_ITEMS = {
    "additional_tools": "send the tools in 'tools'",
    "compaction": "only OpenAI can read it; send the conversation itself",
    "compaction_trigger": "the gateway compacts no conversation",
}


class LocatedItem(NamedTuple):
    """An input item, and where it is in the client's body."""

    item: ResponseItem
    path: Path


@dataclass(frozen=True, slots=True)
class ResponsePieces:
    """A Responses request as build.py takes it.

    report         its paths lead from `params` to the client's body
    namespaces     the namespace and the name of each tool that is in one, by its full name
    shows_summary  whether the response shows the text of Claude's thinking
    shows_sources  whether it lists the pages that a web search found
    """

    params: CompletionCreateParams
    report: Report
    namespaces: dict[str, tuple[str, str]]
    shows_summary: bool
    shows_sources: bool


def to_response_pieces(
    params: ResponseCreateParams, items: Sequence[LocatedItem], report: Report
) -> ResponsePieces:
    """`items` are the input, after those of the response that it continues; none is an ItemReference.

    Raises APIError 400 for what Claude cannot do, and for more items than Claude takes messages.
    """
    if len(items) > MAX_MESSAGES:
        raise report.at("input").invalid(
            f"array too long. Expected an array with maximum length {MAX_MESSAGES}, but got an array with "
            f"length {len(items)} instead",
            "array_above_max_length",
        )
    conversation = _Messages(report)
    if params.instructions:
        conversation.add_instructions(params.instructions)
    for item, path in items:
        conversation.add(item, path)
    conversation.end()
    _check_include(params.include or (), report)
    tools = to_tool_pieces(params.tools or (), params.max_tool_calls, report)
    values: dict[str, object] = {
        "model": params.model,
        "messages": conversation.messages,
        "stream": params.stream,
        "max_completion_tokens": params.max_output_tokens,
        "tools": tools.tools or None,
        "tool_choice": to_tool_choice_piece(params.tool_choice, report.at("tool_choice"))
        if params.tool_choice is not None
        else None,
        "parallel_tool_calls": params.parallel_tool_calls,
        "response_format": _response_format(params.text, report.at("text")),
        "reasoning": _reasoning(params.reasoning, report.at("reasoning")),
        "thinking": params.thinking,
        "prompt_cache_options": params.prompt_cache_options,
        "prompt_cache_retention": params.prompt_cache_retention,
        "cache_control": params.cache_control,
    }
    given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    return ResponsePieces(
        CompletionCreateParams.model_construct(**given),
        report.with_paths({**_FIELD_PATHS, **conversation.paths, **tools.paths}),
        tools.namespaces,
        shows_summary=_shows_summary(params),
        shows_sources=_SOURCES in (params.include or ()),
    )


# Single fields


def _response_format(text: ResponseText | None, report: Report) -> ResponseFormat | None:
    if text is None:
        return None
    check_extras(text, report)
    if text.verbosity not in (None, "medium"):
        report.at("verbosity").warn(NO_VERBOSITY)
    if isinstance(text.format, FlatJSONSchemaFormat):
        return JSONSchemaFormat.model_construct(type="json_schema", json_schema=text.format)
    return text.format


def _reasoning(reasoning: ResponseReasoning | None, report: Report) -> Reasoning | None:
    """Without a summary, the API need not write one."""
    if reasoning is None:
        return None
    check_extras(reasoning, report)
    if summary := reasoning.summary or reasoning.generate_summary:
        return Reasoning.model_construct(effort=reasoning.effort, exclude=summary is None)
    return Reasoning.model_construct(effort=reasoning.effort, exclude=True if reasoning.effort else None)


def _shows_summary(params: ResponseCreateParams) -> bool:
    reasoning, thinking = params.reasoning, params.thinking
    if reasoning and (reasoning.summary or reasoning.generate_summary):
        return True
    return thinking is not None and thinking.display != "omitted"


def _check_include(include: Sequence[str], report: Report) -> None:
    for index, name in enumerate(include):
        place = report.at("include", index)
        if name == "message.output_text.logprobs":
            raise place.unsupported("Claude does not expose log probabilities")
        if name not in _INCLUDED:
            place.warn(f"'{shorten(name, 60)}' is not in the gateway's responses")


# Input items


class _Messages:
    """Collects the messages of a conversation from its items."""

    def __init__(self, report: Report) -> None:
        self.messages: list[ChatMessage] = []
        self.paths: dict[Path, Path] = {}
        self._report = report
        self._answer: list[object] | None = None  # the content of an assistant message that may go on
        self._call_ids: list[str] = []
        self._pending = Counter[str]()  # how many calls with this id have no result

    def add_instructions(self, text: str) -> None:
        self._append(construct(SystemMessage, role="system", content=text), ("instructions",))

    def add(self, item: ResponseItem, path: Path) -> None:
        if type(item) is MessageItem and isinstance(item.content, str) and is_plain(item):
            self._add_text(item.role, item.content, path)  # most items
            return
        if isinstance(item, OtherItem):
            self._leave_out(item.type, self._report.at(*path))
            return
        if item.__pydantic_extra__:
            check_extras(item, self._report.at(*path))
        match item:
            case MessageItem(role="assistant"):
                self._add_answer_text(item, path)
            case MessageItem():
                self._add_message(item, path)
            case FunctionCallItem() | CustomToolCallItem():
                self._add_call(item, path)
            case ToolOutputItem():
                self._add_output(item, path)
            case ReasoningItem():
                self._add_reasoning(item, path)
            case ItemReference():
                raise AssertionError("a reference is replaced by its item")

    def end(self) -> None:
        """Raises APIError 400 if there is no message, or no result for a call."""
        self._reject_pending()
        if not self.messages:
            raise self._report.at("input").invalid("expected at least one message", "empty_array")

    def _add_text(self, role: str, text: str, path: Path) -> None:
        if role == "assistant":
            self._add_to_answer(construct(TextPart, type="text", text=text), path, "content")
        elif role == "user":
            self._append(construct(UserMessage, role="user", content=text), path)
        else:
            self._append(construct(SystemMessage, role=role, content=text), path)

    def _append(self, message: ChatMessage, path: Path) -> None:
        self._answer = None
        index = len(self.messages)
        self.messages.append(message)
        self.paths["messages", index] = path
        if isinstance(message.content, str) and not isinstance(path[-1], int):
            self.paths["messages", index, "content"] = path  # the text is the whole field

    def _add_message(self, item: MessageItem, path: Path) -> None:
        index = len(self.messages)
        content = self._input_content(item.content, ("messages", index, "content"), (*path, "content"))
        cached = _breakpoint(item)
        if item.role == "user":
            self._append(construct(UserMessage, role="user", content=content, **cached), path)
            return
        if isinstance(content, list) and not all(isinstance(part, TextPart) for part in content):
            report = self._report.at(*path, "content")
            raise report.unsupported(f"Claude takes only text with the role '{item.role}'")
        self._append(construct(SystemMessage, role=item.role, content=content, **cached), path)

    def _add_output(self, item: ToolOutputItem, path: Path) -> None:
        if not self._pending[item.call_id]:
            raise invalid_request(
                f"No tool call found for function call output with call_id {shorten(item.call_id, 60)}.",
                "input",
            )
        self._pending[item.call_id] -= 1
        if not self._pending[item.call_id]:
            del self._pending[item.call_id]
        inner: Path = ("messages", len(self.messages), "content")
        content = self._input_content(item.output, inner, (*path, "output"))
        message = construct(
            ToolMessage, role="tool", tool_call_id=item.call_id, content=content, **_breakpoint(item)
        )
        self._append(message, path)
        self.paths[inner] = (*path, "output")

    def _add_answer_text(self, item: MessageItem, path: Path) -> None:
        if isinstance(item.content, str):
            part = construct(TextPart, type="text", text=item.content, **_breakpoint(item))
            self._add_to_answer(part, path, "content")
            return
        for index, given in enumerate(item.content or ()):
            if type(given) is ResponseTextPart and is_plain(given):
                part = construct(TextPart, type="text", text=given.text)
                self._add_to_answer(part, path, "content", index)
                continue
            place = self._report.at(*path, "content", index)
            check_extras(given, place)
            if isinstance(given, ResponseImagePart | ResponseFilePart):
                raise place.at("type").unsupported("Claude takes only text with the role 'assistant'")
            text = _text_part(given) if isinstance(given, ResponseTextPart) else given
            self._add_to_answer(text, path, "content", index)

    def _add_call(self, item: FunctionCallItem | CustomToolCallItem, path: Path) -> None:
        name = namespaced_name(item.name, item.namespace)
        called: dict[str, Any] = (
            {"function": construct(CalledFunction, name=name, arguments=item.arguments)}
            if isinstance(item, FunctionCallItem)
            else {"custom": construct(CalledCustomTool, name=name, input=item.input)}
        )
        call = construct(ToolCall, id=item.call_id, **called, **_breakpoint(item))
        inner = self._add_to_answer(call, path)
        self.paths[*inner, "function"] = self.paths[*inner, "custom"] = path
        self._call_ids.append(item.call_id)
        self._pending[item.call_id] += 1

    def _add_reasoning(self, item: ReasoningItem, path: Path) -> None:
        """Without its signed block it is a summary, which the API does not take back."""
        if not item.encrypted_content:
            return
        block = from_encrypted_content(item.encrypted_content) or {}
        signer = block.get("host")
        host = signer if isinstance(signer, str) else None
        match block:
            case {"type": "thinking", "thinking": str(text), "signature": str(signature)}:
                part: object = construct(
                    ThinkingBlock, type="thinking", thinking=text, signature=signature, host=host
                )
            case {"type": "redacted_thinking", "data": str(data)}:
                part = construct(RedactedThinkingBlock, type="redacted_thinking", data=data, host=host)
            case _:
                self._report.at(*path, "encrypted_content").warn("it is not Claude's, so it was left out")
                return
        self._add_to_answer(part, path)

    def _add_to_answer(self, part: object, path: Path, *steps: Step) -> Path:
        """`steps` lead from the item to the part. Returns where the part is in the messages."""
        if self._answer is None:
            self._reject_pending()
            answer: list[object] = []
            self._append(construct(AssistantMessage, role="assistant", content=answer), path)
            self._answer = answer
        inner: Path = ("messages", len(self.messages) - 1, "content", len(self._answer))
        self._answer.append(part)
        self.paths[inner] = path + steps
        return inner

    def _leave_out(self, kind: str, report: Report) -> None:
        """A web search is left out in silence: the answer holds what it found."""
        if kind in _REJECTED_ITEMS:
            raise report.at("type").unsupported(_REJECTED_ITEMS[kind])
        if kind != "web_search_call":
            report.warn(f"Claude has no '{kind}', so it was left out")

    def _input_content(
        self, content: str | Sequence[ResponsePart] | None, inner: Path, path: Path
    ) -> str | list[object] | None:
        """`path` leads to the content; `inner` is where it will be in the messages."""
        if content is None or isinstance(content, str):
            return content
        report = self._report.at(*path)
        parts: list[object] = []
        for index, given in enumerate(content):
            if type(given) is ResponseTextPart and is_plain(given):
                parts.append(construct(TextPart, type="text", text=given.text))
                continue
            place = report.at(index)
            check_extras(given, place)
            parts.append(_input_part(given, place))
            if isinstance(given, ResponseImagePart):
                self.paths[*inner, index, "image_url", "detail"] = (*place.path, "detail")
            elif isinstance(given, ResponseFilePart):
                self.paths[*inner, index, "file"] = place.path
        return parts

    def _reject_pending(self) -> None:
        if self._pending:
            raise invalid_request(
                f"No tool output found for function call {shorten(self._first_pending(), 60)}.", "input"
            )

    def _first_pending(self) -> str:
        """The id of the first call without a result: results belong to the first calls with their id."""
        with_result = Counter(self._call_ids) - self._pending
        for call_id in self._call_ids:
            if not with_result[call_id]:
                return call_id
            with_result[call_id] -= 1
        raise AssertionError("no call is pending")


def _input_part(given: ResponsePart, report: Report) -> object:
    match given:
        case ResponseTextPart():
            return _text_part(given)
        case RefusalPart(refusal=text):
            return construct(TextPart, type="text", text=text)
        case ResponseImagePart():
            return _image_part(given, report)
        case ResponseFilePart():
            file = construct(
                FileObject,
                file_data=given.file_data,
                file_url=given.file_url,
                file_id=given.file_id,
                filename=given.filename,
            )
            return construct(FilePart, type="file", file=file, **_breakpoint(given))
    return given


def _text_part(given: ResponseTextPart) -> TextPart:
    return construct(TextPart, type="text", text=given.text, **_breakpoint(given))


def _image_part(given: ResponseImagePart, report: Report) -> ImagePart:
    if not given.image_url:
        if given.file_id:
            raise report.at("file_id").unsupported(FILES_NOT_STORED)
        raise report.at("image_url").missing()
    url = construct(BareImageURL, url=given.image_url, detail=given.detail)
    return construct(ImagePart, type="image_url", image_url=url, **_breakpoint(given))


def _breakpoint(given: Cacheable) -> dict[str, Any]:
    """The fields of a cache breakpoint, if `given` has one."""
    if given.cache_control is None and given.prompt_cache_breakpoint is None:
        return {}
    fields = {
        "cache_control": given.cache_control,
        "prompt_cache_breakpoint": given.prompt_cache_breakpoint,
    }
    return {name: value for name, value in fields.items() if value is not None}
