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
        error = envelope["error"]
        return str(error["code"] if "code" in error else error["details"]["error_code"])


CHAT = Api("/chat/completions", REQUEST)
MESSAGES = Api("/messages", {**REQUEST, "max_tokens": 50})

# Runs a test for each of them.
each_api = pytest.mark.parametrize("api", [CHAT, MESSAGES], ids=["chat", "messages"])
