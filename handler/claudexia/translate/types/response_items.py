"""The input items of a Responses request: one model per type of item and of content part.

An item without `type` is a message if it has a role, and a reference to a stored item otherwise.

Source: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticKnownError

from claudexia.translate.types.base import Cacheable, LongItems, Params
from claudexia.translate.types.messages import AudioPart, RefusalPart

_Name = Annotated[str, Field(min_length=1)]


class ResponseTextPart(Cacheable):
    """`annotations` and `logprobs` are copied from a response."""

    type: Literal["input_text", "output_text", "text"]
    text: str
    annotations: object = None
    logprobs: object = None


class ResponseImagePart(Cacheable):
    type: Literal["input_image"]
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class ResponseFilePart(Cacheable):
    type: Literal["input_file"]
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    detail: str | None = None


ResponsePart = Annotated[
    ResponseTextPart | ResponseImagePart | ResponseFilePart | RefusalPart | AudioPart,
    Field(discriminator="type"),
]
ResponseParts = LongItems[ResponsePart]


class _Item(Cacheable):
    """`id` and `status` are copied from a response."""

    id: str | None = None
    status: object = None


class MessageItem(_Item):
    """`phase` labels an answer of OpenAI's models."""

    type: Literal["message"] | None = None
    role: Literal["user", "system", "developer", "assistant"]
    content: str | ResponseParts | None = None
    phase: object = None


class FunctionCallItem(_Item):
    """`namespace` is that of the tool. `caller` names Claude itself, or a program that Claude does not have."""

    type: Literal["function_call"]
    call_id: str
    name: _Name
    arguments: str | None = None
    namespace: str | None = None
    caller: object = None


class CustomToolCallItem(_Item):
    type: Literal["custom_tool_call"]
    call_id: str
    name: _Name
    input: str | None = None
    namespace: str | None = None
    caller: object = None


class ToolOutputItem(_Item):
    """The result of a call; `name` and `namespace` repeat those of the call."""

    type: Literal["function_call_output", "custom_tool_call_output"]
    call_id: str
    output: str | ResponseParts | None = None
    name: str | None = None
    namespace: str | None = None
    caller: object = None


class ReasoningItem(_Item):
    """`encrypted_content` is a signed block of Claude's; `summary` and `content` are not sent back."""

    type: Literal["reasoning"]
    encrypted_content: str | None = None
    summary: object = None
    content: object = None


class ItemReference(Params):
    """Stands for an item of a stored response."""

    type: Literal["item_reference"] | None = None
    id: str


_TAGS = {
    "message": "MessageItem",
    "function_call": "FunctionCallItem",
    "custom_tool_call": "CustomToolCallItem",
    "function_call_output": "ToolOutputItem",
    "custom_tool_call_output": "ToolOutputItem",
    "reasoning": "ReasoningItem",
    "item_reference": "ItemReference",
}
_TRANSLATED = f"{', '.join(map(repr, [*_TAGS][:-1]))} or {[*_TAGS][-1]!r}"


def _known_type(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    """The error for another type names the types that are sent to Claude."""
    try:
        return handler(value)
    except ValidationError:
        raise PydanticKnownError("literal_error", {"expected": _TRANSLATED}) from None


class OtherItem(Params):
    """A call of one of OpenAI's own tools or its output, or what OpenAI's own models keep between turns."""

    type: Annotated[
        Literal[
            "additional_tools",
            "apply_patch_call",
            "apply_patch_call_output",
            "code_interpreter_call",
            "compaction",
            "compaction_trigger",
            "computer_call",
            "computer_call_output",
            "file_search_call",
            "image_generation_call",
            "local_shell_call",
            "local_shell_call_output",
            "mcp_approval_request",
            "mcp_approval_response",
            "mcp_call",
            "mcp_list_tools",
            "program",
            "program_output",
            "shell_call",
            "shell_call_output",
            "tool_search_call",
            "tool_search_output",
            "web_search_call",
        ],
        WrapValidator(_known_type),
    ]


def _item_tag(item: object) -> str:
    if not isinstance(item, dict):
        return "MessageItem"
    kind = item.get("type")
    if kind is None:
        return "ItemReference" if "id" in item and "role" not in item else "MessageItem"
    return _TAGS.get(kind, "OtherItem") if isinstance(kind, str) else "OtherItem"


# No tag is a field of an item, so parse.py can tell tags from fields in the location of an error.
ResponseItem = Annotated[
    Annotated[MessageItem, Tag("MessageItem")]
    | Annotated[FunctionCallItem, Tag("FunctionCallItem")]
    | Annotated[CustomToolCallItem, Tag("CustomToolCallItem")]
    | Annotated[ToolOutputItem, Tag("ToolOutputItem")]
    | Annotated[ReasoningItem, Tag("ReasoningItem")]
    | Annotated[ItemReference, Tag("ItemReference")]
    | Annotated[OtherItem, Tag("OtherItem")],
    Discriminator(_item_tag),
]
