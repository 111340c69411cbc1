"""The rules. Each yields descriptions of violations without details of the case, so that equal faults have equal texts."""

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from claudexia.errors import MAX_QUOTED
from claudexia_cli.echo.schema import Schema, sample
from tests.campaign.answers import Choice, Failure, MalformedResponseError, Success
from tests.campaign.bodies import MARK, Api
from tests.campaign.damage import Path, paths
from tests.campaign.gateway import Observation, Request, UpstreamReply, innermost_frame, json_lines
from tests.campaign.good_streams import Expected
from tests.campaign.other_answers import read_api
from tests.campaign.other_apis import COUNT_TOKENS
from tests.campaign.protocol import contradiction
from tests.campaign.streams import Case
from tests.helpers.recorded_answers import events, text
from tests.helpers.recorded_answers import tool as tool_block

Json = Any
COUNTED = b'{"input_tokens": 9}'
_STATUSES = {200, 400, 401, 403, 404, 413, 429}
_MAX_MESSAGE = 500  # characters
_MAX_UPSTREAM_MESSAGE = 2000
_MAX_HEADERS = 12_000  # bytes; Lambda reads 16 kB
_REQUIRED = {"input", "messages", "model", "prompt"}


# --- side effects of any request ---


def judge_traces(seen: Observation) -> Iterator[str]:
    if seen.raised:
        yield f"the app raised {type(seen.raised).__name__}"
    if seen.stderr:
        yield f"standard error: {_ERROR_LINE.sub('', seen.stderr.strip().splitlines()[-1])[:80]}"
    yield from (f"event loop: {error}" for error in seen.loop_errors)
    yield from (f"a task is left: {name}" for name in seen.tasks_left)
    if MARK in seen.stdout or MARK in seen.stderr:
        yield "the log quotes the request or the answer"
    for line in json_lines(seen.stdout):
        if isinstance(line, str):
            yield "a line on standard output is not JSON"
        elif line.get("message") == "unhandled exception":
            yield f"unhandled exception: {line['exception_type']} in {innermost_frame(line['frames'])}"
    yield from _judge_headers(seen)


_ERROR_LINE = re.compile(r"[^A-Za-z_.: ]")


def _judge_headers(seen: Observation) -> Iterator[str]:
    if sum(len(name) + len(value) for name, value in seen.headers) > _MAX_HEADERS:
        yield f"the response's headers have more than {_MAX_HEADERS} bytes"
    if any(not value.isascii() or re.search(rb"[\x00-\x08\n-\x1f\x7f]", value) for _, value in seen.headers):
        yield "a response header is not printable ASCII"


# --- bodies ---


def body_reply(body: bytes, number: int) -> UpstreamReply:
    """A reply that contains a digest of the request body, or the call that the request demands."""
    demanded = demanded_answer(body)
    if isinstance(demanded, str):
        return _reply(tool_block(demanded, "{}"), "tool_use")
    return _reply(
        text(f"Hello {MARK} {_digest(body)}" if demanded is None else json.dumps(demanded)), "end_turn"
    )


def _reply(parts: list[Json], stop_reason: str) -> UpstreamReply:
    return UpstreamReply(
        tuple(
            f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
            for event in events(parts, stop_reason=stop_reason)
        )
    )


def message_reply(body: bytes, number: int) -> UpstreamReply:
    """The reply of body_reply() to a request of the Messages API, which may ask for a whole message."""
    words = f"Hello {MARK} {_digest(body)}"
    request = json.loads(body)
    if request.get("stream"):
        return _reply(text(words), "end_turn")
    content = [{"type": "text", "text": words}]
    usage = {"input_tokens": 10, "output_tokens": 5}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}  # fmt: skip
    return UpstreamReply((json.dumps(message).encode(),), headers=((b"content-type", b"application/json"),))


def count_reply(body: bytes, number: int) -> UpstreamReply:
    """The reply to a request for the number of its tokens."""
    return UpstreamReply((COUNTED,), headers=((b"content-type", b"application/json"),))


