"""Every recorded stream and message of Anthropic's API passes /v1/messages byte for byte, and is counted.

A stream that contradicts the protocol passes up to the event that does.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.helpers import recordings
from tests.helpers.deployment import Deployment, deployment
from tests.helpers.serving import WHOLE_JSON, Reply, Upstream
from tests.helpers.waiting import PATIENCE

pytestmark = recordings.needs_recordings

STREAMS = recordings.names("streams", ".sse")
# Streams that the upstream broke off without an error event: the gateway appends one.
CUT = {"assembled-cut-before-message_stop", "assembled-cut-mid-text-no-error"}
# The beginning of the event in whose place the gateway sends an error event.
DAMAGED = {
    "vercel-ai-spliced-message-start": b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_second"',
}
# Their last usage is that of the start: the gateway counts the text that came.
BROKEN = {*CUT, *DAMAGED, "assembled-error-mid-text"}
ERROR_FIRST = "quoted-error-as-first-event-http200"
STEP = 1000  # bytes of one network read


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture(scope="module")
def deployed(upstream: Upstream) -> Iterator[Deployment]:
    with deployment(upstream) as deployed:
        yield deployed


def ask(deployed: Deployment, upstream: Upstream, secret: str, reply: Reply, stream: bool) -> httpx.Response:
    upstream.replies.clear()
    upstream.replies.append(reply)
    body = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [], "stream": stream}
    return httpx.post(f"{deployed.url}/messages", json=body, headers={"x-api-key": secret}, timeout=PATIENCE)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream(deployed: Deployment, upstream: Upstream, name: str) -> None:
    data = recordings.read_bytes("streams", name, ".sse")
    pieces: list[Any] = []
    for start in range(0, len(data), STEP):
        pieces += [data[start : start + STEP], 1]
    response = ask(deployed, upstream, deployed.key(key_name(name)), Reply(pieces), stream=True)
    if name == ERROR_FIRST:
        assert response.status_code >= 400
        assert response.json()["error"]["type"] == "overloaded_error"
        return
    assert response.status_code == 200
    if name in CUT or name in DAMAGED:
        data = data.partition(DAMAGED.get(name, b"nothing"))[0]
        assert response.content.startswith(data)
        assert response.content.removeprefix(data).startswith(b"event: error\n")
    else:
        assert response.content == data
    expected = usage_of(data)
    assert counted(deployed, name, "input_tokens") == expected.get("input_tokens", 0)
    assert counted(deployed, name, "output_tokens") == expected["output_tokens"] or name in BROKEN


def usage_of(data: bytes) -> dict[str, int]:
    """The last count of each kind of token that the stream has."""
    usage: dict[str, int] = {}
    for line in data.splitlines():
        if line.startswith(b"data:") and b'"usage"' in line:
            event = json.loads(line[5:])
            usage |= {
                k: v for k, v in (event.get("message") or event).get("usage", {}).items() if v is not None
            }
    return usage


def key_name(name: str) -> str:
    return f"k{name[-60:]}"


def counted(deployed: Deployment, name: str, kind: str) -> int:
    return sum(getattr(each.totals, kind) for each in deployed.usage() if each.key_name == key_name(name))


@pytest.mark.parametrize("name", recordings.names("messages", ".json"))
def test_a_message(deployed: Deployment, upstream: Upstream, name: str) -> None:
    data = recordings.read_bytes("messages", name, ".json")
    response = ask(
        deployed, upstream, deployed.key(key_name(name)), Reply([data], headers=WHOLE_JSON), stream=False
    )
    assert (response.status_code, response.content) == (200, data)
    assert counted(deployed, name, "output_tokens") == json.loads(data)["usage"]["output_tokens"]
