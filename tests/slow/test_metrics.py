"""The metrics: lines in CloudWatch's embedded metric format, validated against its specification.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest

from tests.helpers.gateway_process import environment, gateway_process
from tests.helpers.request_records import RecordFields, run_requests
from tests.helpers.serving import KEY, Upstream
from tests.helpers.waiting import PATIENCE

ON = {"AWS_LAMBDA_FUNCTION_NAME": "gateway"}
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
UNITS = {"Seconds", "Microseconds", "Milliseconds", "Bytes", "Percent", "Count", "Count/Second", "None"}

Line = dict[str, Any]
Dimensions = tuple[tuple[str, str], ...]
MetricSums = dict[Dimensions, dict[str, float]]


def assert_valid(line: Line) -> None:
    """Fails unless CloudWatch would read the intended metrics from the line."""
    assert line["_aws"].keys() == {"Timestamp", "CloudWatchMetrics"}
    assert abs(line["_aws"]["Timestamp"] - time.time() * 1000) < PATIENCE * 1000
    assert isinstance(line["_aws"]["Timestamp"], int)
    for directive in line["_aws"]["CloudWatchMetrics"]:
        assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
        assert directive["Namespace"] == "Claudexia"
        assert directive["Dimensions"]
        for names in directive["Dimensions"]:
            assert len(names) <= 30
            for name in names:
                assert isinstance(line[name], str)
                assert line[name].isascii()
                assert 1 <= len(line[name]) <= 1024
        assert 1 <= len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            assert metric.keys() == {"Name", "Unit"}  # no StorageResolution: a second's resolution costs more
            assert metric["Unit"] in UNITS
            values = line[metric["Name"]]
            assert 1 <= len(values) <= 100
            assert all(isinstance(value, float) for value in values)


def metric_sums(lines: list[Line]) -> MetricSums:
    """The sums of each metric, by dimensions. The dimension `service`, which all have, is left out."""
    sums: MetricSums = {}
    for line in lines:
        if "_aws" not in line:
            continue
        assert_valid(line)
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                assert "service" in names
                metrics = sums.setdefault(tuple((name, line[name]) for name in names if name != "service"), {})
                for metric in directive["Metrics"]:
                    metrics[metric["Name"]] = metrics.get(metric["Name"], 0) + sum(line[metric["Name"]])
    for metrics in sums.values():
        metrics.pop("Duration", None)  # tested separately
    return sums


SUCCESSFUL: RecordFields = {
    "key": "ana", "key_id": "k1", "model": "claude-opus-5-5", "input_tokens": 7, "cached_tokens": 5, "cache_write_tokens": 4,
    "output_tokens": 3, "thinking_tokens": 2, "cost_micros": 2_500_000, "first_token_ms": 120,
}  # fmt: skip
NUMBERS: dict[str, float] = {
    "Requests": 1, "Errors": 0, "UpstreamThrottles": 0, "InputTokens": 7, "CachedTokens": 5, "CacheWriteTokens": 4,
    "OutputTokens": 3, "ThinkingTokens": 2, "Cost": 2.5, "TimeToFirstToken": 120,
}  # fmt: skip
ZEROS: dict[str, float] = {
    "Requests": 1, "Errors": 0, "UpstreamThrottles": 0, "InputTokens": 0, "CachedTokens": 0, "CacheWriteTokens": 0,
    "OutputTokens": 0, "ThinkingTokens": 0,
}  # fmt: skip
FAILED = {"status": 503, "outcome": "error", "error_type": "server_error"}
OWN_LIMIT = {
    "status": 429, "outcome": "refused", "error_type": "rate_limit_error", "error_code": "rate_limit_exceeded",
    "limited": "requests_per_minute",
}  # fmt: skip
ALL: Dimensions = ()
WARM = {"AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"}
MODEL, ANA = (("model", "claude-opus-5-5"),), (("key", "ana"),)

CASES: list[tuple[str, RecordFields, dict[str, str], MetricSums]] = [
    ("successful", SUCCESSFUL, WARM, {ALL: NUMBERS, MODEL: NUMBERS, ANA: {"Requests": 1, "Cost": 2.5}}),
    ("no metrics of a key", SUCCESSFUL, {**WARM, "METRICS_PER_KEY": "off"}, {ALL: NUMBERS, MODEL: NUMBERS}),
    ("no price", {"key": "ana", "key_id": "k1"}, WARM, {ALL: ZEROS, ANA: {"Requests": 1}}),
    ("cold", {}, {}, {ALL: {**ZEROS, "ColdStarts": 1}}),
    ("an unknown model", {"model": "claude-made-up"}, WARM, {ALL: ZEROS}),
    ("failed", FAILED, WARM, {ALL: {**ZEROS, "Errors": 1}, (("type", "server_error"),): {"Errors": 1}}),
    ("deadline", {**FAILED, "status": 200, "outcome": "deadline"}, WARM, {ALL: {**ZEROS, "Errors": 1}, (("type", "server_error"),): {"Errors": 1}}),
    ("abandoned", {"outcome": "abandoned"}, WARM, {ALL: ZEROS}),
    ("own limit", OWN_LIMIT, WARM, {ALL: {**ZEROS, "Errors": 1, "Throttles": 1}, (("type", "rate_limit_error"),): {"Errors": 1}}),
    ("upstream's limit", {**OWN_LIMIT, "limited": None}, WARM, {ALL: {**ZEROS, "Errors": 1, "UpstreamThrottles": 1}, (("type", "rate_limit_error"),): {"Errors": 1}}),
    ("a name that is not ASCII", {"key": "J\u00fcrgen", "key_id": "k1"}, WARM, {ALL: ZEROS, (("key", "k1"),): {"Requests": 1}}),
    ("a name with a colon first", {"key": ":x", "key_id": "k1"}, WARM, {ALL: ZEROS, (("key", "k1"),): {"Requests": 1}}),
    ("one host only", {"upstream": "anthropic"}, WARM, {ALL: ZEROS}),
    ("several hosts", {"upstream": "aws", "failed_upstreams": ["bedrock failed"]}, {**WARM, "UPSTREAM": "bedrock,aws", "AWS_REGION": "us-east-1", "ANTHROPIC_AWS_WORKSPACE_ID": "w"},
     {ALL: ZEROS, (("upstream", "aws"),): {"Requests": 1, "Errors": 0, "FailedAttempts": 1}}),
    ("another route", {"endpoint": "/health"}, WARM, {}),
    ("another route, cold", {"endpoint": "/health"}, {}, {ALL: {"ColdStarts": 1}}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "env", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_metrics_of_a_request(fields: RecordFields, env: dict[str, str], expected: MetricSums) -> None:
    assert metric_sums(run_requests([fields], **ON, **env)) == expected


def test_concurrent_requests_do_not_mix() -> None:
    fields = [
        {
            **SUCCESSFUL,
            "key": f"key-{n}",
            "input_tokens": n,
            "output_tokens": 2 * n,
            "cost_micros": 3 * n * 10**6,
        }
        for n in range(1, 101)
    ]
    lines = run_requests(fields, **ON)
    logged = [line for line in lines if line.get("message") == "request"]
    totals = [line for line in lines if "InputTokens" in line]
    of_keys = [line for line in lines if "key" in line and "_aws" in line]
    assert len(logged) == len(totals) == len(of_keys) == 100
    for line in logged:
        n = line["input_tokens"]
        assert (line["key"], line["output_tokens"], line["cost_micros"]) == (f"key-{n}", 2 * n, 3 * n * 10**6)
    for line in totals:
        (n,) = line["InputTokens"]
        assert (line["OutputTokens"], line["Cost"], line["Requests"]) == ([2 * n], [3 * n], [1])
    assert {line["key"]: line["Cost"] for line in of_keys} == {f"key-{n}": [3.0 * n] for n in range(1, 101)}
    assert sum(sum(line.get("ColdStarts", [])) for line in lines if "_aws" in line) == 1
    assert [line["cold_start"] for line in logged].count(True) == 1


def test_the_service_dimension_is_the_stack_name() -> None:
    for line in run_requests([SUCCESSFUL], **ON, POWERTOOLS_SERVICE_NAME="team-gateway"):
        assert line["service"] == "team-gateway"


def test_a_request_has_its_duration() -> None:
    body = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {KEY}"}
    with gateway_process(Upstream()) as process:
        answer = httpx.post(f"{process.url}/chat/completions", json=body, headers=headers, timeout=PATIENCE)
    assert answer.status_code == 200
    (duration,) = (line["Duration"] for line in process.metrics if "Duration" in line)
    assert 0 < duration[0] < PATIENCE * 1000


TABLE = """
from claudexia.observability.metrics import Metrics
from claudexia.settings import Settings
Metrics(Settings.from_env()).table_failed("throttled")
"""


def test_table_failures_are_counted() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TABLE], capture_output=True, text=True, check=True, env=environment(**ON)
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert metric_sums(lines) == {ALL: {"TableFailures": 1}, (("kind", "throttled"),): {"TableFailures": 1}}
    (warned,) = (line for line in lines if "_aws" not in line)
    assert (warned["level"], warned["kind"]) == ("WARNING", "throttled")