def demanded_answer(body: bytes) -> Json:
    """The answer without which an upstream request is not fulfilled; None if any text will do.

    The name of a tool, or a value of the format of the answer's text if no tool may be called.
    """
    if b'"tool_choice"' not in body:
        return None
    request = json.loads(body)
    choice = request["tool_choice"]
    if choice["type"] in ("any", "tool"):
        return choice.get("name") or next(tool["name"] for tool in request["tools"] if "input_schema" in tool)
    output = request.get("output_config", {}).get("format")
    return (
        sample(Schema.model_validate(output["schema"]), "{}") if choice["type"] == "none" and output else None
    )


def _digest(body: bytes) -> str:
    return sha256(body).hexdigest()[:12]


def judge_body(request: Request, seen: Observation, api: Api = "chat") -> Iterator[str]:
    """The rules for any body."""
    yield from judge_traces(seen)
    if seen.status not in _STATUSES:
        yield f"status {seen.status} for a body"
    if seen.status == 200 and request.path == COUNT_TOKENS:
        if seen.body != COUNTED or len(seen.usage) != 1:
            yield "the count of the tokens is not the upstream's"
        return
    try:
        streamed = b"text/event-stream" in dict(seen.headers).get(b"content-type", b"")
        answer = read_api(api, seen, streamed)
    except MalformedResponseError as error:
        yield f"answer: {error}"
        return
    if isinstance(answer, Failure):
        if answer.status == 200:
            yield "an error in a stream whose upstream did not fail"
        yield from _judge_error(request, answer.error)
    else:
        yield from _judge_echo(answer, seen, api)
    if seen.status != 401 and len(seen.usage) != 1:
        yield f"{len(seen.usage)} lines in the ledger"


def _judge_error(request: Request, error: Json) -> Iterator[str]:
    if len(error["message"]) > _MAX_MESSAGE:
        yield f"an error message of more than {_MAX_MESSAGE} characters: {_wording(error['message'])}"
    param = error["param"]
    if param is not None:
        try:
            body = json.loads(request.body)
        except (ValueError, RecursionError):
            return
        if not names_part(param, body):
            yield f"param names no path of the body: {_wording(param)} ({_wording(error['message'])})"


def _wording(text: str) -> str:
    """The beginning of a text, with quotations and numbers replaced."""
    return re.sub(r"'.*?'|\".*?\"|`.*?`|\d+|[^ -~]", "_", text)[:70]


def names_part(param: str, body: Json) -> bool:
    """Whether `param`, which may be cut, is the path of a part of `body` or of a missing key."""
    if len(param) == MAX_QUOTED and param.endswith("…"):
        return any(_spelled(path).startswith(param[:-1]) for path in paths(body))
    return _is_path(param, body)


