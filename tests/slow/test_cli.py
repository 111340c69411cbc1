"""The command's output, exit status and HTTP responses."""

import re
import shutil

import pytest

from claudexia import __version__
from claudexia_cli.cli import main
from tests.helpers.command import claudexia, run_in_shell, run_to_failure
from tests.helpers.serving import Reply, Upstream, serving, sse, text_events

SECRET = "sk_cdx_environment"
ECHO_LINE = "Answers come from the built-in echo, not from Claude; set ANTHROPIC_API_KEY to call Claude."

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.mark.parametrize(
    ("arguments", "env", "line"),
    [
        pytest.param([], {}, ECHO_LINE, id="no-key"),
        pytest.param(
            ["--upstream", "echo"],
            {"ANTHROPIC_API_KEY": "sk-ant-real", "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"},
            "Answers come from the built-in echo, not from Claude, because of --upstream.",
            id="echo-in-spite-of-a-key",
        ),
    ],
)
def test_the_first_line_announces_the_echo(arguments: list[str], env: dict[str, str], line: str) -> None:
    with claudexia(*arguments, **env) as command:
        assert command.output.splitlines()[0] == line
        answer = command.complete("hello world").raise_for_status().json()
    assert answer["choices"][0]["message"]["content"] == "Echo: hello world"


@needs_curl
def test_the_curl_line_works_when_pasted() -> None:
    with claudexia() as command:
        pasted_with_key = run_in_shell(command.curl)
    assert pasted_with_key.returncode == 0
    assert "Echo:" in pasted_with_key.stdout
    assert pasted_with_key.stdout.endswith("data: [DONE]\n\n")


@needs_curl
def test_a_key_from_the_environment_is_not_printed() -> None:
    with claudexia(CLAUDEXIA_API_KEYS=f"alice:{SECRET},bob:sk_cdx_other") as command:
        pasted_with_key = run_in_shell(command.curl, CLAUDEXIA_KEY=SECRET)
        pasted_without = run_in_shell(command.curl)
    assert "'alice'" in command.output
    assert SECRET not in command.output
    assert pasted_with_key.stdout.endswith("data: [DONE]\n\n")
    assert pasted_without.returncode != 0
    assert "CLAUDEXIA_KEY: is not set to the secret of your key" in pasted_without.stderr


@pytest.mark.parametrize(
    ("option", "env", "key"),
    [
        pytest.param("--upstream", {}, None, id="option-without-key"),
        pytest.param("--upstream", {"ANTHROPIC_API_KEY": "sk-ant-1"}, "sk-ant-1", id="option-with-key"),
        pytest.param(None, {"ANTHROPIC_API_KEY": "sk-ant-1"}, "sk-ant-1", id="environment"),
    ],
)
def test_requests_go_to_another_upstream(option: str | None, env: dict[str, str], key: str | None) -> None:
    upstream = Upstream(Reply([sse(*text_events("From afar"))]))
    with serving(upstream) as url:
        arguments, more = ([option, url], env) if option else ([], {**env, "ANTHROPIC_BASE_URL": url})
        with claudexia(*arguments, **more) as command:
            answer = command.complete("hello").raise_for_status().json()
    assert command.output.splitlines()[0] == f"Answers come from {url}."
    assert answer["choices"][0]["message"]["content"] == "From afar"
    assert upstream.headers[0].get("x-api-key") == key


@pytest.mark.parametrize(
    ("arguments", "env", "named"),
    [
        pytest.param(["--upstream", "nowhere"], {}, "--upstream: 'nowhere'", id="upstream-no-url"),
        pytest.param(
            ["--upstream", "http://h:port"], {}, "--upstream: 'http://h:port'", id="upstream-bad-port"
        ),
        pytest.param(
            [],
            {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "ftp://h"},
            "ANTHROPIC_BASE_URL: 'ftp://h'",
            id="base-url",
        ),
        pytest.param([], {"CLAUDEXIA_API_KEYS": "a:secret"}, "CLAUDEXIA_API_KEYS: ", id="key-without-prefix"),
        pytest.param(["--host", "x" * 64], {}, "cannot be found", id="unknown-host"),
        pytest.param(["--host", "192.0.2.1"], {}, "not an address of this machine", id="address-of-another"),
    ],
)
def test_an_invalid_setting_is_one_sentence(arguments: list[str], env: dict[str, str], named: str) -> None:
    process = run_to_failure(*arguments, **env)
    assert (process.returncode, process.stdout) == (2, "")
    assert re.fullmatch(rf"claudexia: .*{re.escape(named)}.*\.\n", process.stderr)


@pytest.mark.parametrize(
    ("port", "reason"),
    [
        ("-1", "-1 is not in the range 0<=x<=65535."),
        ("65536", "65536 is not in the range 0<=x<=65535."),
        ("http", "'http' is not a valid integer range."),
    ],
)
def test_a_port_out_of_range_is_refused(port: str, reason: str) -> None:
    process = run_to_failure(f"--port={port}")
    assert (process.returncode, process.stdout) == (2, "")
    assert f"Invalid value for '--port': {reason}" in process.stderr


def test_the_version() -> None:
    assert run_to_failure("--version").stdout == f"claudexia {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["key", "list"], ["--prot", "80"], ["check", "http://localhost:1", "sk_cdx_secret"], ["sk_cdx_secret"]],
    ids=" ".join,
)
def test_a_wrong_argument_is_one_sentence_without_secrets(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("--help'.")
    assert "secret" not in line
