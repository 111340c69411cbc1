"""run(): the gateway on this machine, in front of Claude, another upstream or the echo."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import click
import httpx

from claudexia.app import create_app
from claudexia.settings import KEY_PREFIX, Settings, SettingsError
from claudexia_cli.aws_login import export_aws_login
from claudexia_cli.console import StartError, is_http_url
from claudexia_cli.echo import EchoTransport
from claudexia_cli.emulator.server import FunctionConfiguration, InitError, serve_lambda
from claudexia_cli.serve import ListenError, base_url, listen, serve

_EXAMPLE_BODY = (
    '{"model": "claude-sonnet-5-5", "stream": true, "messages": [{"role": "user", "content": "Hello there"}]}'
)
_LAMBDA_NOTE = "Requests go through the Lambda runtime, in a process of its own, behind a local API Gateway."


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line. `upstream` is a URL, `echo` or None; `timeout` is in seconds.

    `timeout`, `concurrency` and `base_path` apply if `as_lambda` is true.
    """

    host: str
    port: int
    upstream: str | None
    as_lambda: bool
    timeout: int
    concurrency: int
    base_path: str = ""


@dataclass(frozen=True, slots=True)
class _Upstream:
    """The upstream's settings, its transport if it is not a URL, and the sentence that describes it."""

    description: str
    settings: Settings
    transport: httpx.AsyncBaseTransport | None = None


@dataclass(frozen=True, slots=True)
class _ApiKey:
    """An API key of the gateway: what is shown of it, a note, and the authorization header in shell syntax."""

    shown: str
    note: str
    header: str
    settings: Settings


def run(options: Options) -> None:
    """Serves until Ctrl-C or SIGTERM. Raises StartError."""
    try:
        _serve(options)
    except (SettingsError, ListenError, InitError) as error:
        raise StartError(str(error)) from error
    except KeyboardInterrupt:  # before the server has installed its signal handlers
        pass


def _serve(options: Options) -> None:
    export_aws_login()
    upstream = _choose_upstream(options.upstream, Settings.from_env(os.environ))
    key = _choose_key(upstream.settings)
    with listen(options.host, options.port) as listener:
        mapping = f"/{options.base_path.strip('/')}".rstrip("/")
        url = base_url(listener).removesuffix("/v1") + f"{mapping}/v1"
        greeting = _greeting(upstream, key, url, as_lambda=options.as_lambda)
        if options.as_lambda:
            function = FunctionConfiguration(
                {**os.environ, **_environ(key.settings)},
                options.timeout,
                options.concurrency,
                upstream.transport,
                mapping,
            )
            serve_lambda(function, listener, partial(click.echo, greeting))
        else:
            app = create_app(key.settings, transport=upstream.transport)
            serve(app, listener, on_ready=partial(click.echo, greeting))


def _environ(settings: Settings) -> Mapping[str, str]:
    """The settings that were chosen here, as environment variables for the function's process."""
    return {
        "ANTHROPIC_API_KEY": settings.anthropic_api_key,
        "ANTHROPIC_API_KEY_SECRET": settings.anthropic_api_key_secret,
        "ANTHROPIC_BASE_URL": settings.anthropic_base_url,
        "CLAUDEXIA_API_KEYS": ",".join(f"{name}:{secret}" for name, secret in settings.api_keys.items()),
    }


def _choose_upstream(option: str | None, settings: Settings) -> _Upstream:
    if option == "echo":
        return _echo("Answers come from the built-in echo, not from Claude, because of --upstream.", settings)
    if option is None and not (settings.anthropic_api_key or settings.anthropic_api_key_secret):
        return _echo(
            "Answers come from the built-in echo, not from Claude; set ANTHROPIC_API_KEY to call Claude.",
            settings,
        )
    if option is None:
        url = _checked_url("ANTHROPIC_BASE_URL", settings.anthropic_base_url)
    else:
        url = _checked_url("--upstream", option)
    return _Upstream(f"Answers come from {url}.", replace(settings, anthropic_base_url=url))


def _echo(description: str, settings: Settings) -> _Upstream:
    # The echo never receives a real API key.
    keyless = replace(
        settings,
        anthropic_api_key="",
        anthropic_api_key_secret="",
        anthropic_base_url="http://echo.invalid",
    )
    return _Upstream(description, keyless, EchoTransport())


def _checked_url(source: str, text: str) -> str:
    if not is_http_url(text):
        raise SettingsError(f"{source}: {text!r} is not a URL like https://api.anthropic.com.")
    return text


def _choose_key(settings: Settings) -> _ApiKey:
    """The first key of the environment, shown by its name only, or a new key for this run."""
    if settings.api_keys:
        name = next(iter(settings.api_keys))
        return _ApiKey(
            f"the one named {name!r} in CLAUDEXIA_API_KEYS",
            "its secret is not shown; the command below reads it from the variable CLAUDEXIA_KEY",
            # If the variable is not set, the shell prints this error instead of sending a wrong key.
            '"Authorization: Bearer ${CLAUDEXIA_KEY:?is not set to the secret of your key}"',
            settings,
        )
    secret = KEY_PREFIX + secrets.token_hex(32)
    return _ApiKey(
        secret,
        f"created for this run; set CLAUDEXIA_API_KEYS=name:{KEY_PREFIX}... for a permanent one",
        f"'Authorization: Bearer {secret}'",
        replace(settings, api_keys={"local": secret}),
    )


def _greeting(upstream: _Upstream, key: _ApiKey, url: str, *, as_lambda: bool) -> str:
    lambda_line = f"{_LAMBDA_NOTE}\n" if as_lambda else ""
    return f"""{upstream.description}
{lambda_line}
Base URL: {url}
API key:  {key.shown}
          ({key.note})

curl -N '{url}/chat/completions' \\
  -H {key.header} \\
  -H 'Content-Type: application/json' \\
  -d '{_EXAMPLE_BODY}'

Ctrl-C ends it."""
