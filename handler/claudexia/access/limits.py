"""Limits: how much one key may ask for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """None is no limit. Money is in micros, millionths of a US dollar; days and months are UTC's."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_streams: int | None = None
    usd_per_day_micros: int | None = None
    usd_per_month_micros: int | None = None
    max_tokens: int | None = None