def _spelled(path: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _is_path(param: str, value: Json, top: bool = True) -> bool:
    """Whether `param`, such as `messages[0].content`, is the path of a part of `value` or of a missing key."""
    if not param:
        return True
    if isinstance(value, list):
        found = re.match(r"\[(\d+)\]\.?", param)
        return (
            found is not None
            and int(found[1]) < len(value)
            and _is_path(param[found.end() :], value[int(found[1])], False)
        )
    if not isinstance(value, dict):
        return False
    for key, inner in value.items():
        if param.startswith(key):
            rest = param[len(key) :]
            if rest[:1] in ("", ".", "[") and _is_path(rest.removeprefix("."), inner, False):
                return True
    return (param in _REQUIRED) if top else not re.search(r"[.\[]", param)


def _judge_echo(answer: Success, seen: Observation, api: Api) -> Iterator[str]:
    texts = {_digest(body) for body in seen.sent}
    sent = seen.sent if api != "messages" else []  # a request that is relayed demands what it likes
    values = [value for value in map(demanded_answer, sent) if value is not None]
    if any(not isinstance(value, str) for value in values):
        texts |= {json.dumps(value).rpartition(" ")[2] for value in values}
    for choice in answer.choices:
        is_text = choice.finish_reason == "stop" and choice.content.rpartition(" ")[2] in texts
        if not is_text and not (values and choice.calls):
            yield "the answer is not the upstream's"
    # A model that did not make the demanded call is asked again.
    if len(answer.choices) != len(seen.sent) and not (values and len(answer.choices) < len(seen.sent)):
        yield "not one choice for each upstream request"


def judge_same(before: Observation, seen: Observation) -> Iterator[str]:
    """The rules for a known-good body, compared with its first response."""
    if seen.status != 200:
        yield "a known-good body is refused"
    if before.sent != seen.sent:
        yield "a known-good body is translated differently"
    if before.body != seen.body or before.usage != seen.usage:
        yield "a known-good body has another answer"


# --- streams ---


def judge_stream(case: Case, buffered: Observation, streamed: Observation) -> Iterator[str]:
    for seen in (buffered, streamed):
        yield from judge_traces(seen)
        if len(seen.usage) != 1:
            yield f"{len(seen.usage)} lines in the ledger"
    answers: list[Success | Failure] = []
    for seen, mode in ((buffered, "buffered"), (streamed, "streamed")):
        try:
            answers.append(read_api(case.api, seen, streamed=mode == "streamed"))
        except MalformedResponseError as error:
            yield f"{mode}: {error}"
    yield from (reason for answer in answers for reason in _judge_answer(case, answer))
    # The first failure ends all choices of a request; how much of the others has arrived by then varies.
    may_differ = len(buffered.sent) > len(case.replies) and any(
        isinstance(answer, Failure) for answer in answers
    )
    if buffered.usage != streamed.usage and not may_differ:
        yield "buffered and streamed usage in the ledger differ"
    if len(answers) == 2:
        yield from _judge_agreement(case.api, *answers)
        yield from _judge_ledger(answers[0], buffered)


def _judge_answer(case: Case, answer: Success | Failure) -> Iterator[str]:
    if isinstance(answer, Failure):
        if case.expected:
            yield "a complete upstream message became an error"
        if len(answer.error["message"]) > _MAX_UPSTREAM_MESSAGE:
            yield f"an error message of more than {_MAX_UPSTREAM_MESSAGE} characters"
        if (
            answer.status == 500
            and case.replies[case.damaged].status == 200
            and "The gateway failed" in answer.error["message"]
        ):
            yield "an upstream's fault is reported as the gateway's (500)"
        return
    if case.expected:
        yield from _judge_expected(case.expected, answer)
    elif reason := contradiction(case.replies[case.damaged]):
        yield f"looks like success: {reason}"


def _judge_expected(expected: Expected, answer: Success) -> Iterator[str]:
    for choice in answer.choices:
        calls = tuple((name, arguments) for _, name, arguments in choice.calls)
        got = Expected(
            choice.content, choice.finish_reason, calls, choice.reasoning, choice.refusal, expected.tokens
        )
        if got != expected:
            yield "a complete upstream message became another completion"
    usage = json.loads(answer.usage)
    if (usage.get("prompt_tokens"), usage.get("completion_tokens")) != expected.tokens:
        yield "a complete upstream message has another usage"


def _judge_agreement(api: Api, buffered: Success | Failure, streamed: Success | Failure) -> Iterator[str]:
    if isinstance(buffered, Failure) or isinstance(streamed, Failure):
        if isinstance(buffered, Success):
            yield "buffered is a completion, streamed an error"
        elif isinstance(streamed, Success):
            yield "buffered is an error, streamed a completion"
        elif _comparable(buffered.error, api) != _comparable(streamed.error, api):
            yield "buffered and streamed errors differ"
        return
    if len(buffered.choices) != len(streamed.choices):
        yield "buffered and streamed choices differ in number"
    for one, other in zip(buffered.choices, streamed.choices, strict=False):
        different = [name for name in Choice.__dataclass_fields__ if getattr(one, name) != getattr(other, name)]
        yield from (f"buffered and streamed differ in {name}" for name in different)
    if buffered.usage != streamed.usage:
        yield "buffered and streamed usage differ"


def _comparable(error: Json, api: Api) -> Json:
    """A failed response has fewer codes than an error object."""
    return {**error, "code": None} if api == "responses" else error


def _judge_ledger(answer: Success | Failure, seen: Observation) -> Iterator[str]:
    if isinstance(answer, Success) and len(seen.usage) == 1:
        usage, line = json.loads(answer.usage), seen.usage[0]
        tokens = sum(
            line.get(name, 0)
            for name in ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens")
        )
        if usage.get("total_tokens") != tokens:
            yield "the ledger has other tokens than the answer"
