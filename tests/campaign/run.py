"""Runs a part of a campaign in this process, and reduces failing cases."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

from tests.campaign import streams
from tests.campaign.bodies import Api, BodySource, chat_source
from tests.campaign.gateway import Gateway, Observation, Request, UpstreamReply, captured_output
from tests.campaign.good_streams import streams_of
from tests.campaign.judge import body_reply, count_reply, judge_body, judge_same, judge_stream, message_reply
from tests.campaign.messages_streams import damaged_message, judge_messages_stream, with_whole
from tests.campaign.other_apis import COUNT_TOKENS, messages_source, responses_source
from tests.campaign.reduce import Budget, reduce_reply, reduce_request

Kind = Literal[
    "body", "stream", "text-stream", "responses-body", "responses-stream", "messages-body", "messages-stream"
]
_APIS: Mapping[Kind, Api] = {
    "stream": "chat",
    "text-stream": "text",
    "responses-stream": "responses",
    "messages-stream": "messages",
}
_SOURCES: Mapping[Kind, Callable[[], BodySource]] = {
    "body": chat_source,
    "responses-body": responses_source,
    "messages-body": messages_source,
}
CHUNK = 500  # cases per gateway, so that faults of shared state can show
# The most CPU time for a body: these seconds, or this multiple of the time of json.loads.
_FREE_SECONDS, _MAX_RATIO = 0.05, 60.0
_TOO_SLOW = f"more than {_MAX_RATIO:.0f} times the time of json.loads"


@dataclass(frozen=True)
class Part:
    """The cases `first` to `last` - 1. With `timed`, the time of a body is judged, too."""

    kind: Kind
    seed: int
    first: int
    last: int
    largest: int = 20_000
    timed: bool = False


@dataclass(frozen=True)
class Failed:
    """A case that breaks a rule, and its smallest form."""

    id: str
    rule: str
    example: str = ""


@dataclass
class Outcome:
    """`counts` by kind of response, `failed` the first case for each rule, `failures` all cases by rule."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    failed: dict[str, Failed] = field(default_factory=dict)
    slowest: tuple[float, str] = (0.0, "")

    def add(self, other: "Outcome") -> None:
        self.counts += other.counts
        self.failures += other.failures
        for rule, failed in other.failed.items():
            self.failed.setdefault(rule, failed)
        self.slowest = max(self.slowest, other.slowest)


def run_part(part: Part) -> Outcome:
    """Runs the cases of `part` in turn with one new gateway."""
    return asyncio.run(_run(part))


def reduce_case(part: Part, failed: Failed) -> Failed:
    """`failed` with its smallest form; `part` is the part in which it was found."""
    return replace(failed, example=asyncio.run(_reduced(part, failed)))


def case_id(kind: Kind, seed: int, index: int) -> str:
    return f"{kind}:{seed}:{index}"


@asynccontextmanager
async def _running(part: Part) -> "AsyncIterator[_Bodies | _Streams]":
    with captured_output() as output:
        gateway = Gateway(output)
        run = _Streams(gateway, part) if part.kind.endswith("stream") else _Bodies(gateway, part)
        await run.start()
        yield run


async def _run(part: Part) -> Outcome:
    outcome = Outcome()
    async with _running(part) as run:
        for index in range(part.first, part.last):
            await _one(run, index, outcome)
    return outcome


async def _reduced(part: Part, failed: Failed) -> str:
    async with _running(part) as run:
        return await run.reduced(int(failed.id.rpartition(":")[2]), failed.rule)


async def _one(run: "_Bodies | _Streams", index: int, outcome: Outcome) -> None:
    rules = await run.rules(index, outcome)
    for rule in dict.fromkeys(rules):
        outcome.failures[rule] += 1
        outcome.failed.setdefault(rule, Failed(case_id(run.part.kind, run.part.seed, index), rule))


class _Bodies:
    def __init__(self, gateway: Gateway, part: Part) -> None:
        self.part = part
        self._gateway = gateway
        self._source = _SOURCES[part.kind]()
        self._reply = message_reply if self._source.api == "messages" else body_reply
        self._before: dict[str, Observation] = {}

    async def start(self) -> None:
        """Sends every known-good body once, before the damaged ones."""
        for name in self._source.good:
            if not self._before and self._source.api == "responses":
                await self._send(self._source.good_request(name))
                self._gateway.keep_responses()
            self._before[name] = await self._send(self._source.good_request(name))

    async def rules(self, index: int, outcome: Outcome) -> list[str]:
        name = self._source.control_name(index)
        request = self._source.good_request(name) if name else self._damaged_request(index)
        seen = await self._send(request)
        outcome.counts[f"{self.part.kind} {'control ' if name else ''}{seen.status}"] += 1
        rules = [
            *judge_body(request, seen, self._source.api),
            *(judge_same(self._before[name], seen) if name else ()),
        ]
        if self.part.timed:
            ratio = seen.seconds / _seconds_of_json(request.body)
            if seen.seconds > _FREE_SECONDS:
                outcome.slowest = max(outcome.slowest, (ratio, case_id(self.part.kind, self.part.seed, index)))
                if ratio > _MAX_RATIO:
                    rules.append(_TOO_SLOW)
        return rules

    async def reduced(self, index: int, rule: str) -> str:
        name = self._source.control_name(index)
        request = self._source.good_request(name) if name else self._damaged_request(index)
        if rule == _TOO_SLOW:
            seconds = (await self._send(request)).seconds
            ratio = seconds / _seconds_of_json(request.body)
            return f"{len(request.body)} bytes in {seconds:.2f} s, {ratio:.0f} times json.loads\n{shown(request.body)}"

        async def fails(smaller: Request) -> bool:
            seen = await self._send(smaller)
            return rule in judge_body(smaller, seen, self._source.api) or bool(
                name and rule in judge_same(self._before[name], seen)
            )

        if not await fails(request):
            return "alone, this case does not fail: its state is that of the cases before it, or of its time"
        smallest = await reduce_request(request, fails, Budget())
        seen = await self._send(smallest)
        return f"POST {smallest.path} {shown(smallest.body)}\n-> {seen.status} {shown(seen.body)}"

    async def _send(self, request: Request) -> Observation:
        return await self._gateway.send(request, count_reply if request.path == COUNT_TOKENS else self._reply)

    def _damaged_request(self, index: int) -> Request:
        return self._source.damaged_request(self.part.seed, index, self.part.largest)


