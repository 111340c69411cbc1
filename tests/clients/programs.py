"""Programs with tools of their own, unmodified, against the gateway: `uv run python -m tests.clients.programs`.

The model is the fake API, which plans what the prompt says: here one call of the program's own tool that writes a
file. This needs npm and a package index.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.serving import KEY, gateway

MODEL = "claude-sonnet-5-5"
WRITTEN = "written by a tool"
_SECONDS = 300


Environment = Callable[[str], Mapping[str, str]]


@dataclass(frozen=True)
class Program:
    """`package` is the npm package of `command`, which with `arguments` reads a prompt from standard input.

    `environment` makes its variables of the gateway's base URL. `write` is the program's tool that writes a file,
    `path` the name of its argument with the file's path. `models` is the file in which it keeps the gateway's
    models, if it asks for them.
    """

    name: str
    package: str
    command: str
    arguments: tuple[str, ...]
    environment: Environment
    write: str
    path: str
    models: str = ""


def _claude_code(base_url: str) -> Mapping[str, str]:
    return {
        "ANTHROPIC_BASE_URL": base_url.removesuffix("/v1"),
        "ANTHROPIC_AUTH_TOKEN": KEY,
        "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1",
    }


def _opencode(base_url: str) -> Mapping[str, str]:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": base_url, "apiKey": KEY},
        "models": {MODEL: {}},
    }
    return {
        "OPENCODE_CONFIG_CONTENT": json.dumps({"provider": {"gateway": provider}, "permission": "allow"}),
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
    }


PROGRAMS = (
    Program(
        name="Claude Code",
        package="@anthropic-ai/claude-code@2",
        command="claude",
        arguments=("-p", "--output-format", "json", "--allowedTools", "Write", "--model", MODEL),
        environment=_claude_code,
        write="Write",
        path="file_path",
        models="gateway-models.json",
    ),
    Program(
        name="opencode",
        package="opencode-ai@1",
        command="opencode",
        arguments=("run", "--model", f"gateway/{MODEL}"),
        environment=_opencode,
        write="write",
        path="filePath",
    ),
)


def main() -> None:
    with gateway(FakeAnthropic()) as base_url:
        failures = [failure for program in PROGRAMS for failure in _failures(program, base_url)]
    sys.stdout.write("".join(f"{failure}\n" for failure in failures) or "all passed\n")
    sys.exit(bool(failures))


def _failures(program: Program, base_url: str) -> list[str]:
    """Runs the program with a question and with a task; what went wrong, if anything."""
    command = _installed(program)
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as home:
        environment = {"PATH": os.environ["PATH"], "HOME": home, **program.environment(base_url)}
        file = Path(work, "written.txt")
        plan = json.dumps({program.path: str(file), "content": WRITTEN})
        said = _run([command, *program.arguments], "Hello there", environment, work)
        task = _run([command, *program.arguments], f"[use {program.write} {plan}]", environment, work)
        found = list(Path(home).rglob(program.models)) if program.models else []
        checks = {
            f"the answer is {said}": "You said: " in said,
            f"no file was written: {task}": file.exists() and file.read_text() == WRITTEN,
            "it found no models": not program.models or (bool(found) and MODEL in found[0].read_text()),
        }
    return [f"{program.name}: {failure}" for failure, passed in checks.items() if not passed]


def _installed(program: Program) -> str:
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "claudexia-programs"
    place.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--prefix", str(place), "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([*command, program.package], check=True, stdout=subprocess.DEVNULL)
    return str(place / "node_modules" / ".bin" / program.command)


def _run(command: list[str], prompt: str, environment: Mapping[str, str], work: str) -> str:
    done = subprocess.run(
        command,
        env=dict(environment),
        cwd=work,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
        input=prompt,
    )
    return done.stdout + done.stderr


if __name__ == "__main__":
    main()
