"""`claudexia usage` with moto for the table: text, CSV and JSON output."""

import asyncio
import csv
import json
import webbrowser
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import boto3
import pytest

from claudexia.access.ledger import Ledger
from claudexia_cli.cli import main
from tests.fakes.aws import REGION, fake_aws
from tests.helpers.tables import NAME, create_table, table_at
from tests.helpers.usage_records import RECORD as RECORDED

RECORD = replace(
    RECORDED,
    at=datetime(2026, 11, 3, 12, tzinfo=UTC),
    input_tokens=1000,
    output_tokens=4000,
    cost_micros=1_500_000,
)
RECORDS = [
    RECORD,
    replace(RECORD, outcome="error", cost_micros=0, input_tokens=0, output_tokens=0),
    replace(RECORD, key_id="DDDDEEEEFFFF", key_name="bob", at=RECORD.at.replace(day=5), cost_micros=3_000_000),
    replace(RECORD, key_id="DDDDEEEEFFFF", key_name="bob", model="claude-unheard-of", cost_micros=None),
]
OPTIONS = ["--table", NAME, "--region", REGION]
MONTH = ["--month", "2026-11"]

REPORT = """\
Usage in 2026-11, in UTC

Key    Model              Requests  Errors  Input  Cached  Cache writes  Output  Thinking      USD
alice  claude-sonnet-5-5         2       1  1,000     400            60   4,000        10   1.5000
bob    claude-sonnet-5-5         1       0  1,000     200            30   4,000         5   3.0000
bob    claude-unheard-of         1       0  1,000     200            30   4,000         5  unknown
Total                            4       1  3,000     800           120  12,000        20   4.5000

Day            USD  Tokens
2026-11-03  1.5000  10,690  ################
2026-11-04  0.0000       0
2026-11-05  3.0000   5,230  ################################

The cost excludes 1 requests: there is no price for claude-unheard-of; set one with PRICES.
"""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    with fake_aws() as (_, url):
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
        yield url


@pytest.fixture
def used(aws: str) -> str:
    create_table(boto3.client("dynamodb", region_name=REGION, endpoint_url=aws))
    ledger = Ledger(table_at(aws, lambda: datetime.now(UTC)), pytest.fail)

    async def record() -> None:
        for record in RECORDS:
            await ledger.record(record)

    asyncio.run(record())
    return aws


