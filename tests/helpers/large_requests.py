"""Large requests to every API, and what their cost is compared with: json.loads of the JSON that has to be read."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tests.helpers.in_process import InProcessGateway
from tests.helpers.large_bodies import BODIES, Generator, forget_tools
from tests.helpers.large_messages import MESSAGES, TEXT_COMPLETIONS
from tests.helpers.large_responses import RESPONSES

# The bodies of each API by the path of its route.
APIS: Mapping[str, Mapping[str, Generator]] = {
    "/v1/chat/completions": BODIES,
    "/v1/completions": TEXT_COMPLETIONS,
    "/v1/messages": MESSAGES,
    "/v1/messages/count_tokens": {name: MESSAGES[name] for name in ("text-blocks", "escaped-letters")},
    "/v1/responses": RESPONSES,
}
_TOKEN = re.compile(rb"[,:\[{]")
_SIGNED = re.compile(rb'"claude_([\w=-]+)"')


class LargeRequest(NamedTuple):
    """A kind of request: `generator` takes a size in kilobytes, approximately."""

    path: str
    generator: Generator

    def send(self, gateway: InProcessGateway, body: bytes) -> int:
        """Sends `body` as the first request with its tools. Returns the HTTP status."""
        forget_tools()
        return gateway.send(self.path, body)


# By path and kind: `/responses: user-messages`.
LARGE_REQUESTS: Mapping[str, LargeRequest] = {
    f"{path.removeprefix('/v1')}: {name}": LargeRequest(path, generator)
    for path, bodies in APIS.items()
    for name, generator in bodies.items()
}


def json_tokens(body: bytes) -> int:
    """About the number of values and keys in `body`, which need not be valid, and in the JSON of its strings."""
    return sum(len(_TOKEN.findall(text)) for text in (body, *map(_decoded, _SIGNED.findall(body))))


def json_texts(body: bytes) -> Sequence[str | bytes]:
    """`body`, and the JSON in its strings that the gateway has to read: arguments of calls, signed reasoning."""
    texts: list[str | bytes] = [body, *map(_decoded, _SIGNED.findall(body))]
    try:
        rest: list[object] = [json.loads(body)]
    except (ValueError, RecursionError):
        return texts
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            if isinstance(value.get("arguments"), str):
                texts.append(value["arguments"])
            rest += value.values()
        elif isinstance(value, list):
            rest += value
    return texts


def load_all(texts: Sequence[str | bytes]) -> None:
    """json.loads() of each of `texts`, as far as it is valid."""
    for text in texts:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            continue


def _decoded(data: bytes) -> bytes:
    try:
        return base64.urlsafe_b64decode(data)
    except ValueError:
        return b""
