"""The stack's dashboard and alarms refer to metrics that exist, and are well formed."""

import json
import re
from collections.abc import Iterator
from itertools import combinations, pairwise

import pytest

from tests.helpers.stack import PARAMETERS, RESOURCES, TEMPLATE, VARIABLES, Json, of_type, strings

STACK = "${AWS::StackName}"
SERVICE = frozenset({"service"})
MODEL = frozenset({"service", "model"})
KEY = frozenset({"service", "key"})
TYPE = frozenset({"service", "type"})
KIND = frozenset({"service", "kind"})

# The gateway's metrics and their dimensions.
METRICS = {
    "Requests": {SERVICE, MODEL, KEY},
    "Errors": {SERVICE, MODEL, TYPE},
    "Throttles": {SERVICE},
    "UpstreamThrottles": {SERVICE, MODEL},
    "InputTokens": {SERVICE, MODEL},
    "CachedTokens": {SERVICE, MODEL},
    "CacheWriteTokens": {SERVICE, MODEL},
    "OutputTokens": {SERVICE, MODEL},
    "ThinkingTokens": {SERVICE, MODEL},
    "Cost": {SERVICE, MODEL, KEY},
    "TimeToFirstToken": {SERVICE, MODEL},
    "Duration": {SERVICE, MODEL},
    "ColdStarts": {SERVICE},
    "TableFailures": {SERVICE, KIND},
}
# AWS's metrics, their dimensions and the resources; SAM names the API's stage Apiv1Stage.
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
AWS = {
    ("AWS/Lambda", (("FunctionName", "${GatewayFunction}"),)): {
        "ConcurrentExecutions",
        "Duration",
        "Errors",
        "Throttles",
    },
    ("AWS/ApiGateway", (("ApiName", STACK), ("Stage", "${Apiv1Stage}"))): {"4XXError", "5XXError"},
    ("AWS/DynamoDB", (("TableName", "${Table}"),)): {
        "ConsumedReadCapacityUnits",
        "ConsumedWriteCapacityUnits",
        "ReadThrottleEvents",
        "WriteThrottleEvents",
    },
}
SEARCH = re.compile(r"""SEARCH\('\{Claudexia,([\w,]+)\} service="(.+)" MetricName="(\w+)"', '(\w+)', (\d+)\)""")


def is_emitted(namespace: str, name: str, dimensions: dict[str, str]) -> bool:
    if namespace != "Claudexia":
        return name in AWS.get((namespace, tuple(dimensions.items())), set())
    return dimensions["service"] == STACK and frozenset(dimensions) in METRICS[name]


TEMPLATE_BODY: str = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
BODY: Json = json.loads(TEMPLATE_BODY)
WIDGETS: list[Json] = BODY["widgets"]
TITLES = [widget["properties"]["title"] for widget in WIDGETS]


def spelled_out(rows: list[Json]) -> Iterator[tuple[list[str], Json]]:
    """Each row's strings and its options, with "." and "..." expanded."""
    above: list[str] = []
    for row in rows:
        options = row[-1] if isinstance(row[-1], dict) else {}
        texts = [entry for entry in row if isinstance(entry, str)]
        if texts == ["..."]:
            texts = above
        texts = [above[place] if text == "." else text for place, text in enumerate(texts)]
        above = texts or above
        yield texts, options


def test_substitutions_in_the_dashboard_resolve() -> None:
    names = re.findall(r"\$\{([^!}]+)\}", TEMPLATE_BODY)
    assert {*names} <= {"AWS::Region", "AWS::StackName", *RESOURCES}
    # ${!...} is left to CloudWatch.
    assert {*re.findall(r"\$\{!(.*?)\}", TEMPLATE_BODY)} == {
        f"PROP('Dim.{dimension}')" for dimension in ("type", "key", "model", "kind")
    }


def test_the_dashboard_name_includes_the_region() -> None:
    assert RESOURCES["Dashboard"]["Properties"]["DashboardName"] == {
        "Fn::Sub": "${AWS::StackName}-${AWS::Region}"
    }


def test_widgets_do_not_overlap() -> None:
    assert all(widget["x"] >= 0 and widget["x"] + widget["width"] <= 24 for widget in WIDGETS)
    for one, other in combinations(WIDGETS, 2):
        side_by_side = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
        above = one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]
        assert side_by_side or above, (one["properties"]["title"], other["properties"]["title"])
    assert all(one["y"] <= other["y"] for one, other in pairwise(WIDGETS))


