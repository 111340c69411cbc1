"""`claudexia --lambda`: the deployed runtime in its own process, with the real OpenAI SDK in front."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from tests.helpers.command import Command, claudexia, failing
from tests.helpers.sdk import first_choice
from tests.helpers.serving import (
    KEY,
    UPSTREAM_KEY,
    Message,
    Reply,
    Upstream,
    error_body,
    serving,
    sse,
    text_events,
    tool_events,
)
from tests.helpers.waiting import PATIENCE

MODEL = "claude-sonnet-4.5"
QUESTION: list[Any] = [{"role": "user", "content": "Hello?"}]
WEATHER: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
LAMBDA_LINE = "Requests go through the Lambda runtime, in a process of its own, behind a local API Gateway."


@contextmanager
def ended(running: Any) -> Iterator[Command]:
    """The command, ended by a signal: what it started has to end with it."""
    with running as command:
        try:
            yield command
        finally:
            if command.process.poll() is None:
                command.end(signal.SIGTERM)


@contextmanager
def as_lambda(upstream: Any, *arguments: str) -> Iterator[Command]:
    with serving(upstream) as url:
        env = {"CLAUDEXIA_API_KEYS": f"test:{KEY}", "ANTHROPIC_API_KEY": UPSTREAM_KEY}
        with ended(claudexia("--lambda", "--upstream", url, *arguments, **env)) as command:
            yield command


def client_of(command: Command) -> OpenAI:
    http = openai.DefaultHttpxClient(trust_env=False)
    return OpenAI(base_url=command.url, api_key=KEY, max_retries=0, timeout=PATIENCE, http_client=http)


class Gate:
    """An upstream that begins its answers at once and ends them when it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.asked = threading.Semaphore(0)
        self.whole = threading.Semaphore(0)
        self.now = self.most = 0

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        self.now += 1
        self.most = max(self.most, self.now)
        *first, last = text_events("early late")
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": sse(*first[:4]), "more_body": True})
        self.asked.release()
        assert await asyncio.to_thread(self.opened.wait, PATIENCE)
        self.now -= 1
        await send({"type": "http.response.body", "body": sse(*first[4:], last)})
        self.whole.release()


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture(scope="module")
def command(upstream: Upstream) -> Iterator[Command]:
    with as_lambda(upstream) as command:
        yield command


@pytest.fixture
def client(command: Command, upstream: Upstream) -> Iterator[OpenAI]:
    """With an upstream that has just been put back to its ordinary reply."""
    upstream.replies = Upstream().replies
    with client_of(command) as client:
        yield client


def test_what_it_says_first() -> None:
    with ended(claudexia("--lambda")) as command:
        who, how, *_ = command.output.splitlines()
        answer = command.complete("hello world").raise_for_status().json()
        streamed = command.complete("hello world", stream=True)
    assert who == "Answers come from the built-in echo, not from Claude; set ANTHROPIC_API_KEY to call Claude."
    assert how == LAMBDA_LINE
    assert answer["choices"][0]["message"]["content"] == "Echo: hello world"
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert "x-amzn-requestid" in streamed.headers


def test_a_whole_answer(client: OpenAI, upstream: Upstream) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION)
    completion = raw.parse()
    assert completion.choices[0].message.content == "Hello there"
    assert completion._request_id == "req_upstream"
    assert raw.headers["x-amzn-trace-id"].startswith("Root=1-")
    assert upstream.headers[-1]["x-api-key"] == UPSTREAM_KEY


def test_a_streamed_answer(client: OpenAI) -> None:
    with client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True) as stream:
        assert [chunk.choices[0].delta.content for chunk in stream] == ["", "Hello", " there", None]


@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_tools(client: OpenAI, upstream: Upstream, streamed: bool) -> None:
    upstream.replies = Upstream(Reply([sse(*tool_events(("get_weather", '{"city": "Paris"}')))])).replies
    choice = first_choice(client, streamed, model=MODEL, messages=QUESTION, tools=[WEATHER])
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls[0].function.arguments == '{"city": "Paris"}'


def test_models(client: OpenAI) -> None:
    assert "claude-sonnet-4-5" in client.models.retrieve("claude-sonnet-4-5").id
    assert len(list(client.models.list())) > 1


