"""ResponseFormat: what an answer is to look like, as clients send it.

Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-response_format
"""

from typing import Annotated, Literal

from pydantic import Field

from claudexia.translate.params import Params


class TextFormat(Params):
    type: Literal["text"]


class JSONObjectFormat(Params):
    type: Literal["json_object"]


class JSONSchemaObject(Params):
    # Claude has no place for the name, so that its letters and its length do not matter.
    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    schema_: Annotated[dict[str, object] | None, Field(alias="schema")] = None
    strict: bool | None = None


class JSONSchemaFormat(Params):
    type: Literal["json_schema"]
    json_schema: JSONSchemaObject


ResponseFormat = Annotated[TextFormat | JSONObjectFormat | JSONSchemaFormat, Field(discriminator="type")]
