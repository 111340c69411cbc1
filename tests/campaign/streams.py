"""The cases of upstream event streams: known-good ones, and damaged ones."""

import json
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.campaign.bodies import CHAT, TEXT, Api
from tests.campaign.damage import dumped
from tests.campaign.gateway import AUTHORIZED, Request, UpstreamReply
from tests.campaign.good_streams import Expected, streams_of
from tests.campaign.other_apis import MESSAGES, RESPONSES
from tests.campaign.stream_damage import FATAL, HARMLESS, LAST, Draft, damaged_reply, framed

Json = Any
_CONTROL_EVERY = 8
_MODEL = "claude-sonnet-5-5"
_PATHS = {"responses": RESPONSES, "messages": MESSAGES}


@dataclass(frozen=True)
class Case:
    """`replies` are the upstream's, in order; the last one is repeated. `damaged` is the number of the damaged
    one. `expected` is None if the damage may be fatal. `whole` is the reply to a request without `stream`, if that
    is another one.
    """

    base: str
    replies: tuple[UpstreamReply, ...]
    damaged: int
    expected: Expected | None
    damages: tuple[str, ...] = ()
    api: Api = "chat"
    whole: UpstreamReply | None = None


def request(case: Case, stream: bool) -> Request:
    """The client's request of `case`."""
    good = streams_of(case.api)[case.base]
    requested = {"model": _MODEL, **good.body}
    if stream:
        requested["stream"] = True
    if case.api in _PATHS:
        return Request(dumped(requested), _PATHS[case.api])
    if stream:
        requested["stream_options"] = {"include_usage": True}
    return Request(dumped(requested), TEXT if case.api == "text" else CHAT, (*AUTHORIZED, *good.headers))


def control_name(index: int, api: Api = "chat") -> str | None:
    turn, rest = divmod(index, _CONTROL_EVERY)
    names = list(streams_of(api))
    return None if rest else names[turn % len(names)]


def control(name: str, api: Api = "chat") -> Case:
    good = streams_of(api)[name]
    replies = tuple(UpstreamReply(tuple(map(framed, answer))) for answer in good.answers)
    return Case(name, replies, len(replies) - 1, good.expected, api=api)


def damaged_case(seed: int, index: int, api: Api = "chat") -> Case:
    random = Random(f"{'' if api == 'chat' else f'{api} '}stream {seed} {index}")  # noqa: S311  # reproducible on purpose
    name = random.choice(list(streams_of(api)))
    good, case = streams_of(api)[name], control(name, api)
    damaged = random.randrange(len(good.answers))
    draft = Draft(json.loads(dumped(list(good.answers[damaged]))))
    harmless = random.random() < 0.15
    chosen = [random.choice(HARMLESS if harmless else FATAL) for _ in range(random.choice((1, 1, 1, 2, 3)))]
    if not harmless and random.random() < 0.1:
        chosen.append(random.choice(HARMLESS))
    for each in sorted(chosen, key=lambda damage: damage in LAST):
        each(draft, random)
    replies = list(case.replies)
    replies[damaged] = damaged_reply(draft, random)
    expected = case.expected if harmless else None
    return replace(
        case,
        replies=tuple(replies),
        damaged=damaged,
        expected=expected,
        damages=tuple(each.__name__[1:] for each in chosen),
    )
