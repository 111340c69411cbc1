"""The APIs that a client may speak, for tests of what holds for each of them."""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.helpers.deployment import REQUEST


@dataclass(frozen=True)
class Api:
    """`body` is a request without a setting beyond the required ones."""

    path: str
    body: dict[str, Any]

    def code_of(self, response: httpx.Response) -> str:
        """The code of the gateway's own error."""
        return self.code_in(response.json())

    def code_in(self, envelope: Any) -> str:
        """`envelope` is the body of an error, or the last event of a stream that failed."""
        error = (envelope.get("response") or envelope)["error"]
        return str(error["code"] if "code" in error else error["details"]["error_code"])

    def text_of(self, response: httpx.Response) -> str:
        """The text of a whole answer."""
        body = response.json()
        if "choices" in body:
            return str(body["choices"][0]["message"]["content"])
        blocks = body["output"][-1]["content"] if "output" in body else body["content"]
        return str(blocks[-1]["text"])


CHAT = Api("/chat/completions", REQUEST)
MESSAGES = Api("/messages", {**REQUEST, "max_tokens": 50})
# Not stored, so that the table is called for nothing but the key and its limits.
RESPONSES = Api("/responses", {"model": REQUEST["model"], "input": "Hi", "store": False})

# Runs a test for each of them.
each_api = pytest.mark.parametrize("api", [CHAT, MESSAGES, RESPONSES], ids=["chat", "messages", "responses"])
