"""Accepted spellings of model ids, and the data of the models."""

from datetime import date

import pytest

from claudexia.errors import APIError
from claudexia.models import SERVED, find_model, retirement_warning

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
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929"),
        ("anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        ("global.anthropic.claude-opus-5-5", "claude-opus-5-5"),
        ("us-gov.anthropic.claude-haiku-5-5", "claude-haiku-5-5"),
    ],
)
def test_accepted_spellings_of_ids(written: str, sent: str) -> None:
    assert find_model(written, ALIASES).id == sent


@pytest.mark.parametrize(
    "name",
    ["gpt-4o", "sonnet", "", "claude", "anthropic/gpt", "us.anthropic.gpt", "a.b.anthropic.claude-opus-5-5"],
)
def test_other_names_are_not_found(name: str) -> None:
    with pytest.raises(APIError) as caught:
        find_model(name, {})
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


HOSTS = [
    ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929"),
    ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929"),
    ("apac.anthropic.claude-sonnet-4-5", "claude-sonnet-4-5"),
    ("global.anthropic.claude-opus-5-5-v1:0", "claude-opus-5-5"),
    ("us-gov.anthropic.claude-haiku-4-5-v1", "claude-haiku-4-5"),
    ("anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet-20241022"),
    ("anthropic.claude-3-sonnet-20240229-v1:0:200k", "claude-3-sonnet-20240229"),
    ("bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929"),
    ("bedrock/converse/anthropic.claude-haiku-4-5-v1:0", "claude-haiku-4-5"),
    ("openrouter/anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
    ("anthropic/claude-sonnet-4-5", "claude-sonnet-4-5"),
    ("vertex_ai/claude-sonnet-4-5@20250929", "claude-sonnet-4-5-20250929"),
    ("claude-3-5-sonnet-v2@20241022", "claude-3-5-sonnet-20241022"),
    ("claude-opus-5-5@default", "claude-opus-5-5"),
    ("claude-opus-5-5@latest", "claude-opus-5-5-latest"),
    ("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929"),
    ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-4-5-v1:0", "claude-haiku-4-5"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "sent"), HOSTS)
def test_ids_of_other_hosts(written: str, sent: str) -> None:
    assert find_model(written, {}).id == sent
    assert find_model(f" {written.upper()} ", {}).id == sent


@pytest.mark.parametrize("suffix", [":thinking", ":beta", "[1m]", "@tomorrow", ":free", "/x"])
def test_a_suffix_that_is_not_understood_is_named(suffix: str) -> None:
    with pytest.raises(APIError) as caught:
        find_model(f"claude-sonnet-5-5{suffix}", {})
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    assert f"'{suffix}' is not understood" in caught.value.message
    assert (
        find_model(f"claude-sonnet-5-5{suffix}", {f"claude-sonnet-5-5{suffix}": "claude-opus-5-5"}).id
        == "claude-opus-5-5"
    )


def test_a_dated_id_has_the_models_capabilities() -> None:
    dated, known = find_model("claude-sonnet-4-5-20250929", {}), find_model("claude-sonnet-4-5", {})
    assert (dated.max_output_tokens, dated.prefill, dated.sampling) == (64_000, True, True)
    assert dated.retires == known.retires == "2026-11-30"
    assert find_model("claude-sonnet-4-20250514", {}).max_output_tokens == 64_000


def test_an_unknown_id_has_conservative_capabilities() -> None:
    model = find_model("claude-opus-9", {})
    assert not (model.sampling or model.forced_tool_choice or model.prefill or model.mid_conversation_system)
    assert (model.thinking, model.effort) == (("adaptive",), ("low", "medium", "high"))
    assert (model.thinks_by_default, model.shows_thinking) == (True, False)


@pytest.mark.parametrize(
    ("name", "today", "words"),
    [
        ("claude-sonnet-4-5", date(2026, 9, 30), None),
        ("claude-sonnet-4-5", date(2026, 10, 1), "retires on 2026-11-30"),
        ("claude-sonnet-4-5-20250929", date(2026, 11, 29), "claude-sonnet-4-5-20250929 retires on 2026-11-30"),
        ("claude-sonnet-4-5", date(2026, 11, 30), "retired on 2026-11-30"),
        ("claude-sonnet-4-5", date(2027, 11, 30), "retired on 2026-11-30"),
        ("claude-opus-5-5", date(2036, 1, 1), None),
        ("claude-opus-9", date(2036, 1, 1), None),
    ],
)
def test_a_retiring_model_has_a_warning(name: str, today: date, words: str | None) -> None:
    warning = retirement_warning(find_model(name, {}), today)
    assert (warning is None) == (words is None)
    assert (words or "") in (warning or "")


KINDS = {"input", "output", "cache_write_5m", "cache_write_1h", "cache_read"}


@pytest.mark.parametrize("name", SERVED)
def test_every_served_model_has_a_price(name: str) -> None:
    prices = SERVED[name].prices
    assert set(prices) == KINDS
    assert all(price > 0 for price in prices.values())


def test_assumed_prices_are_those_of_the_newest_priced_model_of_the_line() -> None:
    assumed = {name: model.assumed_prices_of for name, model in SERVED.items() if model.assumed_prices_of}
    assert assumed == {"claude-fable-5-2": "claude-fable-5-1", "claude-mythos-5-2": "claude-mythos-5-1"}
    for name, source in assumed.items():
        line = name.rstrip("0123456789-")
        priced = [
            other for other, model in SERVED.items() if other.startswith(line) and not model.assumed_prices_of
        ]
        assert source == priced[0]  # the newest comes first
        assert SERVED[name].prices == SERVED[source].prices
    assert find_model("claude-fable-5-2-20261109", {}).assumed_prices_of == "claude-fable-5-1"


def test_the_data_is_consistent() -> None:
    for model in SERVED.values():
        assert set(model.thinking) <= {"adaptive", "enabled", "disabled", "between_tools"}
        assert model.effort in EFFORTS
        assert model.default_max_tokens == model.max_output_tokens
        assert "adaptive" in model.thinking if model.thinks_by_default else "disabled" in model.thinking
        assert model.effort or "adaptive" not in model.thinking


@pytest.mark.parametrize("name", ["claude-3-5-sonnet-20241022", "claude-3-haiku", "claude-3-5-haiku-latest"])
def test_models_without_thinking_do_not_think_by_default(name: str) -> None:
    model = find_model(name, {})
    assert not (model.thinking or model.effort or model.thinks_by_default or model.shows_thinking)


@pytest.mark.parametrize(
    ("model", "id_"),
    [
        ("claude-haiku-4-5", "anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude-haiku-4-5-20251001", "anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("claude-opus-4-6", "anthropic.claude-opus-4-6-v1"),
        ("claude-sonnet-5-5", "anthropic.claude-sonnet-5-5"),
        ("claude-opus-9", "anthropic.claude-opus-9"),
    ],
)
def test_ids_on_bedrock(model: str, id_: str) -> None:
    assert find_model(model, {}).bedrock.id == id_
