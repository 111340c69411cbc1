"""The command `claudexia` in a process, with real sockets and signals."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tests.helpers.waiting import PATIENCE

COMMAND = [sys.executable, "-m", "claudexia_cli.cli"]
SETTINGS_PREFIXES = ("ANTHROPIC_", "CLAUDEXIA_", "MODEL_ALIASES")


@dataclass
class Command:
    """A running `claudexia`, and its output so far."""

    process: subprocess.Popen[str]
    output: str

    @property
    def url(self) -> str:
        return self._find(r"^Base URL: (\S+)$")

    @property
    def key(self) -> str:
        return self._find(r"^API key:  (sk_cdx_[0-9a-f]{64})$")

    @property
    def curl(self) -> str:
        return self._find(r"(?s)^(curl -N .*?)\n\n")

    def complete(self, content: str, *, stream: bool = False) -> httpx.Response:
        return httpx.post(
            f"{self.url}/chat/completions",
            headers={"authorization": f"Bearer {self.key}"},
            json={
                "model": "claude-sonnet-5-5",
                "stream": stream,
                "messages": [{"role": "user", "content": content}],
            },
            trust_env=False,
            timeout=PATIENCE,
        )

    @contextmanager
    def streaming(self) -> Iterator[Iterator[str]]:
        """The lines after the first data line of a response that takes longer than the test."""
        message = {"role": "user", "content": "word " * 20_000}
        with httpx.stream(
            "POST",
            f"{self.url}/chat/completions",
            headers={"authorization": f"Bearer {self.key}"},
            json={"model": "claude-sonnet-5-5", "stream": True, "messages": [message]},
            trust_env=False,
            timeout=PATIENCE,
        ) as response:
            lines = response.iter_lines()
            assert any(line.startswith("data: ") for line in lines)
            yield lines

    def end(self, sig: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Exit status, and the output on stdout and stderr after the greeting.

        Raises subprocess.TimeoutExpired if the process does not end.
        """
        self.process.send_signal(sig)
        rest, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, rest + errors

    def _find(self, pattern: str) -> str:
        found = re.search(pattern, self.output, re.MULTILINE)
        assert found, self.output
        return found[1]


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS_PREFIXES)} | more


@contextmanager
def claudexia(*arguments: str, **env: str) -> Iterator[Command]:
    with subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**env),
    ) as process:
        assert process.stdout
        try:
            output = ""
            for line in process.stdout:
                output += line
                if line == "Ctrl-C ends it.\n":
                    break
            yield Command(process, output)
        finally:
            process.kill()


def run_to_failure(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return _run([*COMMAND, *arguments], env)


def run_in_shell(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    return _run(["/bin/sh", "-c", line], env)


def _run(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, capture_output=True, text=True, env=environment(**env), timeout=PATIENCE, check=False
    )
