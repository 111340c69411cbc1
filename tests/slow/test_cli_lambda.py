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

from tests.helpers.command import Command, claudexia, run_to_failure
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
def terminated(running: Any) -> Iterator[Command]:
    """The command. It is ended by a signal, so that its child process is ended, too."""
    with running as command:
        try:
            yield command
        finally:
            if command.process.poll() is None:
                command.end(signal.SIGTERM)


@contextmanager
def lambda_command(upstream: Any, *arguments: str) -> Iterator[Command]:
    with serving(upstream) as url:
        env = {"CLAUDEXIA_API_KEYS": f"test:{KEY}", "ANTHROPIC_API_KEY": UPSTREAM_KEY}
        with terminated(claudexia("--lambda", "--upstream", url, *arguments, **env)) as command:
            yield command


def client_of(command: Command) -> OpenAI:
    http = openai.DefaultHttpxClient(trust_env=False)
    return OpenAI(base_url=command.url, api_key=KEY, max_retries=0, timeout=PATIENCE, http_client=http)


class Gate:
    """An upstream that sends the first deltas at once and the rest when `opened` is set."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.requested = threading.Semaphore(0)
        self.completed = threading.Semaphore(0)
        self.current = self.maximum = 0

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        self.current += 1
        self.maximum = max(self.maximum, self.current)
        *first, last = text_events("early late")
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": sse(*first[:4]), "more_body": True})
        self.requested.release()
        assert await asyncio.to_thread(self.opened.wait, PATIENCE)
        self.current -= 1
        await send({"type": "http.response.body", "body": sse(*first[4:], last)})
        self.completed.release()


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture(scope="module")
def command(upstream: Upstream) -> Iterator[Command]:
    with lambda_command(upstream) as command:
        yield command


@pytest.fixture
def client(command: Command, upstream: Upstream) -> Iterator[OpenAI]:
    """Resets the upstream to its default reply."""
    upstream.replies = Upstream().replies
    with client_of(command) as client:
        yield client


def test_the_first_lines_name_the_upstream_and_the_runtime() -> None:
    with terminated(claudexia("--lambda")) as command:
        upstream_line, lambda_line, *_ = command.output.splitlines()
        answer = command.complete("hello world").raise_for_status().json()
        streamed = command.complete("hello world", stream=True)
    assert (
        upstream_line
        == "Answers come from the built-in echo, not from Claude; set ANTHROPIC_API_KEY to call Claude."
    )
    assert lambda_line == LAMBDA_LINE
    assert answer["choices"][0]["message"]["content"] == "Echo: hello world"
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert "x-amzn-requestid" in streamed.headers


def test_a_buffered_completion(client: OpenAI, upstream: Upstream) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION)
    completion = raw.parse()
    assert completion.choices[0].message.content == "Hello there"
    assert completion._request_id == "req_upstream"
    assert raw.headers["x-amzn-trace-id"].startswith("Root=1-")
    assert upstream.headers[-1]["x-api-key"] == UPSTREAM_KEY


def test_a_streamed_completion(client: OpenAI) -> None:
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
    ("reply", "fields", "error"),
    [
        pytest.param(Reply(), {"messages": []}, openai.BadRequestError, id="bad-request"),
        pytest.param(Reply(), {"model": "gpt-9"}, openai.NotFoundError, id="no-such-model"),
        pytest.param(Reply([error_body("rate_limit_error", "slow down")], 429), {}, openai.RateLimitError, id="rate-limit"),
        pytest.param(Reply([error_body("overloaded_error", "busy")], 529), {}, openai.InternalServerError, id="overloaded"),
        pytest.param(Reply(then="break"), {}, openai.InternalServerError, id="upstream-breaks-off"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_errors_before_the_first_event_have_their_status(
    client: OpenAI, upstream: Upstream, reply: Reply, fields: dict[str, Any], error: type[openai.APIStatusError], streamed: bool
) -> None:  # fmt: skip
    upstream.replies = Upstream(reply).replies
    with pytest.raises(error) as raised:
        client.chat.completions.create(**{"model": MODEL, "messages": QUESTION, "stream": streamed, **fields})
    assert raised.value.body


@pytest.mark.parametrize("key", ["", "sk_cdx_wrong"], ids=["no-key", "wrong-key"])
def test_a_wrong_key_is_refused(command: Command, key: str) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    assert (
        httpx.get(f"{command.url}/models", headers=headers, trust_env=False, timeout=PATIENCE).status_code
        == 401
    )


@pytest.mark.parametrize("then", ["break", "error"])
def test_an_error_in_the_middle_of_a_stream_is_raised(client: OpenAI, upstream: Upstream, then: str) -> None:
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


def test_a_request_above_lambdas_limit_is_a_413(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as raised:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x" * 20_000_000}])
    assert raised.value.status_code == 413
    assert raised.value.code == "request_too_large"


@pytest.mark.parametrize("size", [100_000, 20_000_000], ids=["100-kB", "20-MB"])
@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_large_responses_are_complete(client: OpenAI, upstream: Upstream, size: int, streamed: bool) -> None:
    events = text_events(" ".join(["y" * (size // 10 - 1)] * 10))
    upstream.replies = Upstream(Reply([sse(event) for event in events])).replies
    if streamed:
        with client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True) as stream:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    else:
        completion = client.chat.completions.create(model=MODEL, messages=QUESTION)
        text = completion.choices[0].message.content or ""
    assert len(text) == size - 1


def test_deltas_arrive_before_the_upstream_has_finished() -> None:
    gate = Gate()
    with (
        lambda_command(gate) as command,
        client_of(command) as client,
        client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True) as stream,
    ):
        contents = (chunk.choices[0].delta.content for chunk in stream)
        assert [next(contents), next(contents)] == ["", "early"]
        gate.opened.set()  # the upstream continues only now
        assert [*contents] == [" late", None]


@pytest.mark.parametrize("mapping", ["/prod", "models", "v1/claude", "/v1/"])
def test_a_custom_domain_with_a_base_path(mapping: str) -> None:
    """Everything is below the mapping, and nothing beside it; a mapping may have the name of a route."""
    with lambda_command(Upstream(), "--base-path", mapping) as command:
        origin, base = command.url.removesuffix("/v1").split(f"/{mapping.strip('/')}")
        assert base == ""
        root = command.url.removesuffix("/v1")
        with client_of(command) as client:
            assert first_choice(client, False, model=MODEL, messages=QUESTION).message.content == "Hello there"
            assert first_choice(client, True, model=MODEL, messages=QUESTION).message.content == "Hello there"
            assert len(list(client.models.list())) > 1
            assert client.responses.create(model=MODEL, input="Hello?").output_text == "Hello there"
        options: Any = {"trust_env": False, "timeout": PATIENCE}
        key = {"authorization": f"Bearer {KEY}"}
        for page in (root, f"{root}/"):
            html = httpx.get(page, headers={"accept": "text/html"}, **options)
            assert html.headers["content-type"].startswith("text/html"), html.text
        assert httpx.get(f"{root}/health", **options).json() == {"status": "ok"}
        assert httpx.head(f"{root}/models", headers=key, **options).status_code == 200
        assert httpx.get(f"{origin}/elsewhere/models", headers=key, **options).status_code == 403


def test_the_function_does_not_learn_of_a_disconnect() -> None:
    gate = Gate()
    with lambda_command(gate) as command, client_of(command) as client:
        with client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True) as stream:
            next(iter(stream))
        with ThreadPoolExecutor() as threads:
            second = threads.submit(client.chat.completions.create, model=MODEL, messages=QUESTION)
            assert gate.requested.acquire(timeout=PATIENCE)
            assert not gate.requested.acquire(
                timeout=0.3
            )  # the second waits: the function still serves the first
            gate.opened.set()
            assert gate.completed.acquire(timeout=PATIENCE)
            assert second.result(PATIENCE).choices[0].message.content == "early late"


@pytest.mark.parametrize(
    ("arguments", "concurrency"), [([], 1), (["--concurrency", "4"], 4)], ids=["one-by-one", "four-at-once"]
)
def test_number_of_concurrent_requests_in_the_process(arguments: list[str], concurrency: int) -> None:
    gate = Gate()
    with (
        lambda_command(gate, *arguments) as command,
        client_of(command) as client,
        ThreadPoolExecutor() as threads,
    ):
        answers = [
            threads.submit(client.chat.completions.create, model=MODEL, messages=QUESTION) for _ in range(5)
        ]
        for _ in range(concurrency):
            assert gate.requested.acquire(timeout=PATIENCE)
        assert not gate.requested.acquire(timeout=0.3)
        assert len(children(command)) == 1
        gate.opened.set()
        assert {answer.result(PATIENCE).choices[0].message.content for answer in answers} == {"early late"}
    assert gate.maximum == concurrency


def children(command: Command) -> list[str]:
    pid = command.process.pid
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if not listed.exists():
        pytest.skip("this system does not list a process's children")
    return listed.read_text().split()


@pytest.mark.parametrize("pieces", [[], [sse(*text_events()[:4])]], ids=["silent", "begun"])
@pytest.mark.parametrize("streamed", [False, True], ids=["buffered", "streamed"])
def test_a_timeout_is_an_error_before_the_process_is_killed(pieces: list[bytes], streamed: bool) -> None:
    upstream = Upstream(Reply(pieces, then="hang"), Reply([sse(*text_events())]))
    with lambda_command(upstream, "--timeout", "10") as command, client_of(command) as client:
        (runtime,) = children(command)
        with pytest.raises(openai.APIError, match="time limit") as raised:
            create_completion(client, streamed)
        if not (streamed and pieces):
            assert isinstance(raised.value, openai.APIStatusError)
            assert raised.value.status_code == 504
        create_completion(client, streamed)
        assert children(command) == [runtime]  # it was not killed


def create_completion(client: OpenAI, streamed: bool) -> None:
    if streamed:
        with client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True) as stream:
            list(stream)
    else:
        client.chat.completions.create(model=MODEL, messages=QUESTION)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("streamed", [False, True], ids=["idle", "streaming"])
def test_a_signal_ends_the_command_and_its_runtime_at_once(sig: signal.Signals, streamed: bool) -> None:
    with claudexia("--lambda") as command:
        (runtime,) = children(command)
        if streamed:
            with command.streaming() as lines:
                status, output = command.end(sig)
                with pytest.raises(httpx.TransportError):  # the stream was interrupted
                    list(lines)
        else:
            status, output = command.end(sig)
    assert (status, output) == (0, "")
    assert not Path(f"/proc/{runtime}").exists()


def test_a_runtime_that_cannot_start_is_one_sentence_after_its_output(tmp_path: Path) -> None:
    (tmp_path / "mangum.py").write_text("raise ImportError('no mangum today')")
    process = run_to_failure("--lambda", "--port", "0", PYTHONPATH=str(tmp_path))
    *output_lines, last = process.stderr.splitlines()
    assert (process.returncode, process.stdout) == (2, "")
    assert "ImportError: no mangum today" in output_lines
    assert last == (
        "claudexia: The Lambda runtime ended before it was ready (exit status 1); see its output above."
    )


@pytest.mark.parametrize("option", ["timeout", "concurrency"])
def test_lambda_options_require_the_lambda_flag(option: str) -> None:
    process = run_to_failure(f"--{option}", "2")
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr == (f"claudexia: --{option} configures a Lambda function; use it with --lambda.\n")


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("--timeout=0", "0 is not in the range 1<=x<=900."),
        ("--timeout=901", "901 is not in the range 1<=x<=900."),
        ("--concurrency=0", "0 is not in the range 1<=x<=64."),
        ("--timeout=2.5", "'2.5' is not a valid integer range."),
    ],
)
def test_lambda_options_are_integers_in_lambdas_range(argument: str, reason: str) -> None:
    process = run_to_failure("--lambda", argument)
    assert process.returncode == 2
    assert reason in process.stderr
