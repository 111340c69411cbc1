"""The command `claudexia check`: proves that a gateway answers as it should, a line for each thing it does.

Exit status: 0 where all of it does, 1 where something does not.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import httpx

from claudexia.access.keys import new_secret
from claudexia_cli.check_client import (
    Body,
    CheckClient,
    Choice,
    City,
    ErrorBody,
    Health,
    ModelList,
    StepError,
    Streamed,
    UnreachableError,
    Weather,
    parse,
)
from claudexia_cli.cli import CommandParser, print_json, print_line

# --- claudexia.local.check_steps
# The checks of a deployment: each asks for one thing, and says in a short fact what it got.
#
# A check raises StepError with one sentence where that is not what it should be.

# An answer that is held back comes in one burst; one that streams takes a while.
_LEAST_PIECES = 3
_LEAST_SPREAD = 50.0  # milliseconds from the first piece to the last

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
        raise StepError("The list is empty.")
    # A dated id, or an alias with a *, works without being listed.
    return f"{len(ids)} listed, {client.model} {'is' if client.model in ids else 'is not'} among them"


def _whole_answer(client: CheckClient) -> str:
    return f"{_said(client, {'messages': [_user('Say hello.')]})} characters"


def _streamed_answer(client: CheckClient) -> str:
    streamed = client.stream({"messages": [_user(_COUNT)], "stream_options": {"include_usage": True}})
    _expect_complete(streamed)
    chunks, pieces = len(streamed.chunks), len(streamed.arrivals)
    first, last = streamed.arrivals[0], streamed.arrivals[-1]
    if pieces < _LEAST_PIECES or last - first < _LEAST_SPREAD:
        how = "in one piece" if pieces == 1 else f"in {pieces} pieces within {last - first:.0f} ms"
        raise StepError(
            f"It does not stream: {chunks} chunks came {how}, {first:.0f} ms after the request; "
            "something on the way holds the answer back."
        )
    pause = max(later - earlier for earlier, later in pairwise(streamed.arrivals))
    return (
        f"it streams: {chunks} chunks in {pieces} pieces, the first after {first:.0f} ms, "
        f"the others over {last - first:.0f} ms, longest pause {pause:.0f} ms"
    )


def _expect_complete(streamed: Streamed) -> None:
    choices = [choice for chunk in streamed.chunks for choice in chunk.choices]
    if not any(choice.delta.content for choice in choices):
        raise StepError("The stream brought no text.")
    if not streamed.done:
        raise StepError("The stream ended without [DONE].")
    reasons = [choice.finish_reason for choice in choices if choice.finish_reason]
    if reasons != ["stop"]:
        raise StepError(f"The finish_reason of the stream is {reasons}, not one 'stop'.")
    if not any(chunk.usage for chunk in streamed.chunks):
        raise StepError("The stream told no usage, though it was asked for it.")


def _tool_call(client: CheckClient) -> str:
    tools: Body = {"tools": [{"type": "function", "function": _TOOL}], "tool_choice": "auto"}
    asked = _user(_WEATHER)
    choice = client.complete({"messages": [asked], **tools}).choices[0]
    city = _called_for(choice)
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "21 °C, sunny"}
        for call in choice.message.tool_calls
    ]
    message = choice.message.model_dump(mode="json", exclude_unset=True)
    count = _said(client, {"messages": [asked, message, *results], **tools})
    return f"called for {city[:20]!r}; with its result, {count} characters"


def _called_for(choice: Choice) -> str:
    calls = choice.message.tool_calls
    if choice.finish_reason != "tool_calls" or not calls:
        raise StepError(f"No tool was called (finish_reason {choice.finish_reason!r}).")
    function = calls[0].function
    if function.name != _TOOL["name"]:
        raise StepError(f"A tool {function.name!r} was called, which was not offered.")
    return parse(function.arguments, Weather, "The arguments").city


def _structured_output(client: CheckClient) -> str:
    wish = {"type": "json_schema", "json_schema": _SCHEMA}
    question = _user("Which city is the capital of France?")
    choice = client.complete({"messages": [question], "response_format": wish}).choices[0]
    parse(choice.message.content or "", City, "The JSON")
    return "JSON as the schema wants it"


def _wrong_key(client: CheckClient) -> str:
    # A well-formed one: a mistyped key is told by its checksum, without a look into the table.
    error = client.get("/models", ErrorBody, key=new_secret(), status=401).error
    if error.code != "invalid_api_key":
        raise StepError(f"The error's code is {error.code!r}, not 'invalid_api_key'.")
    return "refused with 401 invalid_api_key"


def _user(content: str) -> Body:
    return {"role": "user", "content": content}


def _said(client: CheckClient, body: Body) -> int:
    """How long the text is that `body` is answered with."""
    choice = client.complete(body).choices[0]
    if choice.finish_reason != "stop" or not choice.message.content:
        raise StepError(f"There is no whole text in the answer (finish_reason {choice.finish_reason!r}).")
    return len(choice.message.content)


CHECKS: Mapping[str, Callable[[CheckClient], str]] = {
    "health": _health,
    "models": _models,
    "whole answer": _whole_answer,
    "streamed answer": _streamed_answer,
    "tool call": _tool_call,
    "structured output": _structured_output,
    "wrong key": _wrong_key,
}

MODEL = "claude-haiku-5-5"  # the cheapest one
_KEY = "CLAUDEXIA_KEY"
_WORDS = {True: "ok  ", False: "FAIL"}
_LONGEST = 300  # characters of a fact; others have a say in some


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    passed: bool
    fact: str
    ms: int


def main(argv: Sequence[str]) -> None:
    """Ends the process with 1 where a check failed."""
    options = _options(argv)
    results: list[Result] = []
    with CheckClient(options.url, options.key, options.model) as client:
        for result in _run(client):
            results.append(result)
            if not options.json:
                _print_result(result)
    failed = sum(not result.passed for result in results)
    if options.json:
        about = {"url": options.url, "model": options.model, "passed": not failed}
        spent = {"tokens": client.tokens, "cost_usd": client.cost}
        print_json({**about, "checks": [asdict(result) for result in results], **spent})
    else:
        verdict = (
            f"{failed} of {len(results)} checks failed." if failed else f"All {len(results)} checks passed."
        )
        cost = "" if client.cost is None else f" and ${client.cost:.4f}"
        print_line(f"\n{verdict} They took {client.tokens:,} tokens{cost}.")
    if failed:
        sys.exit(1)


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = CommandParser(
        prog="claudexia check",
        description="Proves that a gateway answers as it should, with a few short requests.",
    )
    parser.add_argument(
        "url", metavar="URL", type=_url, help="the gateway's base URL, with or without /v1 at its end"
    )
    parser.add_argument(
        "--key",
        default=os.environ.get(_KEY, ""),
        metavar="sk_cdx_...",
        help=f"a key of the gateway (default: the variable {_KEY})",
    )
    parser.add_argument("--model", default=MODEL, help="model to ask (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON, at the end")
    options = parser.parse_args(argv)
    options.key = options.key.strip()
    if not options.key.isascii() or not options.key.isprintable() or not options.key:
        parser.error(f"give a key with --key, or in the variable {_KEY}")
    return options


def _url(text: str) -> str:
    """With /v1 at its end."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL like https://example.com/v1")
    base = str(url.copy_with(query=None, fragment=None)).rstrip("/").removesuffix("/chat/completions")
    return f"{base.removesuffix('/v1')}/v1"


def _run(client: CheckClient) -> Iterator[Result]:
    """The checks do not need each other, but all of them need somebody who answers."""
    for name, check in CHECKS.items():
        began = time.perf_counter()
        gone = False
        try:
            passed, said = True, check(client)
        except StepError as error:
            passed, said = False, str(error)
            gone = isinstance(error, UnreachableError)
        yield Result(name, passed, _plain(said), round((time.perf_counter() - began) * 1000))
        if gone:
            return


def _plain(said: str) -> str:
    """One line; what a stranger's server says might be more, or steer the terminal."""
    line = " ".join(said.split())
    visible = "".join(char if char.isprintable() else "?" for char in line)
    return visible if len(visible) <= _LONGEST else f"{visible[:_LONGEST]}..."


def _print_result(result: Result) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    mark = ("✓" if result.passed else "✗").encode(encoding, "ignore").decode(encoding)
    # A pipe on Windows has neither.
    line = f"{mark or _WORDS[result.passed]} {result.name.ljust(max(map(len, CHECKS)))}  {result.fact}"
    print_line(line.encode(encoding, "replace").decode(encoding))
