"""`claudexia check`: every output line and the exit status, for working and faulty gateways."""

import asyncio
import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO, TextIOWrapper
from typing import Any

import pytest
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response

from claudexia.access.key_store import TableKeyStore
from claudexia.access.ledger import Ledger
from claudexia.access.limits import Limits
from claudexia.app import create_app
from claudexia.settings import Settings
from claudexia.storage.memory import MemoryTable
from claudexia_cli.check import CHECKS
from claudexia_cli.cli import main
from claudexia_cli.echo import EchoTransport
from tests.fakes.openai_api import (
    CITY,
    KEY,
    STREAM,
    USAGE,
    WORDS,
    call,
    chunk,
    completion,
    delta,
    error,
    fake_openai_url,
    streaming,
)
from tests.helpers.serving import serving

Check = Callable[..., tuple[int, str]]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("CLAUDEXIA_KEY", raising=False)


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """Exit status and output of `claudexia check URL --key ...`."""

    def run(url: str, *arguments: str) -> tuple[int, str]:
        try:
            status = main(["check", url, "--key", KEY, *arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
        output = capsys.readouterr()
        assert output.err == ""
        return status, output.out

    return run


def marks(output: str) -> dict[str, str]:
    """The mark before each check's name."""
    lines = [line for line in output.splitlines() if line.startswith(("✓", "✗"))]
    return {name: line[0] for line in lines for name in CHECKS if line[2:].startswith(name)}


def line_of(name: str, output: str) -> str:
    return next(line for line in output.splitlines() if line[2:].startswith(name))


def test_the_gateway_passes_all_checks(check: Check) -> None:
    app = create_app(
        Settings(anthropic_base_url="http://echo.invalid", api_keys={"test": KEY}),
        transport=EchoTransport(),
    )
    with serving(app) as url:
        status, output = check(url)
    assert (status, marks(output)) == (0, dict.fromkeys(CHECKS, "✓")), output
    assert "it streams: " in line_of("streamed answer", output)
    assert output.endswith(" The built-in echo answered, not Claude.\n")


def test_a_gateway_with_a_table_passes_all_checks(check: Check) -> None:
    table = MemoryTable(now)
    limits = Limits(requests_per_minute=50, tokens_per_minute=10**7, concurrent_streams=1)
    _, secret = asyncio.run(TableKeyStore(table, now).create("ci", limits=limits))
    settings = Settings(anthropic_base_url="http://echo.invalid", shows_cost=True)
    with serving(create_app(settings, transport=EchoTransport(), table=table)) as url:
        status, output = check(url, "--key", secret)
    assert (status, marks(output)) == (0, dict.fromkeys(CHECKS, "✓")), output
    assert secret not in output
    (every,) = {day.key_name for day in asyncio.run(Ledger(table, lambda kind: None).month(f"{now():%Y-%m}"))}
    assert every == "ci"


@pytest.mark.parametrize("path", ["/stage", "/stage/", "/stage/v1", "/stage/v1/", "/stage/v1/chat/completions"])
def test_base_url_is_accepted_with_and_without_v1(path: str, check: Check) -> None:
    with fake_openai_url() as url:
        status, output = check(url + path)
    assert (status, marks(output)) == (0, dict.fromkeys(CHECKS, "✓")), output
    assert output.endswith("\nAll 7 checks passed. They used 50 tokens.\n")


def test_stream_line_has_chunk_count_and_times(check: Check) -> None:
    with fake_openai_url() as url:
        _, output = check(f"{url}/stage")
    line = line_of("streamed answer", output)
    assert "it streams: 8 chunks in " in line
    for word in ("the first after", "the others over", "longest pause"):
        assert word in line


JSON = dict[str, Any]


def json_of(body: JSON, **options: Any) -> Callable[[], Response]:
    return lambda: JSONResponse(body, **options)


def in_one_piece() -> Response:
    return PlainTextResponse("".join(STREAM), media_type="text/event-stream")


def html(status: int = 200) -> Callable[[], Response]:
    return lambda: HTMLResponse("<html><body>Sign in</body></html>", status)


def missing_token() -> Response:
    return JSONResponse({"message": "Missing Authentication Token"}, 403)


WRONG: list[tuple[str, str, Callable[[], Response], str]] = [
    ("health", "health", json_of({"status": "sick"}), "status: Input should be 'ok'"),
    ("models", "models", json_of({"object": "list", "data": []}), "The list is empty."),
    ("models", "models", json_of({"object": "list"}), "data: Field required"),
    ("models", "models", html(), "HTTP 200 with a web page instead of JSON"),
    ("models", "models", missing_token, "AWS returned HTTP 403, not the gateway: 'Missing Authentication Token'"),
    ("models", "models", lambda: RedirectResponse("/"), "HTTP 307 with something without a content type instead of JSON"),
    ("models", "models", lambda: PlainTextResponse("upstream down", 502), "HTTP 502 with text/plain instead of JSON"),
    ("models", "models", json_of({}, status_code=500), "HTTP 500 with JSON that is no error"),
    ("models", "models", lambda: error(403, None, "Not\nfor\x1b you"), "HTTP 403: Not for? you"),
    ("whole answer", "whole", json_of({**completion(content="Hi"), "object": "message"}), "object: Input should be 'chat.completion'"),
    ("whole answer", "whole", json_of(completion("length", content="Hi")), "finish_reason 'length'"),
    ("whole answer", "whole", json_of(completion()), "The response has no complete text"),
    ("whole answer", "whole", json_of({**completion(), "choices": []}), "choices: List should have at least 1 item"),
    ("streamed answer", "stream", in_one_piece, "It does not stream: 8 chunks came in one piece"),
    ("streamed answer", "stream", lambda: streaming(STREAM, 0.002), "It does not stream: 8 chunks came in"),
    ("streamed answer", "stream", json_of(completion(content="Hi")), "The content type is application/json, not text/event-stream."),
    ("streamed answer", "stream", lambda: error(429, "rate_limit_exceeded", "Slower."), "HTTP 429: Slower."),
    ("streamed answer", "stream", html(504), "HTTP 504 with a web page instead of JSON"),
    ("streamed answer", "stream", lambda: streaming(STREAM[:-1]), "The stream ended without [DONE]."),
    ("streamed answer", "stream", lambda: streaming([*STREAM[:-2], STREAM[-1]]), "The stream has no usage"),
    ("streamed answer", "stream", lambda: streaming([*map(delta, WORDS), *STREAM[-2:]]), "The finish_reason of the stream is []"),
    ("streamed answer", "stream", lambda: streaming([delta(finish_reason="stop"), *STREAM[-2:]]), "The stream has no text."),
    ("streamed answer", "stream", lambda: streaming(["data: [DONE]\n\n"]), "The stream has no text."),
    ("streamed answer", "stream", lambda: streaming([STREAM[0], 'data: {"error": {"message": "Overloaded", "type": "server_error", "param": null, "code": null}}\n\n']), "The stream ended with an error: Overloaded"),
    ("streamed answer", "stream", lambda: streaming([STREAM[0], "data: {}\n\n"]), "A chunk cannot be used: id: Field required."),
    ("tool call", "tool", json_of(completion(content="It is sunny.")), "No tool was called (finish_reason 'stop')."),
    ("tool call", "tool", json_of(call("get_wether")), "The tool 'get_wether' was called, which is not in the request."),
    ("tool call", "tool", json_of(call(arguments='{"city": ')), "The arguments cannot be used: Invalid JSON"),
    ("tool call", "tool", json_of(call(arguments='{"town": "Paris"}')), "city: Field required"),
    ("tool call", "tool_result", lambda: error(400, None, "What call?"), "HTTP 400: What call?"),
    ("tool call", "tool_result", json_of(call()), "The response has no complete text (finish_reason 'tool_calls')."),
    ("structured output", "structured", json_of(completion(content=f"Here it is: {CITY}")), "Invalid JSON"),
    ("structured output", "structured", json_of(completion(content='{"city": "Paris", "country": "France", "population": "2M"}')), "population: Input should be a valid integer"),
    ("structured output", "structured", json_of(completion(content=CITY.replace("{", '{"river": "Seine", '))), "river: Extra inputs are not permitted"),
    ("wrong key", "wrong_key", json_of({"object": "list", "data": []}), "HTTP 200 instead of 401"),
    ("wrong key", "wrong_key", lambda: error(401, "unauthorized"), "The error's code is 'unauthorized', not 'invalid_api_key'."),
    ("wrong key", "wrong_key", lambda: error(403, "invalid_api_key", "Go away."), "HTTP 403: Go away."),
    ("wrong key", "wrong_key", json_of({"message": "Unauthorized"}, status_code=401), "error: Field required"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "request_name", "respond", "words"), WRONG, ids=[f"{row[1]}-{row[3][:30]}" for row in WRONG]
)
def test_fault_is_reported_and_fails_one_check_only(
    name: str, request_name: str, respond: Callable[[], Response], words: str, check: Check
) -> None:
    with fake_openai_url(**{request_name: respond}) as url:
        status, output = check(f"{url}/stage")
    assert (status, marks(output)) == (1, {**dict.fromkeys(CHECKS, "✓"), name: "✗"}), output
    assert words in line_of(name, output)
    assert output.splitlines()[-1].startswith("1 of 7 checks failed.")


def test_json_output_has_every_check(check: Check) -> None:
    with fake_openai_url(tool=lambda: JSONResponse(completion(content="Sunny."))) as url:
        status, output = check(f"{url}/stage", "--json", "--model", "claude-opus-5-5")
    report = json.loads(output)
    assert status == 1
    assert (report["url"], report["model"], report["passed"]) == (f"{url}/stage/v1", "claude-opus-5-5", False)
    assert [(row["name"], row["passed"]) for row in report["checks"]] == [
        (name, name != "tool call") for name in CHECKS
    ]
    assert all(row["fact"] and row["ms"] >= 0 for row in report["checks"])
    assert (report["tokens"], report["cost_usd"]) == (40, None)


def test_reported_costs_are_added_up(check: Check) -> None:
    priced = [*STREAM[:-2], chunk(usage={**USAGE, "cost": 0.5}), STREAM[-1]]
    whole = json_of(completion(content="Hi"), headers={"x-claudexia-cost": "0.25"})
    structured = json_of(completion(content=CITY), headers={"x-claudexia-cost": "soon"})
    with fake_openai_url(stream=lambda: streaming(priced), whole=whole, structured=structured) as url:
        _, output = check(f"{url}/stage")
    assert output.endswith("They used 50 tokens and $0.7500.\n")


def test_output_without_unicode_has_words_instead_of_marks(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = BytesIO()
    monkeypatch.setattr("sys.stdout", TextIOWrapper(written, "ascii", write_through=True))
    with fake_openai_url(health=lambda: error(500, None, "Größe")) as url:
        check(f"{url}/stage")
    lines = written.getvalue().decode("ascii").splitlines()
    assert lines[0] == "FAIL health             It returned HTTP 500: Gr??e"
    assert lines[1].startswith("ok   models ")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("http://127.0.0.1:{port}", "No server listens at 127.0.0.1:", id="refused"),
        pytest.param(
            "https://no-such-host.invalid", "The host 'no-such-host.invalid' cannot be found.", id="unknown"
        ),
    ],
)
def test_unreachable_server_is_one_line(
    url: str, words: str, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with socket.socket() as unused:  # bound, so that it stays unused, and not listening
        unused.bind(("127.0.0.1", 0))
        status, output = check(url.format(port=unused.getsockname()[1]))
    assert (status, marks(output)) == (1, {"health": "✗"})
    assert words in line_of("health", output)


def test_http_server_behind_an_https_url_is_one_line(check: Check) -> None:
    with fake_openai_url() as url:
        status, output = check(url.replace("http:", "https:"))
    assert (status, marks(output)) == (1, {"health": "✗"})
    assert "does not speak TLS; it may need http instead of https" in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["https://gateway.example"], "Set an API key with --key or with the variable CLAUDEXIA_KEY."),
        (["https://gateway.example", "--key", "sk_cdx_…"], "Set an API key with --key"),
        (["gateway.example", "--key", KEY], "'gateway.example' is not a URL like https://example.com/v1"),
        (["http://gateway:port", "--key", KEY], "'http://gateway:port' is not a URL"),
        (["--key", KEY], "Missing argument 'URL'."),
    ],
)
def test_invalid_argument_is_rejected_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", *arguments])
    assert ended.value.code == 2
    stderr = capsys.readouterr().err
    assert words in stderr
    assert stderr.count("\n") == 1


def test_key_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLAUDEXIA_KEY", f"{KEY}\n")
    with fake_openai_url() as url:
        assert main(["check", f"{url}/stage"]) == 0
    output = capsys.readouterr().out
    assert marks(output) == dict.fromkeys(CHECKS, "✓")
    assert KEY not in output
