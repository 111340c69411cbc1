"""Fields that are translated independently: values, models and warnings, and a verdict for every OpenAI field."""

import json
from typing import Any, get_type_hints

import pytest
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from claudexia.errors import APIError
from claudexia.models import find_model
from claudexia.translate.request.build import FIELD_RULES, MessageRequest, to_message_params
from claudexia.translate.request.parse import parse_params
from claudexia.translate.types.anthropic import MessageCreateParams
from claudexia.translate.types.params import Composed, Ignored, Native, Rejected
from tests.fakes.anthropic.rules import assert_accepted

SAMPLES, REFUSES, UNKNOWN = "claude-sonnet-4-6", "claude-opus-5-5", "claude-opus-7"


def translate(model: str = SAMPLES, strict: bool = False, **fields: Any) -> MessageRequest:
    body = {"model": model, "messages": [{"role": "user", "content": "a"}], **fields}
    request = to_message_params(parse_params(json.dumps(body).encode()), find_model(model, {}), strict=strict)
    assert_accepted(json.loads(json.dumps(request.params)))
    return request


def sent(request: MessageRequest) -> dict[str, Any]:
    return {key: value for key, value in request.params.items() if key not in ("model", "messages", "stream")}


def warned(request: MessageRequest) -> list[str]:
    return [warning.param for warning in request.warnings]


FULL = {"max_tokens": 128_000}
FIELDS = [
    pytest.param({}, FULL, [], id="nothing"),
    pytest.param({"max_tokens": 5}, {"max_tokens": 5}, [], id="max_tokens"),
    pytest.param({"max_completion_tokens": 5}, {"max_tokens": 5}, [], id="max_completion_tokens"),
    pytest.param({"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens": 6}, ["max_tokens"], id="both"),
    pytest.param({"max_tokens": 6, "max_completion_tokens": 6}, {"max_tokens": 6}, [], id="both-the-same"),
    pytest.param({"max_tokens": 1_000_000}, FULL, ["max_tokens"], id="above-the-limit"),
    pytest.param({"temperature": 0}, {**FULL, "temperature": 0}, [], id="temperature"),
    pytest.param({"temperature": 1.7}, {**FULL, "temperature": 1}, ["temperature"], id="temperature-clamped"),
    pytest.param({"top_p": 0.5}, {**FULL, "top_p": 0.5}, [], id="top_p"),
    pytest.param({"top_p": 0.5, "temperature": 0.2}, {**FULL, "temperature": 0.2}, ["top_p"], id="one-of-two"),
    pytest.param({"top_p": 0.5, "temperature": 1}, {**FULL, "top_p": 0.5}, [], id="default-temperature"),
    pytest.param({"top_p": 1, "temperature": 0.2}, {**FULL, "temperature": 0.2}, [], id="default-top_p"),
    pytest.param({"top_k": 7}, {**FULL, "top_k": 7}, [], id="top_k"),
    pytest.param({"stop": "x"}, {**FULL, "stop_sequences": ["x"]}, [], id="stop"),
    pytest.param({"stop": ["x", "y"]}, {**FULL, "stop_sequences": ["x", "y"]}, [], id="stops"),
    pytest.param({"stop": []}, FULL, [], id="no-stops"),
    pytest.param({"stop": ["\n", "x"]}, {**FULL, "stop_sequences": ["x"]}, ["stop"], id="blank-stop"),
    pytest.param({"stop": "\n"}, FULL, ["stop"], id="only-blank-stop"),
    pytest.param({"user": "u-1"}, {**FULL, "metadata": {"user_id": "u-1"}}, [], id="user"),
    pytest.param({"user": ""}, FULL, [], id="empty-user"),
    pytest.param(
        {"safety_identifier": "s"}, {**FULL, "metadata": {"user_id": "s"}}, [], id="safety_identifier"
    ),
    pytest.param(
        {"safety_identifier": "s", "user": "u"}, {**FULL, "metadata": {"user_id": "s"}}, ["user"], id="both-ids"
    ),
    pytest.param({"stream": True, "stream_options": {"include_usage": True}}, FULL, [], id="stream"),
    pytest.param(
        {"stream_options": {"continuous_usage_stats": True}},
        FULL,
        ["stream_options.continuous_usage_stats"],
        id="vllm",
    ),
    pytest.param({"seed": 1}, FULL, ["seed"], id="seed"),
    pytest.param({"presence_penalty": 0, "frequency_penalty": 0.0}, FULL, [], id="no-penalty"),
    pytest.param({"presence_penalty": 1}, FULL, ["presence_penalty"], id="penalty"),
    pytest.param({"service_tier": "auto"}, FULL, [], id="tier"),
    pytest.param({"service_tier": "flex"}, FULL, ["service_tier"], id="other-tier"),
    pytest.param({"n": 1, "logprobs": False, "top_logprobs": 0, "logit_bias": {}}, FULL, [], id="harmless"),
    pytest.param({"modalities": ["text"], "response_format": {"type": "text"}}, FULL, [], id="text"),
    pytest.param({"provider": {"order": ["x"]}}, FULL, ["provider"], id="unknown-field"),
    pytest.param({"provider": None}, FULL, [], id="unknown-null"),
]


