"""Prices: the cost of a request in micro-dollars (millionths of a US dollar).

The standard prices are the `prices` of models.json; the setting PRICES replaces some of them.

Source: https://platform.claude.com/docs/en/about-claude/pricing
"""

import json
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from claudexia.errors import APIError
from claudexia.models import KNOWN, WEB_SEARCH_PRICE, find_model, undated
from claudexia.settings import SettingsError

_KINDS = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")
_MAX_PRICE = 1_000_000  # a higher price is a typing error
_ONE = Decimal(1)
_MICROS_PER_SEARCH = 1000  # per search and USD per thousand searches

ModelPrices = Mapping[str, Decimal]


class _PriceList(NamedTuple):
    """`models`: USD per million tokens (micro-dollars per token), by model id and kind of token.

    `web_search`: USD per thousand searches; None in an override that does not set it.
    """

    models: Mapping[str, ModelPrices]
    web_search: Decimal | None


class Prices:
    """The standard prices with those of `override` in their place.

    `override` is the setting PRICES: JSON, or the path of a JSON file, of the shape
    `{"models": {"claude-opus-5-5": {"input": 4, ...}}, "web_search": 10}`. Kinds of token are input, output,
    cache_write_5m, cache_write_1h and cache_read. Both keys are optional; a model without standard prices
    needs all five kinds. Raises SettingsError if the override is invalid. `factors` are the prices of each host
    that is used, relative to those of the models.
    """

    def __init__(self, override: str = "", factors: Mapping[str, float] | None = None) -> None:
        self._override = override.strip()
        self._factors = {name: Decimal(str(factor)) for name, factor in (factors or {}).items()}
        if self._override:  # an invalid override fails the start, not the first request
            _ = self._prices

    def is_known(self, model_id: str) -> bool:
        return self._of(model_id) is not None

    def cost(
        self, model_id: str, usage: Mapping[str, object], host: str | None = None, *, dearest: bool = False
    ) -> int | None:
        """The cost of Anthropic's `usage` on `host` in micro-dollars, rounded half up once.

        Without a known price, None; with `dearest`, the cost at the highest known price of each kind of token.

        `input_tokens` excludes cached tokens, `output_tokens` includes thinking:
        https://platform.claude.com/docs/en/api/messages
        """
        price = self._of(model_id) or (self._dearest if dearest else None)
        if price is None:
            return None
        by_lifetime = _nested(usage, "cache_creation")
        written_1h = _count(by_lifetime, "ephemeral_1h_input_tokens")
        written_5m = _count(by_lifetime, "ephemeral_5m_input_tokens")
        # The last usage of a stream has the total only. Tokens without a lifetime count as 5 minutes.
        written = max(_count(usage, "cache_creation_input_tokens"), written_5m + written_1h)
        searches = _count(_nested(usage, "server_tool_use"), "web_search_requests")
        return _rounded(
            self._factors.get(host or "", _ONE)
            * (
                price["input"] * _count(usage, "input_tokens")
                + price["output"] * _count(usage, "output_tokens")
                + price["cache_read"] * _count(usage, "cache_read_input_tokens")
                + price["cache_write_5m"] * (written - written_1h)
                + price["cache_write_1h"] * written_1h
                + (self._prices.web_search or 0) * _MICROS_PER_SEARCH * searches
            )
        )

    def estimate(self, model_id: str, input_tokens: int, max_tokens: int, *, dearest: bool = False) -> int:
        """The micro-dollars to reserve for a request; 0 if the model's price is not known.

        With `dearest`, an unknown price is the highest known one. All input is priced as a 5-minute cache
        write, which costs more than plain input, and all of it on the dearest host.
        """
        price = self._of(model_id) or (self._dearest if dearest else None)
        if price is None:
            return 0
        factor = max(self._factors.values(), default=_ONE)
        return _rounded(factor * (price["cache_write_5m"] * input_tokens + price["output"] * max_tokens))

    def _of(self, model_id: str) -> ModelPrices | None:
        models = self._prices.models
        return models.get(model_id) or models.get(undated(model_id))

    @cached_property
    def _dearest(self) -> ModelPrices:
        return {kind: max(price[kind] for price in self._prices.models.values()) for kind in _KINDS}

    @cached_property
    def _prices(self) -> _PriceList:
        standard = _standard()
        return _merge(standard, _parse(_text(self._override))) if self._override else standard


def _count(usage: Mapping[str, object], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0


def _nested(usage: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = usage.get(name)
    return value if isinstance(value, Mapping) else {}


def _rounded(micros: Decimal) -> int:
    return int(micros.to_integral_value(ROUND_HALF_UP))


def _standard() -> _PriceList:
    """The prices of models.json. str() gives a float's decimal digits as the file has them."""
    models = {
        name: {kind: Decimal(str(price)) for kind, price in model.prices.items()}
        for name, model in KNOWN.items()
        if model.prices
    }
    return _PriceList(models, Decimal(str(WEB_SEARCH_PRICE)))


def _text(override: str) -> str:
    if override.startswith("{"):
        return override
    try:
        return Path(override).read_text("utf-8")
    except OSError as error:
        raise SettingsError(f"PRICES: the file {override!r} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise SettingsError(f"PRICES: the file {override!r} is not UTF-8.") from None


def _parse(text: str) -> _PriceList:
    try:
        data = _object(json.loads(text, parse_float=Decimal), "the value")
    except json.JSONDecodeError as error:
        raise SettingsError(
            f"PRICES: not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}."
        ) from None
    models = {
        _model_id(name): _model_prices(_object(row, f"models.{name}"), f"models.{name}")
        for name, row in _object(data.get("models", {}), "models").items()
    }
    return _PriceList(models, _price(data["web_search"], "web_search") if "web_search" in data else None)


def _object(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise SettingsError(f"PRICES: {where} is not an object.")
    return value


def _model_id(name: str) -> str:
    try:
        return find_model(name, {}).id
    except APIError:
        raise SettingsError(f"PRICES: models.{name} is not a Claude model id.") from None


def _model_prices(row: Mapping[str, object], where: str) -> ModelPrices:
    for kind in row:
        if kind not in _KINDS:
            raise SettingsError(f"PRICES: {where}.{kind} is not one of {', '.join(_KINDS)}.")
    return {kind: _price(value, f"{where}.{kind}") for kind, value in row.items()}


def _price(value: object, where: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= _MAX_PRICE:
        raise SettingsError(f"PRICES: {where} is not a number of US dollars from 0 to {_MAX_PRICE}.")
    return Decimal(value)


def _merge(standard: _PriceList, override: _PriceList) -> _PriceList:
    models = dict(standard.models)
    for name, row in override.models.items():
        models[name] = {**models.get(undated(name), {}), **models.get(name, {}), **row}
        for kind in _KINDS:
            if kind not in models[name]:
                raise SettingsError(f"PRICES: models.{name}.{kind} is missing; a new model needs every price.")
    web_search = standard.web_search if override.web_search is None else override.web_search
    return _PriceList(models, web_search)
