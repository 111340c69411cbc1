"""`claudexia keys`, with moto for the table and a socket server for AWS errors."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from claudexia.access.key_store import TableKeyStore
from claudexia.access.keys import Key, checksum_holds, digest
from claudexia_cli.cli import main
from tests.fakes.aws import REGION
from tests.helpers.serving import serving
from tests.helpers.tables import NAME, faulty_dynamodb, table_at

COMMANDS = ["create", "list", "show", "update", "revoke", "rotate"]
TABLE = ["--table", NAME]
ONCE = "The secret above is shown only once; the gateway stores only its SHA-256.\n"


@dataclass
class Done:
    status: int
    output: str
    errors: str

    def json(self) -> Any:
        return json.loads(self.output)


Run = Callable[..., Done]


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Hides the AWS credentials of this machine."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch, region: None) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


@pytest.fixture
def store(credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[TableKeyStore]:
    with faulty_dynamodb() as (_, url):
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
        yield TableKeyStore(table_at(url, now), now)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> Done:
        try:
            status = main(["keys", *arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
        return Done(status, *capsys.readouterr())

    return run


def now() -> datetime:
    return datetime.now(UTC)


def found(store: TableKeyStore, secret: str) -> Key | None:
    return asyncio.run(store.find(digest(secret)))


def test_create_prints_only_the_secret_on_stdout(run: Run, store: TableKeyStore) -> None:
    done = run("create", "alice", *TABLE)
    assert (done.status, done.errors) == (0, ONCE)
    secret = done.output.removesuffix("\n")
    assert checksum_holds(secret)
    key = found(store, secret)
    assert key
    assert (key.name, key.owner, key.expires, key.models) == ("alice", "", None, ())


def test_create_stores_every_option(run: Run, store: TableKeyStore) -> None:
    done = run(
        *["create", "bot", "--owner", "Team A", "--note", "nightly", "--expires", "2100-01-31"],
        *["--models", "claude-haiku-*, gpt-4o", "--rpm", "60", "--tpm", "100000", "--streams", "3"],
        *["--usd-per-day", "0.5", "--usd-per-month", "10", "--max-tokens", "4096", "--json", *TABLE],
    )
    assert (done.status, done.errors) == (0, "")
    answer = done.json()
    key = found(store, answer.pop("secret"))
    assert key
    assert answer == {
        "id": key.id,
        "name": "bot",
        "owner": "Team A",
        "note": "nightly",
        "created": key.created.isoformat(),
        "expires": "2100-01-31T00:00:00+00:00",
        "disabled": False,
        "state": "active",
        "last4": key.last4,
        "models": ["claude-haiku-*", "gpt-4o"],
        "limits": {
            "requests_per_minute": 60,
            "tokens_per_minute": 100_000,
            "concurrent_streams": 3,
            "usd_per_day_micros": 500_000,
            "usd_per_month_micros": 10_000_000,
            "max_tokens": 4096,
        },
    }
    assert run("show", "bot", "--json", *TABLE).json() == answer
    assert run("list", "--json", *TABLE).json() == [answer]
    shown = run("show", key.id, *TABLE).output
    assert (
        "limits     60 requests/minute, 100000 tokens/minute, 3 streams, $0.5/day, $10/month, 4096 max_tokens\n"
        in shown
    )
    assert "expires    2100-01-31 00:00 UTC\n" in shown


def test_expiry_may_be_relative_to_now(run: Run, store: TableKeyStore) -> None:
    run("create", "alice", "--expires", "90d", *TABLE)
    expires = asyncio.run(store.get("alice")).expires
    assert expires
    assert abs(expires - now() - timedelta(days=90)) < timedelta(seconds=30)


def test_list_prints_a_table(run: Run, store: TableKeyStore) -> None:
    empty = run("list", *TABLE)
    assert (empty.status, empty.output) == (0, "")
    assert empty.errors == "There are no keys; 'claudexia keys create NAME' creates one.\n"
    alice, _ = asyncio.run(store.create("alice", owner="a\x1b[2Jb", models=["m"]))
    bob, _ = asyncio.run(store.create("bob", expires=now()))
    asyncio.run(store.create("carol"))
    asyncio.run(store.revoke("carol"))
    today = f"{alice.created:%Y-%m-%d}"
    lines = [re.split("  +", line) for line in run("list", *TABLE).output.splitlines()]
    assert lines == [
        ["NAME", "ID", "STATE", "LAST 4", "OWNER", "CREATED", "EXPIRES", "MODELS", "LIMITS"],
        ["alice", alice.id, "active", alice.last4, "a?[2Jb", today, "never", "m", "none"],
        ["bob", bob.id, "expired", bob.last4, "-", today, f"{bob.expires:%Y-%m-%d}", "all", "none"],
    ]
    assert "carol" in run("list", "--all", *TABLE).output


def test_update_changes_options_and_none_clears_them(run: Run, store: TableKeyStore) -> None:
    run(
        "create",
        "alice",
        "--owner",
        "a",
        "--rpm",
        "5",
        "--tpm",
        "7",
        "--expires",
        "9d",
        "--models",
        "m",
        *TABLE,
    )
    done = run(
        "update", "alice", "--rpm", "none", "--expires", "none", "--models", "none", "--owner", "none", *TABLE
    )
    assert (done.status, done.errors) == (0, "The change takes effect everywhere within a minute.\n")
    key = asyncio.run(store.get("alice"))
    assert (key.owner, key.expires, key.models) == ("", None, ())
    assert (key.limits.requests_per_minute, key.limits.tokens_per_minute) == (None, 7)


def test_revoke_disables_the_key(run: Run, store: TableKeyStore) -> None:
    secret = run("create", "alice", *TABLE).output.strip()
    done = run("revoke", "alice", *TABLE)
    assert done == Done(0, "The key 'alice' is revoked; this takes effect everywhere within a minute.\n", "")
    key = found(store, secret)
    assert key
    assert key.disabled
    run("create", "bob", *TABLE)
    assert run("revoke", "bob", "--json", *TABLE).json()["state"] == "revoked"


def test_rotate_replaces_the_secret(run: Run, store: TableKeyStore) -> None:
    first = run("create", "alice", *TABLE).output.strip()
    done = run("rotate", "alice", "--grace", "24h", *TABLE)
    second = done.output.strip()
    assert re.fullmatch(
        re.escape(ONCE) + r"The old secret is valid until \d{4}-\d\d-\d\d \d\d:\d\d UTC\.\n", done.errors
    )
    old, new = found(store, first), found(store, second)
    assert old
    assert new
    assert old.id == new.id
    assert old.expires
    assert abs(old.expires - now() - timedelta(hours=24)) < timedelta(seconds=30)
    assert (
        run("rotate", "alice", *TABLE).errors
        == f"{ONCE}The old secret becomes invalid everywhere within a minute.\n"
    )
    assert checksum_holds(run("rotate", "alice", "--json", *TABLE).json()["secret"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["show", "zoe"], "There is no key named 'zoe'."),
        (["revoke", "zoe"], "There is no key named 'zoe'."),
        (["create", "alice"], "There is a key named 'alice' already; choose another name, or revoke it."),
        (["create", "a b"], "'a b' is not a valid key name; use up to 64 letters, digits and any of . _ - @."),
        (
            ["create", "sk_cdx_0A"],
            "'sk_cdx_...' is not a valid key name; use up to 64 letters, digits and any of . _ - @.",
        ),
        (["show", "sk_cdx_0A"], "There is no key named 'sk_cdx_...'."),
        (["rotate", "carol"], "The key 'carol' has been revoked; create a new one."),
        (["update", "alice"], "There is nothing to change; 'claudexia keys update --help' lists the options."),
        (
            ["list", "--table", "nowhere"],
            "There is no such table in this region and account; select another with --stack, --table, --region or --profile.",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_failed_command_is_one_sentence(
    run: Run, store: TableKeyStore, arguments: list[str], sentence: str
) -> None:
    asyncio.run(store.create("alice"))
    asyncio.run(store.create("carol"))
    asyncio.run(store.revoke("carol"))
    chosen = [] if "--table" in arguments else TABLE
    assert run(*arguments, *chosen) == Done(1, "", f"claudexia keys: {sentence}\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing command."),
        (["delete"], "No such command 'delete'."),
        (["create"], "Missing argument 'NAME'."),
        (
            ["create", "x", "--expires", "soon"],
            "'soon' is neither a duration like 90d nor a day like 2027-01-31",
        ),
        (["create", "x", "--expires", "2027-02-31"], "'2027-02-31' is neither a duration"),
        (["create", "x", "--expires", "2020-01-01"], "'2020-01-01' is in the past"),
        (["create", "x", "--expires", "0d"], "'0d' is in the past"),
        (["create", "x", "--rpm", "0"], "'0' is neither a number from 1 nor 'none'"),
        (["create", "x", "--rpm", "many"], "'many' is neither a number from 1 nor 'none'"),
        (["update", "x", "--usd-per-day", "-1"], "'-1' is neither an amount of US dollars"),
        (["update", "x", "--usd-per-day", "0.0000015"], "'0.0000015' is neither an amount of US dollars"),
        (["update", "x", "--usd-per-day", "nan"], "'nan' is neither an amount of US dollars like 5 or 0.50"),
        (["update", "x", "--usd-per-day", "$5"], "'$5' is neither an amount of US dollars"),
        (["rotate", "x", "--grace", "a day"], "'a day' is not a duration like 30m, 24h or 90d"),
        (
            ["list", "--endpoint-url", "localhost:8000"],
            "'localhost:8000' is not a URL like http://localhost:8000",
        ),
        (["list", "extra"], "Got unexpected extra argument (extra)"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_invalid_argument_is_one_sentence(run: Run, arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert (done.status, done.output) == (2, "")
    assert re.fullmatch(r"claudexia keys( \w+)?: .+\. See 'claudexia keys( \w+)? --help'\.\n", done.errors)
    assert words in done.errors


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help(run: Run, command: str) -> None:
    done = run(*filter(None, [command]), "--help")
    assert (done.status, done.errors) == (0, "")
    wanted = (
        ["--stack", "--table", "--region", "--profile", "--endpoint-url", "--json"] if command else COMMANDS
    )
    assert all(word in done.output for word in wanted)


def test_help_of_the_main_command_names_keys(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "claudexia keys --help" in capsys.readouterr().out


# Status and body of the AWS response to each action.
Answers = dict[str, tuple[int, str]]


def aws(answers: Answers) -> Callable[..., Awaitable[None]]:
    """CloudFormation, whose action is in the body, and DynamoDB, whose action is in a header."""

    async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = (await receive())["body"].decode()
        target = dict(scope["headers"]).get(b"x-amz-target", b"").decode()
        action = target.rpartition(".")[2] or re.findall(r"Action=(\w+)", body)[0]
        status, answer = answers[action]
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": answer.encode()})

    return app


def stack_with(**outputs: str) -> tuple[int, str]:
    members = "".join(
        f"<member><OutputKey>{name}</OutputKey><OutputValue>{value}</OutputValue></member>"
        for name, value in outputs.items()
    )
    stack = f"<member><StackName>s</StackName><Outputs>{members}</Outputs></member>"
    return 200, (
        "<DescribeStacksResponse><DescribeStacksResult>"
        f"<Stacks>{stack}</Stacks></DescribeStacksResult></DescribeStacksResponse>"
    )


def refused(code: str) -> tuple[int, str]:
    return 400, f"<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"


def denied(code: str) -> tuple[int, str]:
    return 400, json.dumps({"__type": f"com.amazon.coral.service#{code}", "message": "no"})


def test_the_table_is_called_through_the_proxy_of_the_environment(
    run: Run, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ALL_PROXY", "NO_PROXY", "all_proxy", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with faulty_dynamodb() as (proxied, url):
        monkeypatch.setenv("HTTP_PROXY", url)
        done = run("list", "--endpoint-url", "http://dynamodb.invalid", *TABLE)
    assert done.status == 0
    assert proxied.operations == ["Query"]


def test_table_is_found_by_its_stack(run: Run, store: TableKeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(aws({"DescribeStacks": stack_with(BaseUrl="https://x", TableName=NAME)})) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", url)
        secret = run("create", "alice").output.strip()
    assert found(store, secret)


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        pytest.param(
            {"DescribeStacks": refused("ValidationError")},
            f"There is no stack 'claudexia' in {REGION}; select another with --stack, --region or --profile.",
            id="no-stack",
        ),
        pytest.param(
            {"DescribeStacks": stack_with(BaseUrl="https://x")},
            "The stack 'claudexia' has no output TableName; deploy this version, or use --table.",
            id="no-output",
        ),
        pytest.param(
            {"DescribeStacks": refused("AccessDenied")},
            "AWS denied access to the stack 'claudexia'; the credentials do not permit it.",
            id="stack-denied",
        ),
        pytest.param(
            {"DescribeStacks": refused("ExpiredToken")},
            "The AWS credentials are invalid or expired; log in again as for the AWS CLI.",
            id="expired-login",
        ),
        pytest.param(
            {"DescribeStacks": stack_with(TableName="t"), "Query": denied("AccessDeniedException")},
            "AWS denied access to the table; the credentials do not permit it.",
            id="table-denied",
        ),
        pytest.param(
            {"DescribeStacks": stack_with(TableName="t"), "Query": denied("ResourceNotFoundException")},
            "There is no such table in this region and account; select another with --stack, --table, --region or --profile.",
            id="no-table",
        ),
        pytest.param(
            {"DescribeStacks": stack_with(TableName="t"), "Query": denied("UnrecognizedClientException")},
            "The AWS credentials are invalid or expired; log in again as for the AWS CLI.",
            id="unknown-credentials",
        ),
    ],
)
def test_aws_error_is_one_sentence(run: Run, credentials: None, answers: Answers, sentence: str) -> None:
    with serving(aws(answers)) as url:
        done = run("list", "--endpoint-url", url)
    assert done == Done(1, "", f"claudexia keys: {sentence}\n")


@pytest.mark.parametrize("chosen", [[], TABLE], ids=["stack", "table"])
def test_missing_credentials_are_one_sentence(run: Run, region: None, chosen: list[str]) -> None:
    sentence = "There are no AWS credentials; log in as for the AWS CLI, or select a profile with --profile."
    assert run("list", *chosen) == Done(1, "", f"claudexia keys: {sentence}\n")


def test_missing_region_is_one_sentence(run: Run) -> None:
    sentence = "No AWS region is selected; select one with --region or AWS_REGION."
    assert run("list") == Done(1, "", f"claudexia keys: {sentence}\n")


def test_unknown_profile_is_one_sentence(run: Run) -> None:
    sentence = "There is no such AWS profile; 'aws configure list-profiles' lists them."
    assert run("list", "--profile", "nobody") == Done(1, "", f"claudexia keys: {sentence}\n")


@pytest.mark.parametrize("chosen", [[], TABLE], ids=["stack", "table"])
def test_unreachable_aws_is_one_sentence(
    run: Run, credentials: None, chosen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    done = run("list", "--endpoint-url", "http://127.0.0.1:9", *chosen)
    assert (done.status, done.output) == (1, "")
    assert re.fullmatch(r"claudexia keys: AWS cannot be reached \(\w+\); check .*\.\n", done.errors)


def test_invalid_region_is_one_sentence(run: Run, credentials: None) -> None:
    done = run("list", "--region", "not a region", *TABLE)
    assert (done.status, done.output) == (1, "")
    assert done.errors == (
        "claudexia keys: The selected AWS region is not the name of a region; select another with --region.\n"
    )