@pytest.mark.parametrize("widget", WIDGETS, ids=TITLES)
def test_widgets_show_existing_metrics(widget: Json) -> None:
    properties = widget["properties"]
    assert widget["type"] == "metric"
    assert properties["region"] == "${AWS::Region}"
    assert properties["view"] in {"timeSeries", "singleValue"}
    for texts, options in spelled_out(properties["metrics"]):
        assert options.get("stat", properties.get("stat")), "else CloudWatch takes the average"
        if texts:
            namespace, name, *pairs = texts
            assert is_emitted(namespace, name, dict(zip(pairs[::2], pairs[1::2], strict=True)))
            continue
        found = SEARCH.fullmatch(options["expression"])
        assert found, options["expression"]
        dimensions, service, name, _, period = found.groups()
        assert service == STACK
        assert frozenset(dimensions.split(",")) in METRICS[name]
        assert int(period) == properties["period"]


def test_every_metric_is_shown() -> None:
    assert [name for name in METRICS if f'"{name}"' not in TEMPLATE_BODY.replace("\\", "")] == []


ALARMS = of_type("AWS::CloudWatch::Alarm")
CONDITIONS = {"OutputTokensAlarm": "HasTokensAlarm", "CostAlarm": "HasCostAlarm"}  # else HasAlarms
THRESHOLDS = {
    "ServerErrorsAlarm": "AlarmErrors",
    "RefusalsAlarm": "AlarmThrottles",
    "FirstTokenAlarm": "AlarmFirstToken",
    "OutputTokensAlarm": "AlarmOutputTokens",
    "CostAlarm": "AlarmDailyCost",
}
FIXED = {"ErrorsAlarm": 1, "ThrottlesAlarm": 1, "TableAlarm": 5, "DurationAlarm": 80}


def holds(condition: Json, values: dict[str, str]) -> bool:
    """Whether a condition of the template holds for these parameter values."""
    ((function, operands),) = condition.items()
    match function:
        case "Condition":
            return holds(TEMPLATE["Conditions"][operands], values)
        case "Fn::And":
            return all(holds(operand, values) for operand in operands)
        case "Fn::Not":
            return not holds(operands[0], values)
        case "Fn::Equals":
            return len({values[text["Ref"]] if isinstance(text, dict) else text for text in operands}) == 1
    raise AssertionError(function)


def metrics(alarm: Json) -> list[Json]:
    """The metrics of an alarm on one metric, or on an expression of several."""
    if "MetricName" in alarm:
        return [alarm]
    return [query["MetricStat"]["Metric"] for query in alarm["Metrics"] if "MetricStat" in query]


def test_the_set_of_alarms() -> None:
    assert sorted(ALARMS) == sorted([*THRESHOLDS, *FIXED])


@pytest.mark.parametrize("name", ALARMS)
def test_alarms_watch_existing_metrics_and_notify(name: str) -> None:
    alarm = ALARMS[name]["Properties"]
    for metric in metrics(alarm):
        values = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
        dimensions = {
            key: value if isinstance(value, str) else f"${{{value['Ref']}}}" for key, value in values.items()
        }
        assert is_emitted(metric["Namespace"], metric["MetricName"], dimensions), metric
    assert alarm["AlarmActions"] == [{"Ref": "Alarms"}]
    # An unused gateway raises no alarm.
    assert alarm["TreatMissingData"] == "notBreaching"
    assert alarm["Threshold"] == ({"Ref": THRESHOLDS[name]} if name in THRESHOLDS else FIXED[name])


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_expressions_use_all_their_metrics(name: str) -> None:
    queries = ALARMS[name]["Properties"].get("Metrics", [])
    returned = [query for query in queries if query["ReturnData"]]
    assert len(returned) == (1 if queries else 0), "an alarm has one series"
    for query in queries:
        assert re.fullmatch("[a-z]\\w*", query["Id"])
        assert query in returned or re.search(
            rf"\b{query['Id']}\b", " ".join(strings(returned[0]["Expression"]))
        )


@pytest.mark.parametrize("name", [*ALARMS, "Alarms"])
def test_alarms_exist_only_with_an_e_mail_address(name: str) -> None:
    resource = RESOURCES[name]
    assert resource["Condition"] == CONDITIONS.get(name, "HasAlarms")
    defaults = {parameter: str(definition["Default"]) for parameter, definition in PARAMETERS.items()}
    condition = {"Condition": resource["Condition"]}
    assert not holds(condition, defaults)
    assert holds(condition, defaults | {"AlarmEmail": "ops@example.com"})


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_threshold_of_zero_disables_the_alarm(name: str) -> None:
    parameter = THRESHOLDS[name]
    assert PARAMETERS[parameter]["MinValue"] == 0
    values = {"AlarmEmail": "ops@example.com", parameter: "0"}
    assert not holds({"Condition": ALARMS[name]["Condition"]}, values)


@pytest.mark.parametrize("name", sorted(THRESHOLDS.keys() - CONDITIONS.keys()))
def test_another_threshold_cannot_be_zero(name: str) -> None:
    assert PARAMETERS[THRESHOLDS[name]]["MinValue"] >= 1


def test_metrics_of_stacks_are_separate() -> None:
    assert VARIABLES["POWERTOOLS_SERVICE_NAME"] == {"Ref": "AWS::StackName"}
