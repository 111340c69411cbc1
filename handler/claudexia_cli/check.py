"""The command `claudexia check`: tests a running gateway with a few short requests and prints a line per check.

Exit status: 0 if all checks pass, 1 if one fails.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise

import click
import httpx

from claudexia.access.keys import new_secret
from claudexia_cli.check_client import (
    Body,
    CheckClient,
    CheckError,
    Choice,
    City,
    ErrorBody,
    Health,
    ModelList,
    Streamed,
    UnreachableError,
    Weather,
    parse,
)
from claudexia_cli.console import is_http_url, print_json, printable

_MODEL = "claude-haiku-5-5"  # the cheapest model
_KEY_VARIABLE = "CLAUDEXIA_KEY"
_MAX_FACT = 300  # characters; a fact may quote a server's message
# A response that something buffers arrives in one burst.
_MIN_READS = 3
_MIN_STREAM_MS = 50.0  # milliseconds from the first read to the last

_COUNT = (
    "Write the numbers from one to forty as English words, in their order, separated by commas, on one line, "
    "and write nothing else before them or after them."
)
_WEATHER = "What is the weather in Paris? Find out with the tool get_weather, then tell me."
_TOOL: Body = {
    "name": "get_weather",
    "description": "Tells the weather of a city.",
    "parameters": Weather.model_json_schema(),
}
_SCHEMA: Body = {"name": "city", "strict": True, "schema": City.model_json_schema()}


def _health(client: CheckClient) -> str:
    client.get("/health", Health)
    return "the gateway runs"


def _models(client: CheckClient) -> str:
    ids = [listed.id for listed in client.get("/models", ModelList).data]
    if not ids:
        raise CheckError("The list is empty.")
    # A dated id, or an alias with a *, works although it is not listed.
    return f"{len(ids)} listed, {client.model} {'is' if client.model in ids else 'is not'} among them"


def _whole_answer(client: CheckClient) -> str:
    return f"{_text_length(client, {'messages': [_user('Say hello.')]})} characters"


def _streamed_answer(client: CheckClient) -> str:
    streamed = client.stream({"messages": [_user(_COUNT)], "stream_options": {"include_usage": True}})
    _expect_complete(streamed)
    chunks, pieces = len(streamed.chunks), len(streamed.arrivals)
    first, last = streamed.arrivals[0], streamed.arrivals[-1]
    if pieces < _MIN_READS or last - first < _MIN_STREAM_MS:
        how = "in one piece" if pieces == 1 else f"in {pieces} pieces within {last - first:.0f} ms"
        raise CheckError(
            f"It does not stream: {chunks} chunks came {how}, {first:.0f} ms after the request; "
            "something between the gateway and this machine buffers the response."
        )
    pause = max(later - earlier for earlier, later in pairwise(streamed.arrivals))
    return (
        f"it streams: {chunks} chunks in {pieces} pieces, the first after {first:.0f} ms, "
        f"the others over {last - first:.0f} ms, longest pause {pause:.0f} ms"
    )


def _expect_complete(streamed: Streamed) -> None:
    choices = [choice for chunk in streamed.chunks for choice in chunk.choices]
    if not any(choice.delta.content for choice in choices):
        raise CheckError("The stream has no text.")
    if not streamed.done:
        raise CheckError("The stream ended without [DONE].")
    reasons = [choice.finish_reason for choice in choices if choice.finish_reason]
    if reasons != ["stop"]:
        raise CheckError(f"The finish_reason of the stream is {reasons}, not one 'stop'.")
    if not any(chunk.usage for chunk in streamed.chunks):
        raise CheckError("The stream has no usage, though the request asked for it.")


def _tool_call(client: CheckClient) -> str:
    tools: Body = {"tools": [{"type": "function", "function": _TOOL}], "tool_choice": "auto"}
    question = _user(_WEATHER)
    choice = client.complete({"messages": [question], **tools}).choices[0]
    city = _called_city(choice)
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "21 °C, sunny"}
        for call in choice.message.tool_calls
    ]
    message = choice.message.model_dump(mode="json", exclude_unset=True)
    length = _text_length(client, {"messages": [question, message, *results], **tools})
    return f"called for {city[:20]!r}; with its result, {length} characters"


def _called_city(choice: Choice) -> str:
    calls = choice.message.tool_calls
    if choice.finish_reason != "tool_calls" or not calls:
        raise CheckError(f"No tool was called (finish_reason {choice.finish_reason!r}).")
    function = calls[0].function
    if function.name != _TOOL["name"]:
        raise CheckError(f"The tool {function.name!r} was called, which is not in the request.")
    return parse(function.arguments, Weather, "The arguments").city


def _structured_output(client: CheckClient) -> str:
    response_format = {"type": "json_schema", "json_schema": _SCHEMA}
    question = _user("Which city is the capital of France?")
    choice = client.complete({"messages": [question], "response_format": response_format}).choices[0]
    parse(choice.message.content or "", City, "The JSON")
    return "JSON that matches the schema"


def _wrong_key(client: CheckClient) -> str:
    # The key is well-formed, so that the gateway looks it up: a wrong checksum is rejected without a look-up.
    error = client.get("/models", ErrorBody, key=new_secret(), status=401).error
    if error.code != "invalid_api_key":
        raise CheckError(f"The error's code is {error.code!r}, not 'invalid_api_key'.")
    return "rejected with 401 invalid_api_key"


def _user(content: str) -> Body:
    return {"role": "user", "content": content}


def _text_length(client: CheckClient, body: Body) -> int:
    """The length in characters of the text of the response to `body`."""
    choice = client.complete(body).choices[0]
    if choice.finish_reason != "stop" or not choice.message.content:
        raise CheckError(f"The response has no complete text (finish_reason {choice.finish_reason!r}).")
    return len(choice.message.content)


# Each returns a short fact for people, and raises CheckError with one sentence if the check fails.
CHECKS: Mapping[str, Callable[[CheckClient], str]] = {
    "health": _health,
    "models": _models,
    "whole answer": _whole_answer,
    "streamed answer": _streamed_answer,
    "tool call": _tool_call,
    "structured output": _structured_output,
    "wrong key": _wrong_key,
}


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    passed: bool
    fact: str
    ms: int


def _url(text: str) -> str:
    """`text` with /v1 at its end."""
    if not is_http_url(text):
        raise click.BadParameter(f"{text!r} is not a URL like https://example.com/v1.")
    base = (
        str(httpx.URL(text).copy_with(query=None, fragment=None)).rstrip("/").removesuffix("/chat/completions")
    )
    return f"{base.removesuffix('/v1')}/v1"


def _key(context: click.Context, parameter: click.Parameter, text: str | None) -> str:
    key = (text or "").strip()
    if not (key and key.isascii() and key.isprintable()):
        raise click.UsageError(f"Set an API key with --key or with the variable {_KEY_VARIABLE}.")
    return key


@click.command(name="check")
@click.argument("url", metavar="URL", type=_url)
@click.option(
    "--key",
    callback=_key,
    envvar=_KEY_VARIABLE,
    show_envvar=True,
    metavar="sk_cdx_...",
    help="API key of the gateway.",
)
@click.option("--model", default=_MODEL, show_default=True, metavar="MODEL", help="Model to call.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON, at the end.")
@click.pass_context
def command(context: click.Context, url: str, key: str, model: str, as_json: bool) -> None:
    """Test a running gateway with a few short requests.

    URL is the base URL of the gateway, with or without /v1 at its end. The exit status is 1 if a check fails.
    """
    results: list[Result] = []
    with CheckClient(url, key, model) as client:
        for result in _run(client):
            results.append(result)
            if not as_json:
                _print_result(result)
    failed = sum(not result.passed for result in results)
    if as_json:
        gateway = {"url": url, "model": model, "passed": not failed}
        spent = {"tokens": client.tokens, "cost_usd": client.cost, "upstreams": client.upstreams}
        print_json({**gateway, "checks": [asdict(result) for result in results], **spent})
    else:
        verdict = (
            f"{failed} of {len(results)} checks failed." if failed else f"All {len(results)} checks passed."
        )
        cost = "" if client.cost is None else f" and ${client.cost:.4f}"
        hosts = printable(" and ".join(client.upstreams))
        upstream = f" Claude ran on: {hosts}." if hosts else ""
        if client.upstreams == ["echo"]:
            upstream = " The built-in echo answered, not Claude."
        click.echo(f"\n{verdict} They used {client.tokens:,} tokens{cost}.{upstream}")
    if failed:
        context.exit(1)


def _run(client: CheckClient) -> Iterator[Result]:
    """The results, one after the other. Stops after the first check if the gateway cannot be reached."""
    for name, check in CHECKS.items():
        start = time.perf_counter()
        unreachable = False
        try:
            passed, fact = True, check(client)
        except CheckError as error:
            passed, fact = False, str(error)
            unreachable = isinstance(error, UnreachableError)
        yield Result(name, passed, _one_line(fact), round((time.perf_counter() - start) * 1000))
        if unreachable:
            return


def _one_line(fact: str) -> str:
    """`fact` in one line, without control characters, up to the length limit."""
    line = printable(" ".join(fact.split()))
    return line if len(line) <= _MAX_FACT else f"{line[:_MAX_FACT]}..."


def _print_result(result: Result) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    mark, word = ("✓", "ok  ") if result.passed else ("✗", "FAIL")
    # A pipe on Windows has no encoding for the marks.
    shown = mark.encode(encoding, "ignore").decode(encoding) or word
    line = f"{shown} {result.name.ljust(max(map(len, CHECKS)))}  {result.fact}"
    click.echo(line.encode(encoding, "replace").decode(encoding))
