"""Every recorded stream through the gateway from each host: the same bytes as from Anthropic's API."""

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.fakes.hosts import ENVIRONMENT, FakeHost, Kind
from tests.helpers import recordings
from tests.helpers.hosts import hosts_gateway
from tests.helpers.serving import KEY
from tests.helpers.waiting import PATIENCE

pytestmark = recordings.needs_recordings

NOW = datetime(2026, 11, 26, tzinfo=UTC)
STREAMS = recordings.names("streams", ".sse")


class Recorded:
    """An ASGI app that sends the recorded stream `name`."""

    name = ""

    async def __call__(
        self, scope: Any, receive: Any, send: Callable[[MutableMapping[str, Any]], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        pairs = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": pairs})
        body = recordings.read_bytes("streams", self.name, ".sse")
        await send({"type": "http.response.body", "body": body})


@contextmanager
def answers_of(kind: str) -> Iterator[Callable[[str, bool], tuple[int, str]]]:
    """Status and body of the gateway's response to a request whose answer is the recorded one."""
    app = Recorded()
    host: Any = app if kind == "anthropic" else FakeHost(kind, app)  # type: ignore[arg-type]
    with hosts_gateway({kind: host}, now=lambda: NOW) as url, httpx.Client(timeout=PATIENCE) as client:

        def ask(name: str, stream: bool) -> tuple[int, str]:
            app.name = name
            body = {
                "model": "claude-opus-4-6",
                "stream": stream,
                "messages": [{"role": "user", "content": "hi"}],
            }
            answer = client.post(f"{url}/chat/completions", json=body, headers={"api-key": KEY})
            if answer.status_code == 200:
                assert answer.headers["x-claudexia-upstream"] == {"mantle": "bedrock"}.get(kind, kind)
            return answer.status_code, answer.text

        yield ask


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("kind", ["aws", "bedrock", "mantle"])
def test_every_recording_is_the_same_from_each_host(
    kind: Kind, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with answers_of("anthropic") as direct, answers_of(kind) as hosted:
        differing = [name for name in STREAMS if direct(name, stream) != hosted(name, stream)]
    assert len(STREAMS) > 20
    assert not differing
