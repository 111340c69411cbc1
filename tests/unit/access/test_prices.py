"""The cost of a request: by kind of token, by model, and with an operator's own prices."""

import json
from pathlib import Path
from typing import Any

import pytest

from claudexia.access.prices import Prices
from claudexia.settings import AWSHosts, Settings, SettingsError
from claudexia.upstream.hosts import price_factors

ALL = {"input": 1, "output": 2, "cache_write_5m": 3, "cache_write_1h": 4, "cache_read": 5}
MILLION = 1_000_000

# Of claude-sonnet-4-5: input 3, output 15, cache writes 3.75 and 6, cache reads 0.3 dollars per million.
COSTS: list[tuple[str, dict[str, Any], int]] = [
    ("nothing", {}, 0),
    ("input", {"input_tokens": MILLION}, 3_000_000),
    ("output", {"output_tokens": MILLION}, 15_000_000),
    ("thinking-is-output", {"output_tokens": 100, "output_tokens_details": {"thinking_tokens": 90}}, 1500),
    ("cache-read", {"cache_read_input_tokens": 1000}, 300),
    ("write-without-detail", {"cache_creation_input_tokens": 1000}, 3750),
    ("write-5m", {"cache_creation_input_tokens": 1000, "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 0}}, 3750),
    ("write-1h", {"cache_creation_input_tokens": 1000, "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 1000}}, 6000),
    ("write-both", {"cache_creation_input_tokens": 1000, "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600}}, 5100),
    ("detail-without-total", {"cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600}}, 5100),
    ("total-beyond-the-detail", {"cache_creation_input_tokens": 2000, "cache_creation": {"ephemeral_1h_input_tokens": 600}}, 8850),
    ("web-search", {"server_tool_use": {"web_search_requests": 3}}, 30_000),
    ("nulls", {"input_tokens": 10, "cache_creation": None, "server_tool_use": None, "cache_read_input_tokens": None}, 30),
    ("everything", {"input_tokens": 7, "output_tokens": 3, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 100, "server_tool_use": {"web_search_requests": 1}}, 10_741),
    ("half-goes-up", {"cache_read_input_tokens": 5}, 2),
    ("less-than-half-goes-down", {"cache_read_input_tokens": 4}, 1),
    ("rounded-on-the-total", {"cache_read_input_tokens": 1, "cache_creation_input_tokens": 1}, 4),
]  # fmt: skip


@pytest.mark.parametrize(("usage", "micros"), [pytest.param(*rest, id=name) for name, *rest in COSTS])
def test_cost(usage: dict[str, Any], micros: int) -> None:
    assert Prices().cost("claude-sonnet-4-5", usage) == micros


@pytest.mark.parametrize(
    ("model", "micros"),
    [
        ("claude-opus-5-5", 4_000_000),
        ("claude-haiku-5-5", 100_000),
        ("claude-haiku-4-5-20251001", 1_000_000),
        ("claude-sonnet-5-latest", 2_000_000),
        ("claude-3-opus-20240229", None),
        ("claude-unheard-of", None),
        ("gpt-5", None),
        ("", None),
    ],
)
def test_a_model_is_found_with_and_without_its_date(model: str, micros: int | None) -> None:
    assert Prices().cost(model, {"input_tokens": MILLION}) == micros


def test_costs_are_integers() -> None:
    assert type(Prices().cost("claude-haiku-5-5", {"input_tokens": 12345})) is int


def test_an_estimate_is_at_least_the_actual_cost() -> None:
    prices = Prices()
    used = {"cache_creation_input_tokens": 1000, "output_tokens": 500}
    assert prices.estimate("claude-opus-4-6-20260205", 1000, 500) == prices.cost("claude-opus-4-6", used)
    assert prices.estimate("claude-unheard-of", 1000, 500) == 0


UNPRICED = ["claude-fable-6", "claude-mythos-6", "claude-3-opus-20240229", "claude-opus-4-1", "claude-x"]


@pytest.mark.parametrize("model", UNPRICED)
def test_a_model_without_a_price_can_count_as_the_most_expensive(model: str) -> None:
    """The highest known prices are those of claude-fable-5: 10, 50, 12.5, 20 and 1 dollar per million."""
    prices = Prices()
    assert not prices.is_known(model)
    assert prices.cost(model, {"output_tokens": MILLION}) is None
    used = [
        ({"input_tokens": MILLION}, 10_000_000),
        ({"output_tokens": MILLION}, 50_000_000),
        ({"cache_creation_input_tokens": MILLION}, 12_500_000),
        ({"cache_read_input_tokens": MILLION}, 1_000_000),
    ]
    for usage, micros in used:
        assert prices.cost(model, usage, dearest=True) == micros
    assert prices.estimate(model, 1000, 1000, dearest=True) == 62_500
    own = Prices(json.dumps({"models": {"claude-opus-5": {"output": 99}}}))
    assert own.cost(model, {"output_tokens": MILLION}, dearest=True) == 99_000_000


def test_a_known_price_takes_precedence_over_the_most_expensive() -> None:
    assert Prices().cost("claude-haiku-4-5", {"output_tokens": MILLION}, dearest=True) == 5_000_000


OVERRIDES: list[tuple[str, dict[str, Any], str, int]] = [
    ("one-price", {"models": {"claude-sonnet-4-5": {"input": 2.5}}}, "claude-sonnet-4-5", 2_500_000),
    ("dated-id-too", {"models": {"claude-sonnet-4-5": {"input": 2.5}}}, "claude-sonnet-4-5-20250929", 2_500_000),
    ("only-one-date", {"models": {"claude-sonnet-4-5-20250929": {"input": 9}}}, "claude-sonnet-4-5-20250929", 9_000_000),
    ("another-kind", {"models": {"claude-sonnet-4-5": {"output": 1}}}, "claude-sonnet-4-5", 3_000_000),
    ("new-model", {"models": {"claude-fable-6": ALL}}, "claude-fable-6", 1_000_000),
    ("dotted", {"models": {"claude-fable-6.1": ALL}}, "claude-fable-6-1", 1_000_000),
    ("free", {"models": {"claude-fable-6": {**ALL, "input": 0}}}, "claude-fable-6", 0),
    ("others-stay", {"as_of": "2027-01", "models": {}}, "claude-sonnet-4-5", 3_000_000),
]  # fmt: skip


@pytest.mark.parametrize(
    ("override", "model", "micros"), [pytest.param(*rest, id=name) for name, *rest in OVERRIDES]
)
def test_an_operator_can_override_prices(
    override: dict[str, Any], model: str, micros: int, tmp_path: Path
) -> None:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(override))
    for setting in (json.dumps(override), f" {file} "):
        prices = Prices(Settings.from_env({"PRICES": setting}).prices)
        assert prices.cost(model, {"input_tokens": MILLION}) == micros


def test_the_price_of_a_search_can_be_overridden() -> None:
    prices = Prices('{"web_search": 2.5}')
    assert prices.cost("claude-sonnet-5", {"server_tool_use": {"web_search_requests": 2}}) == 5000


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("/nowhere/prices.json", r"^PRICES: the file '/nowhere/prices.json' cannot be read: No such file"),
        ("{", "^PRICES: not valid JSON at line 1, column 2"),
        ('{"models": []}', "models is not an object"),
        ('{"models": {"claude-x": 1}}', "models.claude-x is not an object"),
        ('{"models": {"gpt-5": {}}}', "models.gpt-5 is not a Claude model id"),
        ('{"models": {"claude-opus-5": {"ouput": 1}}}', "models.claude-opus-5.ouput is not one of input, output"),
        ('{"models": {"claude-opus-5": {"input": "1"}}}', "models.claude-opus-5.input is not a number of US dollars"),
        ('{"models": {"claude-opus-5": {"input": -1}}}', "models.claude-opus-5.input is not"),
        ('{"models": {"claude-opus-5": {"input": true}}}', "models.claude-opus-5.input is not"),
        ('{"models": {"claude-opus-5": {"input": NaN}}}', "models.claude-opus-5.input is not"),
        ('{"models": {"claude-opus-5": {"input": 1e99}}}', "models.claude-opus-5.input is not"),
        ('{"models": {"claude-x": {"input": 1, "output": 2}}}', "models.claude-x.cache_write_5m is missing"),
        ('{"web_search": null}', "web_search is not a number"),
    ],
)  # fmt: skip
def test_invalid_prices_are_an_error_at_startup(override: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Prices(override)


def test_a_price_file_in_another_encoding_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_bytes(b"{\xff}")
    with pytest.raises(SettingsError, match="is not UTF-8"):
        Prices(str(file))


def test_a_host_has_prices_of_its_own_and_reservations_take_the_dearest() -> None:
    prices, usage = Prices("", {"anthropic": 1.0, "bedrock": 1.1}), {"input_tokens": MILLION}
    costs = [prices.cost("claude-sonnet-5-5", usage, host) for host in ("anthropic", "bedrock", None)]
    assert costs == [2_000_000, 2_200_000, 2_000_000]
    assert prices.estimate("claude-sonnet-5-5", 0, MILLION) == 11_000_000


@pytest.mark.parametrize(
    ("upstream", "aws", "factors"),
    [
        (("anthropic",), {}, {"anthropic": 1.0}),
        (("aws", "bedrock"), {}, {"aws": 1.0, "bedrock": 1.0}),
        (("bedrock",), {"inference_profile": "eu"}, {"bedrock": 1.1}),
        (("bedrock",), {"bedrock_endpoint": "mantle"}, {"bedrock": 1.1}),
        (("bedrock",), {"region": "us-gov-west-1"}, {"bedrock": 1.2}),
    ],
)
def test_the_factor_of_each_host(upstream: Any, aws: Any, factors: dict[str, float]) -> None:
    assert price_factors(Settings(upstream=upstream, aws=AWSHosts(**aws))) == factors
