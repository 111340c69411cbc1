"""What clients send as content parts, in OpenAI's words.

Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from claudexia.translate.cache_params import Marked
from claudexia.translate.params import Params


class TextPart(Marked):
    type: Literal["text"]
    text: str


class RefusalPart(Marked):
    type: Literal["refusal"]
    refusal: str


class ImageURL(Params):
    url: str
    detail: str | None = None


class ImagePart(Marked):
    type: Literal["image_url"]
    # Some clients send the bare URL.
    image_url: Annotated[ImageURL, BeforeValidator(lambda v: {"url": v} if isinstance(v, str) else v)]


class FileObject(Params):
    """`file_data` is a data URL, bare base64 or a URL; `format` is LiteLLM's label, but the bytes decide."""

    file_data: str | None = None
    filename: Annotated[str, Field(max_length=500)] | None = None
    file_id: str | None = None
    file_url: str | None = None
    format: str | None = None


class FilePart(Marked):
    type: Literal["file"]
    file: FileObject


class AudioPart(Params):
    type: Literal["input_audio"]
