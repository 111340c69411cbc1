"""The rules of content blocks: which stand where, and what each may hold.

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

from tests.fakes.anthropic.models import ModelFacts
from tests.fakes.anthropic.walk import Params, Place, Rule, places, record

# The fields of each kind of block, as the SDK's types have them.
_KEYS = {
    get_args(get_type_hints(block)["type"])[0]: block.__annotations__.keys()
    for block in get_args(ContentBlockParam)
}
_SERVER_BLOCKS = {kind for kind in _KEYS if kind.startswith("server_") or kind.endswith("_tool_result")}
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


def _of(params: Params, *kinds: str) -> Iterator[Place]:
    return (place for place in places(params) if place.block.get("type") in kinds)


def _kinds(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, _owner, block in places(params):
        if block.get("type") not in (*_KEYS, "tool_reference"):
            yield f"{path}.type"


def _keys(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, _owner, block in _of(params, *_KEYS):
        kind = str(block["type"])
        # A cache mark where none may be has a rule of its own.
        yield from (f"{path}.{kind}.{key}" for key in block.keys() - _KEYS[kind] - {"cache_control"})


def _document_in_assistant(params: Params, _: ModelFacts) -> Iterator[str]:
    yield from (path for path, owner, _block in _of(params, "document") if owner == "assistant")


def _owners(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, owner, block in _of(params, *_KEYS, "tool_reference"):
        kind = block["type"]
        if owner in _ALLOWED and kind not in _ALLOWED[owner] and (owner, kind) != ("assistant", "document"):
            yield path


def _no_text(params: Params, _: ModelFacts) -> Iterator[str]:
    yield from (path for path, _owner, block in _of(params, "text") if block.get("text") == "")


def _blank_text(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, _owner, block in _of(params, "text"):
        text = block.get("text")
        if isinstance(text, str) and text and not text.strip():
            yield path


def _user_citations(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, owner, block in _of(params, "text"):
        if owner != "assistant" and block.get("citations"):
            yield f"{path}.citations"


def _source_kinds(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, _owner, block in _of(params, *_SOURCES):
        source, known = record(block.get("source")), _SOURCES[str(block["type"])]
        fields = known.get(str(source.get("type")))
        if fields is None or source.keys() != {"type", *fields}:
            yield f"{path}.source"


def _media(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, _owner, block in _of(params, "image"):
        source = record(block.get("source"))
        if source.get("type") == "base64" and source.get("media_type") not in _MEDIA:
            yield f"{path}.source.base64.media_type"


def _document_media(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, _owner, block in _of(params, "document"):
        source = record(block.get("source"))
        wanted = _DOCUMENT_MEDIA.get(str(source.get("type")))
        if wanted and source.get("media_type") != wanted:
            yield f"{path}.source.media_type"


def _base64(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, _owner, block in _of(params, *_SOURCES):
        source = record(block.get("source"))
        if source.get("type") == "base64" and not _decodes(str(source.get("data"))):
            yield f"{path}.source.base64.data"


def _urls(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, _owner, block in _of(params, *_SOURCES):
        source = record(block.get("source"))
        if source.get("type") == "url" and not re.match(r"https?://[^/\s]", str(source.get("url"))):
            yield f"{path}.source.url"


def _image_size(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, _owner, block in _of(params, "image"):
        if len(str(record(block.get("source")).get("data", ""))) > _IMAGE_BYTES:
            yield f"{path}.source.base64"


def _image_count(params: Params, model: ModelFacts) -> Iterator[str]:
    if sum(1 for _place in _of(params, "image")) > (600 if model.window > 200_000 else 100):
        yield "messages"


def _document_empty(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, _owner, block in _of(params, "document"):
        source = record(block.get("source"))
        if source.get("type") in ("text", "content") and source.get("data", source.get("content")) in ("", []):
            yield f"{path}.source"


def _tool_ids(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, _owner, block in _of(params, "tool_use", "tool_result", "server_tool_use", *_SERVER_BLOCKS):
        key = "id" if "id" in _KEYS[str(block["type"])] else "tool_use_id"
        if not _ID.fullmatch(str(block.get(key, ""))):
            yield f"{path}.{key}"


def _tool_names(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, _owner, block in _of(params, "tool_use"):
        if not _NAME.fullmatch(str(block.get("name", ""))):
            yield f"{path}.tool_use.name"


def _inputs(params: Params, _: ModelFacts) -> Iterator[str]:
    for path, _owner, block in _of(params, "tool_use", "server_tool_use"):
        if not isinstance(block.get("input"), dict):
            yield f"{path}.tool_use.input"


def _cited_format(params: Params, _: ModelFacts) -> Iterator[str]:
    cited = any(
        record(place.block.get("citations")).get("enabled")
        for place in _of(params, "document", "search_result")
    )
    if cited and record(params.get("output_config")).get("format"):
        yield "output_config.format"


def _decodes(data: str) -> bool:
    try:
        return bool(base64.b64decode(data, validate=True))
    except binascii.Error:
        return False


RULES = (
    Rule("block type", "Input tag does not match any of the expected tags", _kinds),
    Rule("block key", "Extra inputs are not permitted", _keys),
    Rule("document in assistant", "`document` blocks are not allowed in assistant messages", _document_in_assistant),
    Rule("block place", "this type of content block is not allowed here", _owners),
    Rule("empty text", "text content blocks must be non-empty", _no_text),
    Rule("blank text", "text content blocks must contain non-whitespace text", _blank_text),
    Rule("citations in user", "`citations` must be empty in user messages", _user_citations),
    Rule("source", "Input should be a valid source with exactly the fields of its type", _source_kinds),
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