@pytest.mark.parametrize(("given", "expected", "warnings"), FIELDS)
def test_fields(given: Any, expected: Any, warnings: list[str]) -> None:
    request = translate(**given)
    assert sent(request) == expected
    assert warned(request) == warnings


@pytest.mark.parametrize(("given", "expected", "warnings"), FIELDS)
def test_strict_mode_refuses_what_would_be_a_warning(given: Any, expected: Any, warnings: list[str]) -> None:
    if not warnings:
        assert sent(translate(strict=True, **given)) == expected
        return
    with pytest.raises(APIError) as caught:
        translate(strict=True, **given)
    assert caught.value.param == warnings[0]


def test_null_fields_are_ignored() -> None:
    nulls: Any = {name: None for name in FIELD_RULES if name not in ("messages", "model")}
    assert sent(translate(**nulls)) == FULL


@pytest.mark.parametrize("personal", ["bob@example.org", "+49 170 1234567", "x" * 300])
def test_personal_user_ids_are_hashed(personal: str) -> None:
    user_id = translate(user=personal).params["metadata"]["user_id"]
    assert len(user_id) == 64
    assert user_id == translate(safety_identifier=personal).params["metadata"]["user_id"]


@pytest.mark.parametrize("model", [REFUSES, UNKNOWN])
def test_sampling_is_left_out_for_models_that_refuse_it(model: str) -> None:
    assert not translate(model, temperature=1, top_p=1).warnings
    request = translate(model, temperature=0.3, top_p=0.5, top_k=3)
    assert not {"temperature", "top_p", "top_k"} & request.params.keys()
    assert warned(request) == ["temperature", "top_p", "top_k"]


def test_sampling_with_thinking() -> None:
    request = translate(reasoning_effort="low", temperature=0.3, top_p=0.5, top_k=3)
    assert not {"temperature", "top_p", "top_k"} & request.params.keys()
    assert warned(request) == ["temperature", "top_p", "top_k"]
    request = translate(reasoning_effort="low", temperature=1, top_p=0.95)
    assert request.params["top_p"] == 0.95
    assert "temperature" not in request.params
    assert not request.warnings
    assert translate(reasoning_effort="none", temperature=0.3).params["temperature"] == 0.3


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
LOOP = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": "1"},
]
TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"tool_choice": "required"}, "forced"),
        ({"messages": LOOP}, "tool results"),
        ({"tool_choice": "auto"}, ""),
        ({"messages": [*LOOP, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]}, ""),
    ],
)
def test_no_budget_with_a_forced_choice_or_in_a_loop_without_thinking(fields: Any, why: str) -> None:
    request = translate("claude-haiku-4-5", reasoning_effort="low", tools=TOOLS, **fields)
    assert ("thinking" in request.params) == (not why)
    assert warned(request) == (["reasoning_effort"] if why else [])
    assert all(why in warning.reason for warning in request.warnings)
    assert "thinking" in translate("claude-sonnet-4-6", reasoning_effort="low", tools=TOOLS, **fields).params


def test_an_unknown_model_has_a_default_limit_and_no_cap() -> None:
    assert translate(UNKNOWN).params["max_tokens"] == 32_000
    assert translate(UNKNOWN, max_tokens=500_000).params["max_tokens"] == 500_000


REFUSED: list[tuple[str, Any]] = [
    ("logprobs", True),
    ("top_logprobs", 2),
    ("logit_bias", {"50256": -100}),
    ("modalities", ["text", "audio"]),
    ("audio", {"voice": "alloy", "format": "wav"}),
    ("moderation", {"model": "x"}),
]


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=[name for name, _ in REFUSED])
def test_fields_that_cannot_be_honoured_are_refused(name: str, value: Any) -> None:
    with pytest.raises(APIError) as caught:
        translate(**{name: value})
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, name, "unsupported_parameter")


def test_every_refused_field_is_tested() -> None:
    assert {name for name, verdict in FIELD_RULES.items() if isinstance(verdict, Rejected)} == {
        n for n, _ in REFUSED
    }


def test_every_field_of_the_newest_sdk_has_a_verdict() -> None:
    fields = get_type_hints(CompletionCreateParamsNonStreaming) | get_type_hints(
        CompletionCreateParamsStreaming
    )
    unmapped = sorted(fields.keys() - FIELD_RULES.keys())
    assert not unmapped, f"unmapped OpenAI field: {unmapped}"
    assert all(isinstance(verdict, Native | Composed | Ignored | Rejected) for verdict in FIELD_RULES.values())


def test_rows_point_at_messages_api_parameters() -> None:
    targets = {verdict.target.split(".")[0] for verdict in FIELD_RULES.values() if isinstance(verdict, Native)}
    assert targets <= get_type_hints(MessageCreateParams).keys()