def output_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The output of a successful `claudexia usage`."""
    assert main(["usage", *OPTIONS, *arguments]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    return output.out


@pytest.mark.usefixtures("used")
def test_text_output_has_a_table_and_a_bar_per_day(capsys: pytest.CaptureFixture[str]) -> None:
    assert output_of(capsys, *MONTH) == REPORT


@pytest.mark.parametrize(
    ("model", "source"),
    [
        ("claude-fable-5-2", "claude-fable-5-1"),
        ("claude-mythos-5-2-20261109", "claude-mythos-5-1"),
        ("claude-fable-5-1", None),
    ],
)
def test_assumed_prices_are_named(
    used: str, model: str, source: str | None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ledger = Ledger(table_at(used, lambda: datetime.now(UTC)), pytest.fail)
    asyncio.run(ledger.record(replace(RECORD, model=model)))
    path = tmp_path / "usage.html"
    text = output_of(capsys, *MONTH)
    assert main(["usage", *OPTIONS, *MONTH, "--html", str(path)]) == 0
    for shown in (text, _Page(path.read_text("utf-8")).text):
        assert ("the cost assumes those" in shown) is bool(source)
        assert not source or f"of {source} for {model}." in shown


@pytest.mark.usefixtures("used")
@pytest.mark.parametrize("columns", ["20", "60", "200"])
def test_bars_fit_the_terminal_width(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    bars = [line for line in output_of(capsys, *MONTH).splitlines() if "#" in line]
    longest = max(map(len, bars))
    assert longest == int(columns) if int(columns) > 40 else bars[-1].count("#") == 10
    assert bars[1].count("#") == 2 * bars[0].count("#")


@pytest.mark.usefixtures("used")
@pytest.mark.parametrize("key", ["alice", "AAAABBBBCCCC"])
def test_key_option_accepts_name_and_id(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    output = output_of(capsys, *MONTH, "--key", key)
    assert "alice" in output
    assert "bob" not in output
    assert "2026-11-05" not in output


@pytest.mark.usefixtures("used")
def test_csv_has_a_row_for_each_day_key_and_model(capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(StringIO(output_of(capsys, *MONTH, "--csv"))))
    assert [(row["day"], row["key"], row["model"], row["cost_usd"], row["unpriced"]) for row in rows] == [
        ("2026-11-03", "alice", "claude-sonnet-5-5", "1.500000", "0"),
        ("2026-11-03", "bob", "claude-unheard-of", "0.000000", "1"),
        ("2026-11-05", "bob", "claude-sonnet-5-5", "3.000000", "0"),
    ]
    assert rows[0] | {"cost_usd": ""} == {
        "day": "2026-11-03",
        "key_id": "AAAABBBBCCCC",
        "key": "alice",
        "model": "claude-sonnet-5-5",
        "requests": "2",
        "errors": "1",
        "input_tokens": "1000",
        "cached_tokens": "400",
        "cache_write_tokens": "60",
        "output_tokens": "4000",
        "thinking_tokens": "10",
        "unpriced": "0",
        "failed_attempts": "0",
        "cost_usd": "",
    }


@pytest.mark.usefixtures("used")
def test_json_has_the_days_and_their_total(capsys: pytest.CaptureFixture[str]) -> None:
    usage = json.loads(output_of(capsys, *MONTH, "--json"))
    assert usage["month"] == "2026-11"
    assert [day["cost_usd"] for day in usage["days"]] == [1.5, 0.0, 3.0]
    assert usage["total"] == {
        "requests": 4,
        "errors": 1,
        "input_tokens": 3000,
        "cached_tokens": 800,
        "cache_write_tokens": 120,
        "output_tokens": 12000,
        "thinking_tokens": 20,
        "unpriced": 1,
        "failed_attempts": 0,
        "cost_usd": 4.5,
    }


@pytest.mark.usefixtures("used")
@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        pytest.param([], "There is no usage in 2026-10.\n", id="text"),
        pytest.param(
            ["--csv"],
            "day,key_id,key,model,requests,errors,input_tokens,cached_tokens,cache_write_tokens,"
            "output_tokens,thinking_tokens,unpriced,failed_attempts,cost_usd\n",
            id="csv",
        ),
    ],
)
def test_month_without_usage(arguments: list[str], output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert output_of(capsys, "--month", "2026-10", *arguments) == output


@pytest.mark.usefixtures("used")
def test_this_month_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    before = datetime.now(UTC)
    output = output_of(capsys, "--json")
    assert json.loads(output)["month"] in {f"{time:%Y-%m}" for time in (before, datetime.now(UTC))}


def test_keys_with_the_same_name_stay_separate(used: str, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(table_at(used, lambda: datetime.now(UTC)), pytest.fail)
    asyncio.run(ledger.record(replace(RECORD, key_id="GGGGHHHHIIII")))
    assert output_of(capsys, *MONTH).count("alice") == 2


class _Page(HTMLParser):
    """The text, the tags with their attributes, and the texts of the chart's bars."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def labels(self) -> list[str]:
        return [label for tag, attrs in self.tags if tag == "svg" and (label := attrs.get("aria-label"))]


@pytest.mark.usefixtures("used")
def test_html_has_charts_and_the_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "usage.html"
    assert main(["usage", *OPTIONS, *MONTH, "--html", str(path)]) == 0
    assert capsys.readouterr().out == ""
    page = _Page(path.read_text("utf-8"))
    assert page.labels() == [
        "Cost per day, by key: bob $3.00, alice $1.50",
        "Cost per day, by model: claude-sonnet-5-5 $4.50, claude-unheard-of $0.00",
        "Tokens per day: input 3k, cache reads 800, cache writes 120, output 12k",
        "Requests per day: successful 3, failed 1",
        "Failed requests per day, by key: alice 1, bob 0",
    ]
    for text in (
        "Day 3, alice: $1.50",
        "Day 5, bob: $3.00",
        "Day 3, failed: 1",
        "claude-unheard-of",
        "unknown",
    ):
        assert text in page.text
    assert "excludes 1 requests without a price: claude-unheard-of" in page.text
    assert not {"script", "iframe", "img"} & {tag for tag, _ in page.tags}
    assert [attrs["href"] for _, attrs in page.tags if "href" in attrs] == ["data:,"]


