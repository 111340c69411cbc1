"""Reasoning fields on every model: the request, the warnings, and that the server would accept it."""

import itertools
import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from claudexia.errors import APIError
from claudexia.models import SERVED, find_model
from claudexia.translate.report import Report
from claudexia.translate.request.parse import parse_params
from claudexia.translate.request.thinking import FORCED_TOOL_CHOICE, ThinkingPlan, to_thinking

ALL = {"low", "medium", "high", "xhigh", "max"}


@dataclass(frozen=True)
class Server:
    """The thinking parameters that one model accepts; anything else is a 400."""

    thinking: set[str]
    effort: set[str]
    most: int = 128_000


# https://platform.claude.com/docs/en/about-claude/models/overview, repeated here to detect mistakes in
# models.json.
ALWAYS = Server({"adaptive"}, ALL)
SWITCHED = Server({"adaptive", "disabled"}, ALL)
BOTH = Server({"adaptive", "enabled", "disabled"}, ALL - {"xhigh"})
BUDGETS_ONLY = Server({"enabled", "disabled"}, set(), 64_000)
SERVERS = {
    "claude-fable-5-2": ALWAYS,
    "claude-mythos-5-2": ALWAYS,
    "claude-fable-5-1": ALWAYS,
    "claude-mythos-5-1": ALWAYS,
    "claude-fable-5": ALWAYS,
    "claude-mythos-5": ALWAYS,
    "claude-opus-5-5": ALWAYS,
    "claude-sonnet-5-5": Server({"adaptive", "between_tools"}, ALL),
    "claude-haiku-5-5": SWITCHED,
    "claude-opus-5": SWITCHED,
    "claude-sonnet-5": SWITCHED,
    "claude-opus-4-8": SWITCHED,
    "claude-opus-4-7": SWITCHED,
    "claude-opus-4-6": BOTH,
    "claude-sonnet-4-6": BOTH,
    "claude-mythos-preview": Server({"adaptive", "enabled"}, ALL - {"xhigh"}),
    "claude-opus-4-5": Server({"enabled", "disabled"}, {"low", "medium", "high"}, 64_000),
    "claude-sonnet-4-5": BUDGETS_ONLY,
    "claude-haiku-4-5": BUDGETS_ONLY,
    "claude-opus-4-1": Server({"enabled", "disabled"}, set(), 32_000),
    "claude-3-haiku": Server(set(), set(), 4096),
}
UNHEARD_OF = "claude-opus-9"
ANY = Server({"adaptive"}, {"low", "medium", "high"}, 10**9)


def plan(
    model: str, strict: bool = False, forced_choice: bool = False, **fields: Any
) -> tuple[ThinkingPlan, list[str]]:
    body = {"model": model, "messages": [{"role": "user", "content": "a"}], **fields}
    params = parse_params(json.dumps(body).encode())
    report = Report(strict)
    max_tokens = params.max_completion_tokens or params.max_tokens
    conflict = FORCED_TOOL_CHOICE if forced_choice else ""
    thinking_plan = to_thinking(params, find_model(model, {}), max_tokens, report, conflict)
    return thinking_plan, [warning.param for warning in report.warnings]


def assert_accepted(sent: ThinkingPlan, server: Server, forced_choice: bool) -> None:
    thinking = dict(sent.thinking or {})
    kind = thinking.pop("type", None)
    assert 1 <= sent.max_tokens <= server.most
    assert sent.effort is None or sent.effort in server.effort
    if kind is None:
        return
    assert kind in server.thinking
    if kind in ("disabled", "between_tools"):
        assert not thinking, "Extra inputs are not permitted"
        assert sent.effort not in ("xhigh", "max")
    if kind == "enabled":
        assert not forced_choice
        assert 1024 <= thinking["budget_tokens"] < sent.max_tokens  # type: ignore[operator]
    else:
        assert "budget_tokens" not in thinking
    assert thinking.get("display") in (None, "summarized", "omitted")


EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh", "max"]
AMOUNTS = [1, 1023, 1024, 2000, 5000, 100_000, 10**9]
REQUEST: list[dict[str, Any]] = [
    {},
    *({"reasoning_effort": effort} for effort in EFFORTS),
    *({"reasoning": {"effort": effort}} for effort in EFFORTS),
    *({"reasoning": {"max_tokens": amount}} for amount in [0, *AMOUNTS]),
    {"reasoning": {"enabled": True}},
    {"reasoning": {"enabled": False}},
    {"reasoning": {"exclude": True}},
    {"reasoning": {"effort": "max", "exclude": True}},
    *({"thinking": {"type": "enabled", "budget_tokens": amount}} for amount in AMOUNTS),
    *({"thinking": {"type": kind}} for kind in ("adaptive", "enabled", "disabled", "between_tools")),
    {"thinking": {"type": "adaptive", "display": "omitted"}},
    {"thinking": {"type": "disabled"}, "reasoning_effort": "max"},
    {"thinking": {"type": "between_tools"}, "reasoning_effort": "max"},
    {
        "thinking": {"type": "adaptive", "budget_tokens": 5000, "display": "summarized"},
        "reasoning_effort": "none",
    },
]
LIMITS: list[dict[str, Any]] = [
    {},
    *({"max_tokens": limit} for limit in (1, 10, 500, 1024, 1025, 2000, 2047, 2048, 10**9)),
]


def test_every_served_model_is_in_the_table() -> None:
    assert SERVED.keys() <= SERVERS.keys()


@pytest.mark.parametrize(("model", "server"), [*SERVERS.items(), (UNHEARD_OF, ANY)])
def test_every_combination_is_accepted_by_the_server(model: str, server: Server) -> None:
    for fields, limit, forced in itertools.product(REQUEST, LIMITS, (False, True)):
        sent, warned = plan(model, forced_choice=forced, **fields, **limit)
        assert_accepted(sent, server, forced)
        thinks = sent.active and sent.thinking != {"type": "between_tools"}
        wanted = limit.get("max_tokens", find_model(model, {}).default_max_tokens)
        assert sent.max_tokens >= min(wanted, server.most)
        assert ("max_tokens" in warned) == (bool(limit) and sent.max_tokens != wanted)
        assert thinks or sent.max_tokens <= wanted, "nothing is raised when thinking is off"
        if not warned:
            assert plan(model, strict=True, forced_choice=forced, **fields, **limit)[0] == sent


SONNET_5_5, HAIKU_5_5, OPUS_5_5, OPUS_5 = (
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
    "claude-opus-5-5",
    "claude-opus-5",
)
OPUS_4_8, SONNET_4_6, OPUS_4_5, HAIKU_4_5 = (
    "claude-opus-4-8",
    "claude-sonnet-4-6",
    "claude-opus-4-5",
    "claude-haiku-4-5",
)
ADAPTIVE, SHOWN = {"type": "adaptive"}, {"type": "adaptive", "display": "summarized"}
OFF, BETWEEN = {"type": "disabled"}, {"type": "between_tools"}


def budget(tokens: int, **display: str) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": tokens, **display}


def effort(value: str, **fields: Any) -> dict[str, Any]:
    return {"reasoning_effort": value, **fields}


def router(**fields: Any) -> dict[str, Any]:
    return {"reasoning": fields}


def native(kind: str, **fields: Any) -> dict[str, Any]:
    return {"thinking": {"type": kind, **fields}}


