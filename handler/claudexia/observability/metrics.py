"""Metrics in CloudWatch's embedded metric format: log lines that CloudWatch turns into metrics.

    dimensions         metrics
    -----------------  --------------------------------------------------------------------------------
    service            all of them
    service, model     those of a request, if the model returned output
    service, upstream  Requests, Errors, FailedAttempts, TimeToFirstToken, if UPSTREAM names hosts in AWS
    service, type      Errors
    service, kind      TableFailures
    service, key       Requests, Cost

CloudWatch bills each metric per combination of dimension values, about 0.30 USD a month. Therefore a model has
metrics only once it has returned output, so that invented names cost nothing, and a key has only the two that
its bill needs. METRICS_PER_KEY=off removes those as well; the request log has the same figures.

Each line is built and written at once. Powertools' Metrics keeps its values in one place per process, where
concurrent requests would mix, and its EphemeralMetrics takes a quarter of a request's CPU time for two lines.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from claudexia.json_text import dump
from claudexia.observability.log import SERVICE, log_warning
from claudexia.observability.record import RequestRecord
from claudexia.settings import Settings

NAMESPACE = "Claudexia"
# Others, such as /models and /messages/count_tokens, generate nothing.
_COUNTED = {"/chat/completions", "/completions", "/responses", "/messages"}
_FAILED = {"error", "refused", "deadline"}
_THROTTLED = {"rate_limit_exceeded", "insufficient_quota"}
_MAX_DIMENSION_LENGTH = 255

Dimensions = Mapping[str, str]
Unit = Literal["Count", "Milliseconds", "None"]  # of CloudWatch


class _Metric(NamedTuple):
    """`value` returns None if the record has no such value."""

    name: str
    unit: Unit
    value: Callable[[RequestRecord], float | None]


def _cost(record: RequestRecord) -> float | None:
    return None if record.cost_micros is None else record.cost_micros / 1_000_000


def _throttled_upstream(record: RequestRecord) -> bool:
    return record.limited is None and record.error_code in _THROTTLED


_REQUESTS = _Metric("Requests", "Count", lambda _: 1)
_COST = _Metric("Cost", "None", _cost)  # US dollars; CloudWatch has no unit for them
_REQUEST_METRICS = (
    _REQUESTS,
    _Metric("Errors", "Count", lambda record: record.outcome in _FAILED),
    _Metric("UpstreamThrottles", "Count", _throttled_upstream),
    _Metric("InputTokens", "Count", lambda record: record.input_tokens),
    _Metric("CachedTokens", "Count", lambda record: record.cached_tokens),
    _Metric("CacheWriteTokens", "Count", lambda record: record.cache_write_tokens),
    _Metric("OutputTokens", "Count", lambda record: record.output_tokens),
    _Metric("ThinkingTokens", "Count", lambda record: record.thinking_tokens),
    _COST,
    _Metric("TimeToFirstToken", "Milliseconds", lambda record: record.first_token_ms),
    _Metric("Duration", "Milliseconds", lambda record: record.duration_ms),
)
_KEY_METRICS = (_REQUESTS, _COST)
_UPSTREAM_METRICS = (
    _REQUESTS,
    _Metric("Errors", "Count", lambda record: record.outcome in _FAILED),
    _Metric("FailedAttempts", "Count", lambda record: len(record.failed_upstreams)),
    _Metric("TimeToFirstToken", "Milliseconds", lambda record: record.first_token_ms),
)


class Metrics:
    """Writes metrics to standard output, if the settings enable them."""

    def __init__(self, settings: Settings) -> None:
        self._enabled = settings.metrics
        self._per_key = settings.metrics_per_key
        self._per_upstream = settings.upstream != ("anthropic",)

    def request(self, record: RequestRecord) -> None:
        """Counts a request. Call it once, when the request has ended."""
        if not self._enabled:
            return
        if record.cold_start:
            _emit({"ColdStarts": ("Count", 1)}, {})
        if record.endpoint not in _COUNTED:
            return
        model = {"model": record.model} if record.model and record.output_tokens else None
        _emit(_values(_REQUEST_METRICS, record), {}, *([model] if model else []), api=record.api)
        if record.outcome in _FAILED and record.error_type:
            _emit({"Errors": ("Count", 1)}, {"type": record.error_type})
        if record.limited:
            _emit({"Throttles": ("Count", 1)}, {})
        if self._per_upstream and record.upstream:
            _emit(_values(_UPSTREAM_METRICS, record), {"upstream": record.upstream})
        if self._per_key and record.key and record.key_id:
            _emit(_values(_KEY_METRICS, record), {"key": _dimension_value(record.key, record.key_id)})

    def table_failed(self, kind: str) -> None:
        """Counts and logs a failed table operation; `kind` is that of the TableError."""
        log_warning("a table operation failed", kind=kind)
        if self._enabled:
            _emit({"TableFailures": ("Count", 1)}, {}, {"kind": kind})


def _values(metrics: Sequence[_Metric], record: RequestRecord) -> Mapping[str, tuple[Unit, float]]:
    found = ((metric, metric.value(record)) for metric in metrics)
    return {metric.name: (metric.unit, value) for metric, value in found if value is not None}


def _emit(
    values: Mapping[str, tuple[Unit, float]],
    first: Dimensions,
    *more: Dimensions,
    api: str | None = None,
) -> None:
    """Writes one line. It counts once for `first` and for each of `more`; all get the dimension `service`.

    `api` is a property of the line, not a dimension: queries can read it, and it costs nothing.
    """
    dimensions = [{"service": SERVICE, **each} for each in (first, *more)]
    metrics = [{"Name": name, "Unit": unit} for name, (unit, _) in values.items()]
    line: dict[str, object] = {
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [
                {"Namespace": NAMESPACE, "Dimensions": [list(each) for each in dimensions], "Metrics": metrics}
            ],
        }
    }
    for each in dimensions:
        line.update(each)
    if api:
        line["api"] = api
    line.update({name: [float(number)] for name, (_, number) in values.items()})
    sys.stdout.write(dump(line).decode() + "\n")
    sys.stdout.flush()  # Lambda freezes the process between invocations


def _dimension_value(name: str, fallback: str) -> str:
    """`name`, or `fallback` if CloudWatch does not accept it: ASCII, at most 255 characters, no leading colon.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html
    """
    valid = name.isascii() and name.isprintable() and name.strip() and not name.startswith(":")
    return name if valid and len(name) <= _MAX_DIMENSION_LENGTH else fallback
