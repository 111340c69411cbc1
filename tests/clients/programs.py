"""Programs that speak Anthropic's API, unmodified, against the gateway: `uv run python -m tests.clients.programs`.

The model is the fake API, which plans what the prompt says: here one call of the program's own tool that writes a
file. This needs npm and a package index.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.serving import KEY, gateway

MODEL = "claude-sonnet-5-5"
WRITTEN = "written by a tool"
_SECONDS = 300


@dataclass(frozen=True)
class Program:
    """`package` is the npm package of `command`. `arguments` follow the prompt; `write` is its tool that does."""

    name: str
    package: str
    command: str
    arguments: tuple[str, ...]
    write: str

    def environment(self, base_url: str, home: Path) -> Mapping[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "ANTHROPIC_BASE_URL": base_url.removesuffix("/v1"),
            "ANTHROPIC_AUTH_TOKEN": KEY,
            "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1",
        }


PROGRAMS = (
    Program(
        name="Claude Code",
        package="@anthropic-ai/claude-code@2",
        command="claude",
        arguments=("--output-format", "json", "--allowedTools", "Write", "--model", MODEL),
        write="Write",
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
        environment, file = program.environment(base_url, Path(home)), Path(work, "written.txt")
        plan = json.dumps({"file_path": str(file), "content": WRITTEN})
        said = _run([command, "-p", "Hello there", *program.arguments], environment, work)
        task = _run([command, "-p", f"[use {program.write} {plan}]", *program.arguments], environment, work)
        found = list(Path(home).rglob("gateway-models.json"))
        checks = {
            f"the answer is {said}": "You said: " in said,
            f"no file was written: {task}": file.exists() and file.read_text() == WRITTEN,
            "it found no models": bool(found) and MODEL in found[0].read_text(),
        }
    return [f"{program.name}: {failure}" for failure, passed in checks.items() if not passed]


def _installed(program: Program) -> str:
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "claudexia-programs"
    place.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--prefix", str(place), "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([*command, program.package], check=True, stdout=subprocess.DEVNULL)
    return str(place / "node_modules" / ".bin" / program.command)


def _run(command: list[str], environment: Mapping[str, str], work: str) -> str:
    done = subprocess.run(
        command,
        env=dict(environment),
        cwd=work,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout + done.stderr


if __name__ == "__main__":
    main()