@pytest.mark.parametrize(
    ("reply", "asked", "error"),
    [
        pytest.param(Reply(), {"messages": []}, openai.BadRequestError, id="bad-request"),
        pytest.param(Reply(), {"model": "gpt-9"}, openai.NotFoundError, id="no-such-model"),
        pytest.param(Reply([error_body("rate_limit_error", "slow down")], 429), {}, openai.RateLimitError, id="rate-limit"),
        pytest.param(Reply([error_body("overloaded_error", "busy")], 529), {}, openai.InternalServerError, id="overloaded"),
        pytest.param(Reply(then="break"), {}, openai.InternalServerError, id="upstream-breaks-off"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_errors_before_the_answer_keep_their_status(
    client: OpenAI, upstream: Upstream, reply: Reply, asked: dict[str, Any], error: type[openai.APIStatusError], streamed: bool
) -> None:  # fmt: skip
    upstream.replies = Upstream(reply).replies
    with pytest.raises(error) as raised:
        client.chat.completions.create(**{"model": MODEL, "messages": QUESTION, "stream": streamed, **asked})
    assert raised.value.body


@pytest.mark.parametrize("key", ["", "sk_cdx_wrong"], ids=["no-key", "wrong-key"])
def test_a_wrong_key_is_refused(command: Command, key: str) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    assert (
        httpx.get(f"{command.url}/models", headers=headers, trust_env=False, timeout=PATIENCE).status_code
        == 401
    )


@pytest.mark.parametrize("then", ["break", "error"])
def test_an_error_in_the_middle_is_raised(client: OpenAI, upstream: Upstream, then: str) -> None:
    pieces = [sse(*text_events()[:4])]
    if then == "error":
        pieces.append(sse({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}))
    upstream.replies = Upstream(Reply(pieces, then="break" if then == "break" else "end")).replies
    seen: list[str | None] = []
    with (
        pytest.raises(openai.APIError),
        client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True) as stream,
    ):
        seen.extend(chunk.choices[0].delta.content for chunk in stream)
    assert seen[:2] == ["", "Hello"]


@pytest.mark.parametrize("size", [100_000, 5_000_000], ids=["100-kB", "5-MB"])
def test_large_requests_reach_the_upstream(client: OpenAI, upstream: Upstream, size: int) -> None:
    client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x" * size}])
    assert len(upstream.bodies[-1]["messages"][0]["content"][0]["text"]) == size


def test_a_request_that_lambda_would_not_take_is_a_413(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as raised:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x" * 20_000_000}])
    assert raised.value.status_code == 413
    assert raised.value.code == "request_too_large"


@pytest.mark.parametrize("size", [100_000, 20_000_000], ids=["100-kB", "20-MB"])
@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_large_answers_arrive(client: OpenAI, upstream: Upstream, size: int, streamed: bool) -> None:
    events = text_events(" ".join(["y" * (size // 10 - 1)] * 10))
    upstream.replies = Upstream(Reply([sse(event) for event in events])).replies
    if streamed:
        with client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True) as stream:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    else:
        completion = client.chat.completions.create(model=MODEL, messages=QUESTION)
        text = completion.choices[0].message.content or ""
    assert len(text) == size - 1


def test_what_the_upstream_says_arrives_before_it_has_ended() -> None:
    gate = Gate()
    with (
        as_lambda(gate) as command,
        client_of(command) as client,
        client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True) as stream,
    ):
        contents = (chunk.choices[0].delta.content for chunk in stream)
        assert [next(contents), next(contents)] == ["", "early"]
        gate.opened.set()  # and only now does the upstream go on
        assert [*contents] == [" late", None]


def test_a_client_who_leaves_is_not_told_to_the_function() -> None:
    gate = Gate()
    with as_lambda(gate) as command, client_of(command) as client:
        with client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True) as stream:
            next(iter(stream))
        with ThreadPoolExecutor() as threads:
            second = threads.submit(client.chat.completions.create, model=MODEL, messages=QUESTION)
            assert gate.asked.acquire(timeout=PATIENCE)
            assert not gate.asked.acquire(timeout=0.3)  # the second waits: the function still has the first
            gate.opened.set()
            assert gate.whole.acquire(timeout=PATIENCE)
            assert second.result(PATIENCE).choices[0].message.content == "early late"


@pytest.mark.parametrize(
    ("arguments", "at_once"), [([], 1), (["--concurrency", "4"], 4)], ids=["one-by-one", "four-at-once"]
)
def test_how_many_requests_the_process_has_in_hand(arguments: list[str], at_once: int) -> None:
    gate = Gate()
    with as_lambda(gate, *arguments) as command, client_of(command) as client, ThreadPoolExecutor() as threads:
        answers = [
            threads.submit(client.chat.completions.create, model=MODEL, messages=QUESTION) for _ in range(5)
        ]
        for _ in range(at_once):
            assert gate.asked.acquire(timeout=PATIENCE)
        assert not gate.asked.acquire(timeout=0.3)
        assert len(children(command)) == 1
        gate.opened.set()
        assert {answer.result(PATIENCE).choices[0].message.content for answer in answers} == {"early late"}
    assert gate.most == at_once


def children(command: Command) -> list[str]:
    pid = command.process.pid
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if not listed.exists():
        pytest.skip("this system does not list a process's children")
    return listed.read_text().split()


@pytest.mark.parametrize("pieces", [[], [sse(*text_events()[:4])]], ids=["silent", "begun"])
@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_an_answer_ends_in_time_and_says_so(pieces: list[bytes], streamed: bool) -> None:
    upstream = Upstream(Reply(pieces, then="hang"), Reply([sse(*text_events())]))
    with as_lambda(upstream, "--timeout", "10") as command, client_of(command) as client:
        (runtime,) = children(command)
        with pytest.raises(openai.APIError, match="time limit") as raised:
            ask(client, streamed)
        if not (streamed and pieces):
            assert isinstance(raised.value, openai.APIStatusError)
            assert raised.value.status_code == 504
        ask(client, streamed)
        assert children(command) == [runtime]  # which was in time, and not killed


def ask(client: OpenAI, streamed: bool) -> None:
    if streamed:
        with client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True) as stream:
            list(stream)
    else:
        client.chat.completions.create(model=MODEL, messages=QUESTION)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("streamed", [False, True], ids=["idle", "streaming"])
def test_a_signal_ends_it_at_once_and_the_runtime_with_it(sig: signal.Signals, streamed: bool) -> None:
    with claudexia("--lambda") as command:
        (runtime,) = children(command)
        if streamed:
            with command.streaming() as lines:
                status, said = command.end(sig)
                with pytest.raises(httpx.TransportError):  # it did not wait for the end of the answer
                    list(lines)
        else:
            status, said = command.end(sig)
    assert (status, said) == (0, "")
    assert not Path(f"/proc/{runtime}").exists()


def test_a_runtime_that_cannot_start_is_one_sentence_after_its_own_lines(tmp_path: Path) -> None:
    (tmp_path / "mangum.py").write_text("raise ImportError('no mangum today')")
    failed = failing("--lambda", "--port", "0", PYTHONPATH=str(tmp_path))
    *own, last = failed.stderr.splitlines()
    assert (failed.returncode, failed.stdout) == (2, "")
    assert "ImportError: no mangum today" in own
    assert last == (
        "claudexia: The Lambda runtime ended before it was ready (exit status 1); see its output above."
    )


@pytest.mark.parametrize("option", ["timeout", "concurrency"])
def test_options_of_a_lambda_function_need_one(option: str) -> None:
    failed = failing(f"--{option}", "2")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr == (f"claudexia: --{option} configures a Lambda function; use it with --lambda.\n")


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("--timeout=0", "0 is not in the range 1<=x<=900."),
        ("--timeout=901", "901 is not in the range 1<=x<=900."),
        ("--concurrency=0", "0 is not in the range 1<=x<=64."),
        ("--timeout=2.5", "'2.5' is not a valid integer range."),
    ],
)
def test_options_are_whole_numbers_within_lambdas_bounds(argument: str, reason: str) -> None:
    failed = failing("--lambda", argument)
    assert failed.returncode == 2
    assert reason in failed.stderr