class _Streams:
    def __init__(self, gateway: Gateway, part: Part) -> None:
        self.part = part
        self._gateway = gateway
        self._api = _APIS[part.kind]
        self._judge = judge_messages_stream if self._api == "messages" else judge_stream

    async def start(self) -> None:
        """Nothing to do: the expected results of known-good streams are fixed."""

    async def rules(self, index: int, outcome: Outcome) -> list[str]:
        name = streams.control_name(index, self._api)
        case = self._case(index)
        buffered, streamed = await self._send(case)
        status = _outcome(streamed)
        outcome.counts[
            f"{self.part.kind}{' control' if name else ''} buffered {buffered.status}, streamed {status}"
        ] += 1
        return list(self._judge(case, buffered, streamed))

    async def reduced(self, index: int, rule: str) -> str:
        case = self._case(index)

        async def fails(reply: UpstreamReply) -> bool:
            smaller = _with_reply(case, reply)
            return rule in self._judge(smaller, *await self._send(smaller))

        if not await fails(case.replies[case.damaged]):
            return "alone, this case does not fail: its state is that of the cases before it"
        reply = case.replies[case.damaged]
        if not case.expected:  # with harmless damage the response has to stay complete
            reply = await reduce_reply(reply, fails, Budget())
        buffered, streamed = await self._send(_with_reply(case, reply))
        rest = {name.decode(): shown(value, 60) for name, value in reply.headers}
        return (
            f"{case.base}, {', '.join(case.damages)}: status {reply.status} {json.dumps(rest)}{' then breaks' if reply.breaks else ''}\n"
            f"{shown(reply.body, 1500)}\nbuffered -> {buffered.status} {shown(buffered.body)}\nstreamed -> {streamed.status} {shown(streamed.body)}"
        )

    def _case(self, index: int) -> streams.Case:
        name = streams.control_name(index, self._api)
        case = (
            streams.control(name, self._api) if name else streams.damaged_case(self.part.seed, index, self._api)
        )
        if self._api != "messages":
            return case
        random = Random(f"message {self.part.seed} {index}")  # noqa: S311  # reproducible on purpose
        if name or random.random() < 0.6:
            return with_whole(case)
        return damaged_message(streams.control(case.base, self._api), random)

    async def _send(self, case: streams.Case) -> Sequence[Observation]:
        """Sends the request buffered and streamed."""
        choices: int = streams_of(case.api)[case.base].body.get("n", 1)

        def reply(_: bytes, number: int) -> UpstreamReply:
            return case.replies[min(number // choices, len(case.replies) - 1)]

        whole = case.whole
        return [
            await self._gateway.send(
                streams.request(case, False), (lambda _, number: whole) if whole else reply
            ),
            await self._gateway.send(streams.request(case, True), reply),
        ]


def _outcome(streamed: Observation) -> str:
    """The status of a streamed response and, for 200, whether its end is that of a complete one."""
    if streamed.status != 200:
        return str(streamed.status)
    last = streamed.body.removesuffix(b"\n\n").rpartition(b"\n\n")[2]
    complete = last == b"data: [DONE]" or last.startswith(
        (b"event: response.completed", b"event: response.incomplete", b"event: message_stop")
    )
    return f"200 {'complete' if complete else 'failed'}"


def _with_reply(case: streams.Case, reply: UpstreamReply) -> streams.Case:
    replies = list(case.replies)
    replies[case.damaged] = reply
    smaller = replace(case, replies=tuple(replies))
    return smaller if case.whole is None else with_whole(smaller)


def _seconds_of_json(body: bytes) -> float:
    """CPU seconds of json.loads, also if it fails; at least a microsecond."""
    started = time.process_time()
    with suppress(ValueError, RecursionError):
        json.loads(body)
    return max(time.process_time() - started, len(body) / 200e6, 1e-6)


def shown(data: bytes, length: int = 400) -> str:
    text = data.decode("utf-8", "backslashreplace")
    return (
        text
        if len(text) <= length
        else f"{text[: length // 2]} ...{len(text)} characters... {text[-length // 2 :]}"
    )
