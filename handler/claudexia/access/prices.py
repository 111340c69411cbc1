"""Prices: what a request costs, in millionths of a US dollar ("micros"). The facts are data (prices.json).

Source: https://platform.claude.com/docs/en/about-claude/pricing
"""

import json
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from claudexia.errors import APIError
from claudexia.models import find_model, undated
from claudexia.settings import SettingsError

_DATA = Path(__file__).with_name("prices.json")
_KINDS = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")
_HIGHEST = 1_000_000  # more than this is a slip of the pen
_MICROS_PER_SEARCH = 1000  # one dollar for a thousand requests is so much for one

Row = Mapping[str, Decimal]


class _Sheet(NamedTuple):
    """By model and kind, dollars per million tokens, so micros per token; dollars per thousand searches."""

    models: Mapping[str, Row]
    web_search: Decimal | None


class Prices:
    """`override` is JSON like prices.json, or the path of a file with it; what it names replaces the default.

    Raises SettingsError where the override cannot be used. Without one, nothing is read before it is needed.
    """

    def __init__(self, override: str = "") -> None:
        self._override = override.strip()
        if self._override:  # what is wrong with it is told at the start, not by the first request
            _ = self._sheet

    def cost(self, model_id: str, usage: Mapping[str, object]) -> int | None:
        """What Anthropic's `usage` costs, rounded half up on the total; None for a model without a price.

        `input_tokens` leaves out the cache, `output_tokens` includes thinking:
        https://platform.claude.com/docs/en/api/messages
        """
        row = self._row(model_id)
        if row is None:
            return None
        detail = _part(usage, "cache_creation")
        hour = _count(detail, "ephemeral_1h_input_tokens")
        five_minutes = _count(detail, "ephemeral_5m_input_tokens")
        # A stream's last usage has the total without the detail; what is not detailed was for five minutes.
        written = max(_count(usage, "cache_creation_input_tokens"), five_minutes + hour)
        searches = _count(_part(usage, "server_tool_use"), "web_search_requests")
        return _whole(
            row["input"] * _count(usage, "input_tokens")
            + row["output"] * _count(usage, "output_tokens")
            + row["cache_read"] * _count(usage, "cache_read_input_tokens")
            + row["cache_write_5m"] * (written - hour)
            + row["cache_write_1h"] * hour
            + (self._sheet.web_search or 0) * _MICROS_PER_SEARCH * searches
        )

    def estimate(self, model_id: str, input_tokens: int, max_tokens: int) -> int:
        """What a request may cost at most, to be reserved; 0 for a model without a price.

        Input counts as written to the cache for five minutes, which costs more than plain input.
        """
        row = self._row(model_id)
        if row is None:
            return 0
        return _whole(row["cache_write_5m"] * input_tokens + row["output"] * max_tokens)

    def _row(self, model_id: str) -> Row | None:
        models = self._sheet.models
        return models.get(model_id) or models.get(undated(model_id))

    @cached_property
    def _sheet(self) -> _Sheet:
        standard = _parse(_DATA.read_text("utf-8"))
        return _merge(standard, _parse(_text(self._override))) if self._override else standard


def _count(usage: Mapping[str, object], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0


def _part(usage: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = usage.get(name)
    return value if isinstance(value, Mapping) else {}


def _whole(micros: Decimal) -> int:
    return int(micros.to_integral_value(ROUND_HALF_UP))


def _text(override: str) -> str:
    if override.startswith("{"):
        return override
    try:
        return Path(override).read_text("utf-8")
    except OSError as error:
        raise SettingsError(f"PRICES: the file {override!r} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise SettingsError(f"PRICES: the file {override!r} is not UTF-8.") from None


def _parse(text: str) -> _Sheet:
    try:
        data = _object(json.loads(text, parse_float=Decimal), "what it holds")
    except json.JSONDecodeError as error:
        raise SettingsError(
            f"PRICES: not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}."
        ) from None
    models = {
        _model_id(name): _row_of(_object(row, f"models.{name}"), f"models.{name}")
        for name, row in _object(data.get("models", {}), "models").items()
    }
    return _Sheet(models, _price(data["web_search"], "web_search") if "web_search" in data else None)


def _object(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise SettingsError(f"PRICES: {where} is not an object.")
    return value


def _model_id(name: str) -> str:
    try:
        return find_model(name, {}).id
    except APIError:
        raise SettingsError(f"PRICES: models.{name} is no Claude model id.") from None


def _row_of(row: Mapping[str, object], where: str) -> Row:
    for kind in row:
        if kind not in _KINDS:
            raise SettingsError(f"PRICES: {where}.{kind} is none of {', '.join(_KINDS)}.")
    return {kind: _price(value, f"{where}.{kind}") for kind, value in row.items()}


def _price(value: object, where: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= _HIGHEST:
        raise SettingsError(f"PRICES: {where} is not a number of US dollars from 0 to {_HIGHEST}.")
    return Decimal(value)


def _merge(standard: _Sheet, override: _Sheet) -> _Sheet:
    models = dict(standard.models)
    for name, row in override.models.items():
        models[name] = {**models.get(undated(name), {}), **models.get(name, {}), **row}
        for kind in _KINDS:
            if kind not in models[name]:
                raise SettingsError(f"PRICES: models.{name}.{kind} is missing; a new model needs every price.")
    web_search = standard.web_search if override.web_search is None else override.web_search
    return _Sheet(models, web_search)
