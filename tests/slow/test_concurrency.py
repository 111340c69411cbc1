"""A thousand concurrent slow streams: complete texts, and no task is left."""

import asyncio
import json
import resource
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from claudexia.app import create_app
from claudexia.settings import Settings
from tests.helpers.serving import KEY, serving, sse, text_events
from tests.helpers.waiting import PATIENCE

STREAMS = 1000
WORDS = [f"word{number}" for number in range(8)]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def _raise_file_limit() -> Iterator[None]:
    """Each stream needs four sockets on this machine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 4 * STREAMS + 200
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"this machine allows {hard} open files, the test needs {needed}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class SlowUpstream:
    """Pauses after the first word until all streams are open, then sends one word per turn of the loop to each."""

    def __init__(self) -> None:
        self.open = 0
        self.all_open = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        await reader.readexactly(length)
        events = text_events(" ".join(WORDS))
        writer.write(HEAD)
        for number, event in enumerate(events):
            data = sse(event)
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await writer.drain()
            if number == 3:
                self.open += 1
                if self.open == STREAMS:
                    self.all_open.set()
                await self.all_open.wait()
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()


async def stream_text(host: str, port: int, number: int) -> str:
    """Sends one streaming request. Returns the text of the response."""
    body = json.dumps(
        {"model": "claude-sonnet-5-5", "messages": [{"role": "user", "content": str(number)}], "stream": True}
    )
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        f"authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(host, port)
    writer.write((head + body).encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    frames = [line[6:] for line in answer.splitlines() if line.startswith("data: ")]
    assert frames[-1] == "[DONE]"
    deltas = [json.loads(frame)["choices"][0]["delta"] for frame in frames[:-1]]
    return "".join(delta.get("content") or "" for delta in deltas)


async def count_tasks() -> int:
    return len(asyncio.all_tasks())


async def run_streams() -> tuple[list[str], int, int]:
    """The texts, and the number of tasks in the gateway's loop before and after."""
    upstream = SlowUpstream()
    server = await asyncio.start_server(upstream, "127.0.0.1", 0, backlog=STREAMS)
    upstream_port = server.sockets[0].getsockname()[1]
    settings = Settings(anthropic_base_url=f"http://127.0.0.1:{upstream_port}", api_keys={"test": KEY})
    app = create_app(settings)
    loops: list[asyncio.AbstractEventLoop] = []

    async def recording_loop(scope, receive, send):  # type: ignore[no-untyped-def]  # ASGI
        loops.append(asyncio.get_running_loop())
        await app(scope, receive, send)

    with serving(recording_loop) as url:
        address = urlsplit(url)
        host, port = address.hostname or "", address.port or 0
        while not loops:
            await asyncio.sleep(0.01)

        async def tasks() -> int:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(count_tasks(), loops[0]))

        before = await tasks()
        texts = await asyncio.gather(*(stream_text(host, port, number) for number in range(STREAMS)))
        async with asyncio.timeout(PATIENCE):
            while (after := await tasks()) > before:
                await asyncio.sleep(0.01)
    server.close()
    return texts, before, after


def test_a_thousand_streams() -> None:
    texts, before, after = asyncio.run(run_streams())
    assert texts == [" ".join(WORDS)] * STREAMS
    assert after <= before
