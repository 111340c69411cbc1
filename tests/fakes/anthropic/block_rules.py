"""Rules for content blocks: the allowed parents and fields of each type.

https://platform.claude.com/docs/en/build-with-claude/vision
https://platform.claude.com/docs/en/build-with-claude/pdf-support
https://platform.claude.com/docs/en/api/migration-2026-10-21
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import get_args, get_type_hints

from anthropic.types import ContentBlockParam

from claudexia_cli.echo.params import Params, Place, as_object, places
from claudexia_cli.echo.rules import Rule, Violation
from tests.fakes.anthropic.models import ModelFacts

# The fields of each block type, from the SDK's types.
_KEYS = {
    get_args(get_type_hints(block)["type"])[0]: block.__annotations__.keys()
    for block in get_args(ContentBlockParam)
}
_SERVER_BLOCKS = {name for name in _KEYS if name.startswith("server_") or name.endswith("_tool_result")}
_RESULT = {"text", "image", "document", "search_result", "tool_reference"}
_ALLOWED = {
    "user": {"text", "image", "document", "search_result", "tool_result", "container_upload"},
    "assistant": {"text", "tool_use", "thinking", "redacted_thinking", "container_upload", *_SERVER_BLOCKS},
    "system": {"text"},
    "tool_result": _RESULT,
    "search_result": {"text"},
}
_MEDIA = ("image/jpeg", "image/png", "image/gif", "image/webp")
_SOURCES = {
    "image": {"base64": {"media_type", "data"}, "url": {"url"}, "file": {"file_id"}},
    "document": {
        "base64": {"media_type", "data"}, "text": {"media_type", "data"}, "url": {"url"}, "file": {"file_id"},
        "content": {"content"},
    },
}  # fmt: skip
_DOCUMENT_MEDIA = {"base64": "application/pdf", "text": "text/plain"}
_IMAGE_BYTES = 10 * 1024 * 1024
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def _of_type(params: Params, *types: str) -> Iterator[Place]:
    return (place for place in places(params) if place.block.get("type") in types)


def _unknown_type(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, _parent, block in places(params):
        if block.get("type") not in (*_KEYS, "tool_reference"):
            yield f"{path}.type"


def _keys(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, _parent, block in _of_type(params, *_KEYS):
        block_type = str(block["type"])
        # A cache breakpoint on a wrong block has its own rule.
        yield from (
            f"{path}.{block_type}.{key}" for key in block.keys() - _KEYS[block_type] - {"cache_control"}
        )


def _document_in_assistant(params: Params, _: ModelFacts) -> Iterator[Violation]:
    yield from (path for path, parent, _block in _of_type(params, "document") if parent == "assistant")


def _wrong_parent(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, parent, block in _of_type(params, *_KEYS, "tool_reference"):
        block_type = block["type"]
        if (
            parent in _ALLOWED
            and block_type not in _ALLOWED[parent]
            and (parent, block_type) != ("assistant", "document")
        ):
            yield path


def _user_citations(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, parent, block in _of_type(params, "text"):
        if parent != "assistant" and block.get("citations"):
            yield f"{path}.citations"


def _source_shape(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, _parent, block in _of_type(params, *_SOURCES):
        source, known = as_object(block.get("source")), _SOURCES[str(block["type"])]
        fields = known.get(str(source.get("type")))
        if fields is None or source.keys() != {"type", *fields}:
            yield f"{path}.source"


def _media(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, _parent, block in _of_type(params, "image"):
        source = as_object(block.get("source"))
        if source.get("type") == "base64" and source.get("media_type") not in _MEDIA:
            yield f"{path}.source.base64.media_type"


def _document_media(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, _parent, block in _of_type(params, "document"):
        source = as_object(block.get("source"))
        expected = _DOCUMENT_MEDIA.get(str(source.get("type")))
        if expected and source.get("media_type") != expected:
            yield f"{path}.source.media_type"


def _base64(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, _parent, block in _of_type(params, *_SOURCES):
        source = as_object(block.get("source"))
        if source.get("type") == "base64" and not _decodes(str(source.get("data"))):
            yield f"{path}.source.base64.data"


def _urls(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, _parent, block in _of_type(params, *_SOURCES):
        source = as_object(block.get("source"))
        if source.get("type") == "url" and not re.match(r"https?://[^/\s]", str(source.get("url"))):
            yield f"{path}.source.url"


def _image_size(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, _parent, block in _of_type(params, "image"):
        if len(str(as_object(block.get("source")).get("data", ""))) > _IMAGE_BYTES:
            yield f"{path}.source.base64"


def _image_count(params: Params, model: ModelFacts) -> Iterator[Violation]:
    if sum(1 for _place in _of_type(params, "image")) > (600 if model.window > 200_000 else 100):
        yield "messages"


def _document_empty(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, _parent, block in _of_type(params, "document"):
        source = as_object(block.get("source"))
        if source.get("type") in ("text", "content") and source.get("data", source.get("content")) in ("", []):
            yield f"{path}.source"


def _tool_ids(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, _parent, block in _of_type(params, "tool_use", "tool_result", "server_tool_use", *_SERVER_BLOCKS):
        key = "id" if "id" in _KEYS[str(block["type"])] else "tool_use_id"
        if not _ID.fullmatch(str(block.get(key, ""))):
            yield f"{path}.{key}"


def _tool_names(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, _parent, block in _of_type(params, "tool_use"):
        if not _NAME.fullmatch(str(block.get("name", ""))):
            yield f"{path}.tool_use.name"


def _inputs(params: Params, _: ModelFacts) -> Iterator[Violation]:
    for path, _parent, block in _of_type(params, "tool_use", "server_tool_use"):
        if not isinstance(block.get("input"), dict):
            yield f"{path}.tool_use.input"


def _cited_format(params: Params, _: ModelFacts) -> Iterator[Violation]:
    cited = any(
        as_object(place.block.get("citations")).get("enabled")
        for place in _of_type(params, "document", "search_result")
    )
    if cited and as_object(params.get("output_config")).get("format"):
        yield "output_config.format"


def _decodes(data: str) -> bool:
    try:
        return bool(base64.b64decode(data, validate=True))
    except binascii.Error:
        return False


RULES = (
    Rule("block type", "Input tag does not match any of the expected tags", _unknown_type),
    Rule("block key", "Extra inputs are not permitted", _keys),
    Rule("document in assistant", "`document` blocks are not allowed in assistant messages", _document_in_assistant),
    Rule("block parent", "this type of content block is not allowed here", _wrong_parent),
    Rule("citations in user", "`citations` must be empty in user messages", _user_citations),
    Rule("source", "Input should be a valid source with exactly the fields of its type", _source_shape),
    Rule("image media type", "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'", _media),
    Rule("document media type", "Input should be 'application/pdf' for base64 and 'text/plain' for text", _document_media),
    Rule("base64", "invalid base64 data", _base64),
    Rule("source url", "Only HTTP and HTTPS URLs are supported", _urls),
    Rule("image size", "image exceeds 10 MB maximum", _image_size),
    Rule("image count", "too many images", _image_count),
    Rule("empty document", "document must not be empty", _document_empty),
    Rule("tool_use id pattern", "String should match pattern '^[a-zA-Z0-9_-]+$'", _tool_ids),
    Rule("tool_use name pattern", "String should match pattern '^[a-zA-Z0-9_-]{1,64}$'", _tool_names),
    Rule("tool_use input", "Input should be a valid dictionary", _inputs),
    Rule("citations with format", "citations cannot be combined with `output_config.format`", _cited_format),
)  # fmt: skip
