"""Model ids as people write them."""

import pytest

from claudexia.translate import APIError, find_model, listed_models
from claudexia.translate.models import SERVED

EFFORTS = [
    (),
    ("low", "medium", "high"),
    ("low", "medium", "high", "max"),
    ("low", "medium", "high", "xhigh", "max"),
]
ALIASES = {"gpt-4o": "claude-sonnet-5.5", "gpt-*": "claude-haiku-5-5", "fast": "anthropic/claude-haiku-4.5"}


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5-20250929"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4-20250514"),
        ("anthropic/claude-opus-5.5", "claude-opus-5-5"),
        ("Claude-Haiku-5.5", "claude-haiku-5-5"),
        (" claude-haiku-5-5 ", "claude-haiku-5-5"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku-latest"),
        ("claude-opus-9", "claude-opus-9"),
        ("gpt-4o", "claude-sonnet-5-5"),
        ("gpt-5.2-mini", "claude-haiku-5-5"),
        ("fast", "claude-haiku-4-5"),
    ],
)
def test_ids(written: str, sent: str) -> None:
    assert find_model(written, ALIASES).id == sent


@pytest.mark.parametrize("name", ["gpt-4o", "sonnet", "", "claude", "anthropic/gpt"])
def test_other_names_are_not_found(name: str) -> None:
    with pytest.raises(APIError) as caught:
        find_model(name, {})
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_a_date_does_not_hide_what_is_known() -> None:
    dated, known = find_model("claude-sonnet-4-5-20250929", {}), find_model("claude-sonnet-4-5", {})
    assert (dated.max_output_tokens, dated.prefill, dated.sampling) == (64_000, True, True)
    assert dated.retires == known.retires == "2026-11-30"
    assert find_model("claude-sonnet-4-20250514", {}).max_output_tokens == 64_000


def test_an_unknown_id_gets_the_safe_rule() -> None:
    model = find_model("claude-opus-9", {})
    assert not (model.sampling or model.forced_tool_choice or model.prefill or model.mid_conversation_system)
    assert (model.thinking, model.effort) == (("adaptive",), ("low", "medium", "high"))
    assert (model.thinks_by_default, model.shows_thinking) == (True, False)


def test_listed() -> None:
    listed = {model["id"]: model for model in listed_models(ALIASES)}
    assert listed.keys() == SERVED.keys() | {"gpt-4o", "fast"}
    assert listed["gpt-4o"]["max_output_tokens"] == 128_000
    assert listed["claude-haiku-4-5"]["created"] == 1_759_276_800
    assert all(model["object"] == "model" for model in listed.values())


def test_the_data_is_consistent() -> None:
    for model in SERVED.values():
        assert set(model.thinking) <= {"adaptive", "enabled", "disabled", "between_tools"}
        assert model.effort in EFFORTS
        assert model.default_max_tokens == model.max_output_tokens
        assert "adaptive" in model.thinking if model.thinks_by_default else "disabled" in model.thinking
        assert model.effort or "adaptive" not in model.thinking


@pytest.mark.parametrize("name", ["claude-3-5-sonnet-20241022", "claude-3-haiku", "claude-3-5-haiku-latest"])
def test_what_cannot_think_does_not_by_default(name: str) -> None:
    model = find_model(name, {})
    assert not (model.thinking or model.effort or model.thinks_by_default or model.shows_thinking)
