"""The Codex CLI, unmodified: it edits a file with its own tool and answers, through the Responses API.

It needs the `codex` of the npm package @openai/codex on the PATH, or its path in CODEX.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.serving import KEY, Reply, Upstream, gateway, sse, text_events, tool_events

CODEX = os.environ.get("CODEX") or shutil.which("codex")
pytestmark = pytest.mark.skipif(CODEX is None, reason="no codex on the PATH: npm install -g @openai/codex")
PROVIDER = 'model_providers.gateway={{name="gateway",base_url="{url}",env_key="GATEWAY_KEY"}}'


def codex(url: str, home: Path, work: Path, *options: str, model: str = "claude-sonnet-5-5") -> Any:
    command = [
        str(CODEX), "exec", "--skip-git-repo-check", "-s", "danger-full-access", "-C", str(work), "-m", model,
        "-c", "model_provider=gateway", "-c", PROVIDER.format(url=url), *options, "Make made.txt",
    ]  # fmt: skip
    environment = {**os.environ, "CODEX_HOME": str(home), "GATEWAY_KEY": KEY}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    return home, work


def test_it_edits_a_file(folders: tuple[Path, Path]) -> None:
    call = tool_events(("exec_command", json.dumps({"cmd": "echo hello > made.txt"})))
    upstream = Upstream(Reply([sse(*call)]), Reply([sse(*text_events("I made the file."))]))
    with gateway(upstream) as url:
        done = codex(url, *folders)
    assert (done.returncode, done.stdout.strip()) == (0, "I made the file."), done.stderr
    assert (folders[1] / "made.txt").read_text() == "hello\n"
    first, second = upstream.bodies
    names = [tool["name"] for tool in first["tools"]]
    assert "exec_command" in names
    assert any("__" in name for name in names), "a tool in a namespace"
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "user"]


def test_it_knows_its_tool_in_a_namespace(folders: tuple[Path, Path]) -> None:
    """Codex answers a call that it does not know with "unsupported call"."""
    call = tool_events(("multi_agent_v1__wait_agent", json.dumps({"targets": ["nobody"]})))
    upstream = Upstream(Reply([sse(*call)]), Reply([sse(*text_events("Nobody is there."))]))
    with gateway(upstream) as url:
        done = codex(url, *folders)
    assert done.returncode == 0, done.stderr
    (result,) = upstream.bodies[1]["messages"][-1]["content"]
    assert result["type"] == "tool_result"
    assert "unsupported" not in json.dumps(result)


def test_an_unknown_model_is_an_error_at_once(folders: tuple[Path, Path]) -> None:
    upstream = Upstream()
    with gateway(upstream) as url:
        done = codex(url, *folders, model="no-such-model")
    assert done.returncode != 0
    assert "does not exist" in done.stderr + done.stdout
    assert upstream.bodies == []
