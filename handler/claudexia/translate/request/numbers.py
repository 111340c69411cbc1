"""NaN and the infinities: Python's parsers read them, and 1e400, but JSON has no word for them."""

import math
from typing import TypeVar

from pydantic_core import from_json, to_json

from claudexia.translate.report import Report, Step
from claudexia.translate.request.json_paths import paths_to

_Value = TypeVar("_Value")


def finite(value: _Value, report: Report, *steps: Step) -> _Value:
    """`value`, which is at `report.at(*steps)`, with null in place of such numbers, which is reported."""
    if not _may_hold_one(value):
        return value
    cleaned: _Value = from_json(to_json(value, inf_nan_mode="null"))
    if cleaned != value:
        report.at(*steps).warn("NaN and Infinity are not JSON values, so null was sent")
    return cleaned


def reject_non_finite(value: object, report: Report) -> None:
    """Raises APIError 400 that names the place of such a number. For what means something else without it."""
    if _may_hold_one(value) and (path := next(paths_to(_is_non_finite, value), None)) is not None:
        raise report.at(*path).invalid("NaN and Infinity are not JSON values")


def _may_hold_one(value: object) -> bool:
    if not value:
        return False
    data = to_json(value)  # faster than a walk in Python
    return b"NaN" in data or b"Infinity" in data


def _is_non_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