def test_html_escapes_names(used: str, tmp_path: Path) -> None:
    ledger = Ledger(table_at(used, lambda: datetime.now(UTC)), pytest.fail)
    asyncio.run(ledger.record(replace(RECORD, key_id="X", key_name="<script>1</script>", model='"><b>')))
    path = tmp_path / "usage.html"
    assert main(["usage", *OPTIONS, *MONTH, "--html", str(path)]) == 0
    page = _Page(path.read_text("utf-8"))
    assert "<script>1</script>" in page.text
    assert not {"script", "b"} & {tag for tag, _ in page.tags}


def test_many_keys_are_summed_up(used: str, tmp_path: Path) -> None:
    ledger = Ledger(table_at(used, lambda: datetime.now(UTC)), pytest.fail)
    for number in range(9):
        cost = (number + 10) * 1_000_000
        asyncio.run(
            ledger.record(replace(RECORD, key_id=f"K{number}", key_name=f"key {number}", cost_micros=cost))
        )
    path = tmp_path / "usage.html"
    assert main(["usage", *OPTIONS, *MONTH, "--html", str(path)]) == 0
    costs = _Page(path.read_text("utf-8")).labels()[0]
    assert costs == (
        "Cost per day, by key: key 8 $18.00, key 7 $17.00, key 6 $16.00, key 5 $15.00, key 4 $14.00, key 3 $13.00, "
        "key 2 $12.00, others $25.50"
    )


@pytest.mark.usefixtures("used")
def test_open_shows_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[str] = []

    def record(url: str) -> bool:
        opened.append(url)
        return len(opened) == 1  # as if there were no browser for the second one

    monkeypatch.setattr(webbrowser, "open", record)
    path = tmp_path / "usage.html"
    arguments = ["usage", *OPTIONS, *MONTH, "--html", str(path), "--open"]
    assert main(arguments) == 0
    assert opened == [path.as_uri()]
    assert main(arguments) == 1


FAILURES = [
    (
        "no-directory",
        [*OPTIONS, *MONTH, "--html", "/nowhere/usage.html"],
        "/nowhere/usage.html cannot be written",
    ),
    ("no-page", [*OPTIONS, "--month", "2026-10", "--html", "usage.html"], "There is no usage in 2026-10"),
    ("no-such-key", [*OPTIONS, *MONTH, "--key", "carol"], "There is no usage of a key 'carol' in 2026-11"),
    ("no-table", ["--table", "other", "--region", REGION], "There is no such table"),
    ("no-region", ["--table", NAME], "No AWS region is selected"),
]


@pytest.mark.usefixtures("used")
@pytest.mark.parametrize(("arguments", "words"), [pytest.param(*rest, id=name) for name, *rest in FAILURES])
def test_failure_is_one_sentence(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", *arguments]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"claudexia usage: {words}")
    assert output.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--month", "2026-13"], "'2026-13' is not a month like 2026-11"),
        (["--month", "November"], "'November' is not a month like 2026-11"),
        (["--csv", "--json"], "--csv and --json cannot be combined"),
        (["--json", "--html", "usage.html"], "--json and --html cannot be combined"),
        (["--csv", "--open"], "--csv and --open cannot be combined"),
        (["--days", "3"], "No such option '--days'"),
    ],
)
def test_invalid_argument_is_rejected(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["usage", *arguments])
    assert ended.value.code == 2
    output = capsys.readouterr().err
    assert words in output
    assert output.count("\n") == 1


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["usage", "--help"])
    assert ended.value.code == 0
    output = capsys.readouterr().out
    for option in (
        "--key",
        "--month",
        "--csv",
        "--json",
        "--html",
        "--open",
        "--stack",
        "--table",
        "--region",
        "--profile",
    ):
        assert option in output
