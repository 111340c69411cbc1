"""Metrics: what is counted, as CloudWatch's embedded metric format: a log line that becomes numbers.

    dimensions         metrics
    -----------------  --------------------------------------------------------------------------------
    service            all of them
    service, model     those of a request that was answered
    service, type      Errors
    service, kind      TableFailures
    service, key       Requests, Cost

CloudWatch bills every metric once for each value of its dimensions, about 0.30 USD a month. So a model counts
only when the upstream has shown that it exists, and a key, of which a team has many, has no more than what its
bill needs; METRICS_PER_KEY=off leaves these out too, for the log line of a request has them all the same.

Each line is built and written in one go with Powertools' EphemeralMetrics. Its Metrics would keep what it has
been given in one place for the whole process, where requests that run at the same time would mix.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from claudexia.observability.log import SERVICE, log_fact
from claudexia.observability.record import RequestRecord
from claudexia.settings import Settings

NAMESPACE = "Claudexia"
_COUNTED = {"/chat/completions", "/completions"}  # a probe of /health or a look at /models is no traffic
_FAILED = {"error", "refused", "deadline"}
_THROTTLED = {"rate_limit_exceeded", "insufficient_quota"}
_DIMENSION_LIMIT = 255

Dimensions = Mapping[str, str]


class _Metric(NamedTuple):
    """`value` is None where there is nothing to count."""

    name: str
    unit: MetricUnit
    value: Callable[[RequestRecord], float | None]


def _cost(record: RequestRecord) -> float | None:
    return None if record.cost_micros is None else record.cost_micros / 1_000_000


def _throttled_upstream(record: RequestRecord) -> bool:
    return record.limited is None and record.error_code in _THROTTLED


_REQUESTS = _Metric("Requests", MetricUnit.Count, lambda _: 1)
_COST = _Metric("Cost", MetricUnit.NoUnit, _cost)  # US dollars, which CloudWatch has no unit for
_OF_A_REQUEST = (
    _REQUESTS,
    _Metric("Errors", MetricUnit.Count, lambda record: record.outcome in _FAILED),
    _Metric("UpstreamThrottles", MetricUnit.Count, _throttled_upstream),
    _Metric("InputTokens", MetricUnit.Count, lambda record: record.input_tokens),
    _Metric("CachedTokens", MetricUnit.Count, lambda record: record.cached_tokens),
    _Metric("CacheWriteTokens", MetricUnit.Count, lambda record: record.cache_write_tokens),
    _Metric("OutputTokens", MetricUnit.Count, lambda record: record.output_tokens),
    _Metric("ThinkingTokens", MetricUnit.Count, lambda record: record.thinking_tokens),
    _COST,
    _Metric("TimeToFirstToken", MetricUnit.Milliseconds, lambda record: record.first_token_ms),
    _Metric("Duration", MetricUnit.Milliseconds, lambda record: record.duration_ms),
)
_OF_A_KEY = (_REQUESTS, _COST)


class Metrics:
    """Writes to standard output, or nothing at all where `settings` have metrics off."""

    def __init__(self, settings: Settings) -> None:
        self._on = settings.metrics
        self._per_key = settings.metrics_per_key

    def request(self, record: RequestRecord) -> None:
        """To be called once, when the request is over."""
        if not self._on:
            return
        if record.cold_start:
            _emit({"ColdStarts": (MetricUnit.Count, 1)}, {})
        if record.endpoint not in _COUNTED:
            return
        model = {"model": record.model} if record.model and record.output_tokens else None
        _emit(_values(_OF_A_REQUEST, record), {}, *([model] if model else []))
        if record.outcome in _FAILED and record.error_type:
            _emit({"Errors": (MetricUnit.Count, 1)}, {"type": record.error_type})
        if record.limited:
            _emit({"Throttles": (MetricUnit.Count, 1)}, {})
        if self._per_key and record.key and record.key_id:
            _emit(_values(_OF_A_KEY, record), {"key": _dimension(record.key, record.key_id)})

    def table_failed(self, kind: str) -> None:
        """The table could not be asked; `kind` is TableError's."""
        log_fact("the table could not be asked", kind=kind)
        if self._on:
            _emit({"TableFailures": (MetricUnit.Count, 1)}, {}, {"kind": kind})


def _values(metrics: Sequence[_Metric], record: RequestRecord) -> Mapping[str, tuple[MetricUnit, float]]:
    found = ((metric, metric.value(record)) for metric in metrics)
    return {metric.name: (metric.unit, value) for metric, value in found if value is not None}


def _emit(values: Mapping[str, tuple[MetricUnit, float]], first: Dimensions, *more: Dimensions) -> None:
    """One line, counted once for each set of dimensions, all of which have the service."""
    line = EphemeralMetrics(namespace=NAMESPACE, service=SERVICE)
    for name, value in {"service": SERVICE, **first}.items():
        line.add_dimension(name, value)
    for dimensions in more:
        line.add_dimensions(**{"service": SERVICE, **dimensions})
    for name, (unit, number) in values.items():
        line.add_metric(name, unit, number)
    line.flush_metrics()
    sys.stdout.flush()  # Lambda stops the process between invocations


def _dimension(name: str, otherwise: str) -> str:
    """`name`, which a person chose, where CloudWatch takes it: ASCII, not too long, no colon first.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html
    """
    fits = name.isascii() and name.isprintable() and name.strip() and not name.startswith(":")
    return name if fits and len(name) <= _DIMENSION_LIMIT else otherwise
