"""What the gateway counts: lines of CloudWatch's embedded metric format, held against its specification.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest

from tests.helpers.filled_requests import Facts, told
from tests.helpers.gateway_process import environment, gateway_process
from tests.helpers.serving import Upstream
from tests.helpers.waiting import PATIENCE

ON = {"AWS_LAMBDA_FUNCTION_NAME": "gateway"}
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
UNITS = {"Seconds", "Microseconds", "Milliseconds", "Bytes", "Percent", "Count", "Count/Second", "None"}

Line = dict[str, Any]
Dimensions = tuple[tuple[str, str], ...]
Counted = dict[Dimensions, dict[str, float]]


def assert_valid(line: Line) -> None:
    """Fails where CloudWatch would find no metric in the line, or not the one that is meant."""
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


def counted(lines: list[Line]) -> Counted:
    """Each set of dimensions, without the service that all have, and the sums under it."""
    sums: Counted = {}
    for line in lines:
        if "_aws" not in line:
            continue
        assert_valid(line)
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                assert "service" in names
                under = sums.setdefault(tuple((name, line[name]) for name in names if name != "service"), {})
                for metric in directive["Metrics"]:
                    under[metric["Name"]] = under.get(metric["Name"], 0) + sum(line[metric["Name"]])
    for under in sums.values():
        under.pop("Duration", None)  # what it is worth is for another test
    return sums


ANSWERED: Facts = {
    "key": "ana", "key_id": "k1", "model": "claude-opus-5-5", "input_tokens": 7, "cached_tokens": 5, "cache_write_tokens": 4,
    "output_tokens": 3, "thinking_tokens": 2, "cost_micros": 2_500_000, "first_token_ms": 120,
}  # fmt: skip
NUMBERS: dict[str, float] = {
    "Requests": 1, "Errors": 0, "UpstreamThrottles": 0, "InputTokens": 7, "CachedTokens": 5, "CacheWriteTokens": 4,
    "OutputTokens": 3, "ThinkingTokens": 2, "Cost": 2.5, "TimeToFirstToken": 120,
}  # fmt: skip
NOTHING: dict[str, float] = {
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

CASES: list[tuple[str, Facts, dict[str, str], Counted]] = [
    ("answered", ANSWERED, WARM, {ALL: NUMBERS, MODEL: NUMBERS, ANA: {"Requests": 1, "Cost": 2.5}}),
    ("no metrics of a key", ANSWERED, {**WARM, "METRICS_PER_KEY": "off"}, {ALL: NUMBERS, MODEL: NUMBERS}),
    ("no price", {"key": "ana", "key_id": "k1"}, WARM, {ALL: NOTHING, ANA: {"Requests": 1}}),
    ("cold", {}, {}, {ALL: {**NOTHING, "ColdStarts": 1}}),
    ("a model that nobody has seen", {"model": "claude-made-up"}, WARM, {ALL: NOTHING}),
    ("failed", FAILED, WARM, {ALL: {**NOTHING, "Errors": 1}, (("type", "server_error"),): {"Errors": 1}}),
    ("deadline", {**FAILED, "status": 200, "outcome": "deadline"}, WARM, {ALL: {**NOTHING, "Errors": 1}, (("type", "server_error"),): {"Errors": 1}}),
    ("abandoned", {"outcome": "abandoned"}, WARM, {ALL: NOTHING}),
    ("own limit", OWN_LIMIT, WARM, {ALL: {**NOTHING, "Errors": 1, "Throttles": 1}, (("type", "rate_limit_error"),): {"Errors": 1}}),
    ("upstream's limit", {**OWN_LIMIT, "limited": None}, WARM, {ALL: {**NOTHING, "Errors": 1, "UpstreamThrottles": 1}, (("type", "rate_limit_error"),): {"Errors": 1}}),
    ("a name in letters of its own", {"key": "J\u00fcrgen", "key_id": "k1"}, WARM, {ALL: NOTHING, (("key", "k1"),): {"Requests": 1}}),
    ("a name with a colon first", {"key": ":x", "key_id": "k1"}, WARM, {ALL: NOTHING, (("key", "k1"),): {"Requests": 1}}),
    ("one host only", {"upstream": "anthropic"}, WARM, {ALL: NOTHING}),
    ("several hosts", {"upstream": "aws", "failed_upstreams": ["bedrock failed"]}, {**WARM, "UPSTREAM": "bedrock,aws", "AWS_REGION": "us-east-1", "ANTHROPIC_AWS_WORKSPACE_ID": "w"},
     {ALL: NOTHING, (("upstream", "aws"),): {"Requests": 1, "Errors": 0, "FailedAttempts": 1}}),
    ("another route", {"endpoint": "/health"}, WARM, {}),
    ("another route, cold", {"endpoint": "/health"}, {}, {ALL: {"ColdStarts": 1}}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "env", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_what_is_counted(facts: Facts, env: dict[str, str], expected: Counted) -> None:
    assert counted(told([facts], **ON, **env)) == expected


def test_requests_at_once_do_not_mix() -> None:
    facts = [
        {**ANSWERED, "key": f"key-{n}", "input_tokens": n, "output_tokens": 2 * n, "cost_micros": 3 * n * 10**6}
        for n in range(1, 101)
    ]
    lines = told(facts, **ON)
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


def test_the_service_is_the_stacks_name() -> None:
    for line in told([ANSWERED], **ON, POWERTOOLS_SERVICE_NAME="team-gateway"):
        assert line["service"] == "team-gateway"


def test_a_real_request_takes_its_time() -> None:
    with gateway_process(Upstream()) as process:
        assert httpx.post(f"{process.url}/chat/completions", json={}, timeout=PATIENCE).status_code == 401
    (duration,) = (line["Duration"] for line in process.metrics if "Duration" in line)
    assert 0 < duration[0] < PATIENCE * 1000


TABLE = """
from claudexia.observability.metrics import Metrics
from claudexia.settings import Settings
Metrics(Settings.from_env()).table_failed("throttled")
"""


def test_a_table_that_cannot_be_asked() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TABLE], capture_output=True, text=True, check=True, env=environment(**ON)
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert counted(lines) == {ALL: {"TableFailures": 1}, (("kind", "throttled"),): {"TableFailures": 1}}
    (warned,) = (line for line in lines if "_aws" not in line)
    assert (warned["level"], warned["kind"]) == ("WARNING", "throttled")