# Model, request fields, and what is sent: thinking, effort, and the `param` of each warning.
SENT: list[tuple[str, dict[str, Any], dict[str, Any] | None, str | None, list[str]]] = [
    # No field: the model's default.
    (SONNET_5_5, {}, None, None, []),
    (OPUS_4_8, {}, None, None, []),
    (SONNET_4_6, {}, None, None, []),
    (HAIKU_4_5, {}, None, None, []),
    (UNHEARD_OF, {}, None, None, []),
    # OpenAI's efforts.
    (SONNET_5_5, effort("minimal"), SHOWN, "low", []),
    (SONNET_5_5, effort("medium"), SHOWN, "medium", []),
    (SONNET_5_5, effort("xhigh"), SHOWN, "xhigh", []),
    (SONNET_5_5, effort("max"), SHOWN, "max", []),
    (OPUS_4_8, effort("high"), SHOWN, "high", []),
    (SONNET_4_6, effort("low"), ADAPTIVE, "low", []),
    (SONNET_4_6, effort("xhigh"), ADAPTIVE, "high", ["reasoning_effort"]),
    (SONNET_4_6, effort("max"), ADAPTIVE, "max", []),
    (UNHEARD_OF, effort("high"), SHOWN, "high", []),
    (UNHEARD_OF, effort("max"), SHOWN, "high", ["reasoning_effort"]),
    (OPUS_4_5, effort("medium"), budget(8192), "medium", []),
    (OPUS_4_5, effort("max"), budget(32_000), "high", ["reasoning_effort"]),
    (HAIKU_4_5, effort("minimal"), budget(2048), None, []),
    (HAIKU_4_5, effort("high"), budget(16_384), None, []),
    (HAIKU_4_5, effort("max"), budget(32_000), None, []),
    ("claude-3-haiku", effort("low"), None, None, ["reasoning_effort"]),
    (SONNET_5_5, {"reasoning_effort": {"effort": "low", "summary": "auto"}}, SHOWN, "low", []),
    # No thinking.
    (OPUS_5_5, effort("none"), None, "low", ["reasoning_effort"]),
    (SONNET_5_5, effort("none"), BETWEEN, None, []),
    (HAIKU_5_5, effort("none"), OFF, None, []),
    (OPUS_5, router(enabled=False), OFF, None, []),
    (OPUS_5, router(max_tokens=0), OFF, None, []),
    (OPUS_4_8, router(effort="none"), None, None, []),
    (SONNET_4_6, native("disabled"), None, None, []),
    (OPUS_5_5, native("disabled"), None, "low", ["thinking.type"]),
    (SONNET_5_5, native("disabled"), BETWEEN, None, []),
    ("claude-3-haiku", effort("none"), None, None, []),
    (UNHEARD_OF, effort("none"), None, "low", ["reasoning_effort"]),
    # OpenRouter's.
    (SONNET_5_5, router(), None, None, []),
    (SONNET_5_5, router(enabled=True), SHOWN, None, []),
    (OPUS_4_8, router(enabled=True), SHOWN, None, []),
    (HAIKU_4_5, router(enabled=True), budget(8192), None, []),
    (SONNET_5_5, router(exclude=True), None, None, []),
    (SONNET_5_5, router(exclude=False), SHOWN, None, []),
    (OPUS_4_8, router(exclude=False), None, None, []),
    (SONNET_5_5, router(effort="high", exclude=True), None, "high", []),
    (OPUS_4_8, router(effort="high", exclude=True), ADAPTIVE, "high", []),
    (SONNET_4_6, router(effort="high", exclude=True), {**ADAPTIVE, "display": "omitted"}, "high", []),
    (HAIKU_4_5, router(max_tokens=5000), budget(5000), None, []),
    (HAIKU_4_5, router(max_tokens=100), budget(1024), None, ["reasoning.max_tokens"]),
    (HAIKU_4_5, router(max_tokens=64_000), budget(62_976), None, ["reasoning.max_tokens"]),
    (SONNET_4_6, router(max_tokens=5000), budget(5000), None, []),
    (OPUS_4_5, router(max_tokens=5000), budget(5000), None, []),
    (SONNET_5_5, router(max_tokens=2048), SHOWN, "low", ["reasoning.max_tokens"]),
    (SONNET_5_5, router(max_tokens=2049), SHOWN, "medium", ["reasoning.max_tokens"]),
    (SONNET_5_5, router(max_tokens=10**6), SHOWN, "xhigh", ["reasoning.max_tokens"]),
    (UNHEARD_OF, router(max_tokens=10**6), SHOWN, "high", ["reasoning.max_tokens"]),
    (SONNET_5_5, router(effort="low", verbosity="x"), SHOWN, "low", ["reasoning.verbosity"]),
    # Anthropic's.
    (SONNET_5_5, native("adaptive"), SHOWN, None, []),
    (SONNET_5_5, native("adaptive", display="omitted"), ADAPTIVE, None, []),
    (SONNET_4_6, native("adaptive", display="omitted"), {**ADAPTIVE, "display": "omitted"}, None, []),
    (SONNET_5_5, native("between_tools"), BETWEEN, None, []),
    (HAIKU_5_5, native("between_tools"), OFF, None, ["thinking.type"]),
    (SONNET_4_6, native("between_tools"), None, None, ["thinking.type"]),
    (SONNET_4_6, native("enabled", budget_tokens=5000), budget(5000), None, []),
    (HAIKU_4_5, native("enabled", budget_tokens=10), budget(1024), None, ["thinking.budget_tokens"]),
    (HAIKU_4_5, native("enabled"), budget(8192), None, []),
    (HAIKU_4_5, native("adaptive"), budget(8192), None, ["thinking.type"]),
    (SONNET_5_5, native("enabled", budget_tokens=5000), SHOWN, "medium", ["thinking.type", "thinking.budget_tokens"]),
    (SONNET_5_5, native("enabled"), SHOWN, None, ["thinking.type"]),
    (SONNET_4_6, native("adaptive", budget_tokens=5000), ADAPTIVE, "medium", ["thinking.budget_tokens"]),
    ("claude-3-haiku", native("adaptive"), None, None, ["thinking.type"]),
    # Several fields: thinking, then reasoning, then reasoning_effort; a conflicting field is reported.
    (SONNET_5_5, effort("low", **native("adaptive")), SHOWN, "low", []),
    (SONNET_5_5, effort("low", **router(exclude=True)), None, "low", []),
    (SONNET_5_5, effort("low", **native("adaptive"), **router(exclude=True)), ADAPTIVE, "low", []),
    (SONNET_5_5, effort("low", **router(effort="low")), SHOWN, "low", []),
    (SONNET_5_5, effort("low", **router(effort="high")), SHOWN, "high", ["reasoning_effort"]),
    (HAIKU_4_5, effort("high", **native("enabled", budget_tokens=5000)), budget(5000), None, ["reasoning_effort"]),
    (HAIKU_4_5, effort("medium", **native("enabled", budget_tokens=5000)), budget(5000), None, []),
    (HAIKU_5_5, effort("max", **native("disabled")), OFF, None, ["reasoning_effort"]),
    (HAIKU_5_5, effort("none", **native("disabled")), OFF, None, []),
    (HAIKU_5_5, effort("none", **native("adaptive")), SHOWN, None, ["reasoning_effort"]),
    (HAIKU_5_5, native("disabled", budget_tokens=5000), OFF, None, ["thinking.budget_tokens"]),
    (HAIKU_5_5, router(enabled=False, effort="low"), OFF, None, ["reasoning.effort"]),
    (HAIKU_4_5, router(max_tokens=5000, effort="max"), budget(5000), None, ["reasoning.effort"]),
    (
        SONNET_5_5,
        {**native("adaptive", display="summarized"), **router(exclude=True)},
        SHOWN,
        None,
        ["reasoning.exclude"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("model", "fields", "thinking", "level", "warnings"), SENT)
def test_sent(model: str, fields: Any, thinking: Any, level: str | None, warnings: list[str]) -> None:
    sent, warned = plan(model, **fields)
    assert (sent.thinking, sent.effort, warned) == (thinking, level, warnings)
    assert sent.max_tokens == find_model(model, {}).default_max_tokens


@pytest.mark.parametrize(
    ("model", "fields", "shown", "active"),
    [
        (SONNET_5_5, {}, True, True),
        (OPUS_4_8, {}, True, False),
        (OPUS_4_8, effort("low"), True, True),
        (SONNET_5_5, effort("none"), False, True),
        (HAIKU_5_5, effort("none"), False, False),
        (OPUS_5_5, effort("none"), False, True),
        (SONNET_4_6, effort("none"), False, False),
        (SONNET_4_6, router(effort="low", exclude=True), False, True),
        (SONNET_5_5, native("adaptive", display="omitted"), False, True),
        (HAIKU_4_5, native("enabled"), True, True),
        ("claude-3-haiku", effort("low"), True, False),
    ],
)
def test_visibility_of_thinking_and_whether_it_is_active(
    model: str, fields: Any, shown: bool, active: bool
) -> None:
    sent, _ = plan(model, **fields)
    assert (sent.visible, sent.active) == (shown, active)


@pytest.mark.parametrize(
    ("model", "fields", "limit", "sent_limit", "sent_budget"),
    [
        # Off: OpenAI's limit unchanged.
        (OPUS_4_8, {}, 10, 10, None),
        (HAIKU_4_5, {}, 10, 10, None),
        (HAIKU_5_5, effort("none"), 10, 10, None),
        (SONNET_5_5, effort("none"), 10, 10, None),
        # Adaptive thinking: a small limit is raised to leave room for thinking.
        (SONNET_5_5, {}, 50, 2098, None),
        (OPUS_5_5, effort("none"), 50, 2098, None),
        (OPUS_4_8, effort("low"), 2047, 4095, None),
        (OPUS_4_8, effort("low"), 2048, 2048, None),
        (UNHEARD_OF, {}, 50, 2098, None),
        (UNHEARD_OF, {}, 500_000, 500_000, None),
        # Budgets the gateway chose leave 1,024 tokens for the answer.
        (HAIKU_4_5, effort("low"), 50, 1074, 1024),
        (HAIKU_4_5, effort("low"), 2000, 3024, 1024),
        (HAIKU_4_5, effort("low"), 2048, 2048, 1024),
        (HAIKU_4_5, effort("high"), 10_000, 10_000, 8976),
        (HAIKU_4_5, effort("high"), 100_000, 64_000, 16_384),
        # The client's own budget is kept if the API accepts it.
        (HAIKU_4_5, native("enabled", budget_tokens=1024), 1025, 1025, 1024),
        (HAIKU_4_5, native("enabled", budget_tokens=9999), 10_000, 10_000, 9999),
        (HAIKU_4_5, native("enabled", budget_tokens=10_000), 10_000, 10_000, 8976),
        (HAIKU_4_5, native("enabled", budget_tokens=10_000), 1000, 2024, 1024),
    ],
)
def test_limits(model: str, fields: Any, limit: int, sent_limit: int, sent_budget: int | None) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        sent, warned = plan(model, **{**fields, name: limit})
        assert sent.max_tokens == sent_limit
        assert dict(sent.thinking or {}).get("budget_tokens") == sent_budget
        assert (name in warned) == (sent_limit != limit)


def test_strict_mode_reports_a_raised_max_tokens() -> None:
    with pytest.raises(APIError, match="raised from 50 to 2098 so that thinking leaves room") as caught:
        plan(SONNET_5_5, strict=True, max_tokens=50)
    assert (caught.value.status, caught.value.param) == (400, "max_tokens")


@pytest.mark.parametrize(
    ("model", "fields", "thinking", "level", "warnings"),
    [
        (HAIKU_4_5, {}, None, None, []),
        (HAIKU_4_5, effort("low"), None, None, ["reasoning_effort"]),
        (HAIKU_4_5, router(max_tokens=5000), None, None, ["reasoning.max_tokens"]),
        (OPUS_4_5, effort("low"), None, "low", ["reasoning_effort"]),
        (SONNET_4_6, effort("low"), ADAPTIVE, "low", []),
        (SONNET_4_6, router(max_tokens=5000), ADAPTIVE, "medium", ["reasoning.max_tokens"]),
        (SONNET_4_6, native("enabled"), ADAPTIVE, None, ["thinking.type"]),
        (HAIKU_5_5, effort("low"), SHOWN, "low", []),
    ],
)
def test_a_forced_choice_excludes_a_thinking_budget(
    model: str, fields: Any, thinking: Any, level: str | None, warnings: list[str]
) -> None:
    sent, warned = plan(model, forced_choice=True, max_tokens=4000, **fields)
    assert (sent.thinking, sent.effort, warned) == (thinking, level, warnings)
    assert sent.max_tokens == 4000


def capped(model: str, cap: int, **fields: Any) -> tuple[ThinkingPlan, dict[str, str]]:
    """The plan for a key with the largest max_tokens `cap`, and the warnings by field."""
    known = find_model(model, {})
    body = {"model": model, "messages": [{"role": "user", "content": "a"}], **fields}
    params, report = parse_params(json.dumps(body).encode()), Report()
    limits: dict[str, Any] = {
        "max_output_tokens": min(cap, known.max_output_tokens or cap),
        "default_max_tokens": min(cap, known.default_max_tokens),
    }
    request = to_thinking(params, replace(known, **limits), params.max_tokens, report)
    return request, {warning.param: warning.reason for warning in report.warnings}


@pytest.mark.parametrize(("model", "server"), [*SERVERS.items(), (UNHEARD_OF, ANY)])
def test_a_keys_largest_max_tokens_is_never_exceeded(model: str, server: Server) -> None:
    known = find_model(model, {})
    always = known.thinks_by_default and not {"disabled", "between_tools"} & set(known.thinking)
    for reasoning, cap, limit in itertools.product(
        REQUEST, (1, 500, 1024, 1500, 2047, 2048, 3000), (None, 1, 100, 1500)
    ):
        fields = {**reasoning, **({"max_tokens": limit} if limit and limit <= cap else {})}
        try:
            sent, _ = capped(model, cap, **fields)
        except APIError as error:
            assert always, "only a model that always thinks is refused"
            assert cap < 2048
            assert (error.status, error.param, error.code) == (
                400,
                "max_tokens",
                "max_tokens_too_small_for_thinking",
            )
            assert f"at most {cap} tokens" in error.message
        else:
            assert sent.max_tokens <= cap
            assert_accepted(sent, server, forced_choice=False)


CAPPED: list[tuple[str, str, int, dict[str, Any], int, Any, str]] = [
    ("no parameters", "claude-haiku-5-5", 500, {}, 500, {"type": "disabled"}, "max_tokens"),
    ("a small limit", "claude-haiku-5-5", 500, {"max_tokens": 100}, 100, {"type": "disabled"}, "max_tokens"),
    ("between tools", "claude-sonnet-5-5", 500, {}, 500, {"type": "between_tools"}, "max_tokens"),
    ("an effort", "claude-opus-5", 500, {"reasoning_effort": "max"}, 500, {"type": "disabled"}, "reasoning_effort"),
    ("a budget", "claude-haiku-4-5", 500, {"reasoning": {"max_tokens": 1024}}, 500, None, "reasoning.max_tokens"),
    ("an effort of 4.5", "claude-sonnet-4-5", 1024, {"reasoning_effort": "high"}, 1024, None, "reasoning_effort"),
    ("off by default", "claude-opus-4-8", 500, {"reasoning_effort": "high"}, 500, None, "reasoning_effort"),
    ("no thinking wanted", "claude-opus-4-8", 500, {}, 500, None, ""),
    ("room for a part of the raise", "claude-opus-5-5", 3000, {"max_tokens": 1000}, 3000, None, "max_tokens"),
    ("room for all of it", "claude-haiku-4-5", 1500, {"max_tokens": 100, "reasoning_effort": "low"}, 1124, {"type": "enabled", "budget_tokens": 1024}, "max_tokens"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "cap", "fields", "max_tokens", "thinking", "warned"),
    [pytest.param(*rest, id=name) for name, *rest in CAPPED],
)
def test_thinking_within_a_keys_largest_max_tokens(
    model: str, cap: int, fields: dict[str, Any], max_tokens: int, thinking: Any, warned: str
) -> None:
    sent, warnings = capped(model, cap, **fields)
    assert (sent.max_tokens, sent.thinking) == (max_tokens, thinking)
    assert list(warnings) == ([warned] if warned else [])
    assert (
        sent.active == (thinking is not None and thinking["type"] != "disabled") or model == "claude-opus-5-5"
    )


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-fable-5-2", "claude-mythos-preview", UNHEARD_OF])
@pytest.mark.parametrize(
    "fields", [{}, {"max_tokens": 100}, {"reasoning_effort": "none"}, {"reasoning_effort": "max"}]
)
def test_too_small_max_tokens_are_refused_for_models_that_always_think(
    model: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(APIError, match=r"always thinks.* at most 500 tokens") as caught:
        capped(model, 500, **fields)
    assert (caught.value.status, caught.value.param) == (400, "max_tokens")
