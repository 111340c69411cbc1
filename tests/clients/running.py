"""A client's script in an environment of its own: uv makes the Python ones, npm the Node one."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from tests.clients.matrix import CASES, CLIENTS, MODELS, SCRIPTS, Client, Outcome

_NODE = "node@22"  # what openai 7 and ai 7 ask for, whatever this machine has
_SECONDS = 300
# A script must find its own packages, not the gateway's.
_OURS = ("PYTHONPATH", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
# litellm fetches a list of prices when it is imported, unless told not to.
_OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def outcome_of(client: Client, base_url: str, api_key: str) -> Outcome:
    """Runs the client's script with each model against `base_url`."""
    outcome = Outcome()
    for model in MODELS:
        asked = {"BASE_URL": base_url, "API_KEY": api_key, "MODEL": model}
        note(outcome, model, _run(client, asked))
    return outcome


def note(outcome: Outcome, model: str, done: subprocess.CompletedProcess[str]) -> None:
    """Adds what one run of a script told; a case that it did not reach has failed."""
    missing = list(CASES)
    for line in _lines(done.stdout):
        if "version" in line:
            outcome.version = str(line["version"])
            continue
        missing.remove(str(line["case"]))
        if not line["ok"]:
            outcome.failures[str(line["case"])].append(f"{model}: {line['detail']}")
    for case in missing:
        last = done.stderr.strip().splitlines()[-1:] or ["it wrote nothing"]
        outcome.failures[case].append(f"{model}: the script ended with {done.returncode}: {last[0]}")


def _lines(output: str) -> Iterator[dict[str, object]]:
    """A library may print between the script's own lines."""
    for line in output.splitlines():
        if line.startswith(('{"version":', '{"case":')):
            yield json.loads(line)


def _run(client: Client, asked: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in _OURS}
    command = _node(client) if client.script.endswith(".mjs") else _python(client)
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**environment, **_OFFLINE, **asked},
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"it took more than {_SECONDS} s")


def _python(client: Client) -> list[str]:
    return python_command(SCRIPTS / client.script, client.packages)


def _node(client: Client) -> list[str]:
    place = _node_packages()
    return [str(place / "node_modules" / ".bin" / "node"), str(place / client.script)]


@cache
def _node_packages() -> Path:
    wanted = {name for each in CLIENTS if each.script.endswith(".mjs") for name in each.packages}
    return node_project("claudexia-clients", wanted, SCRIPTS.glob("*.mjs"))


def python_command(script: Path, packages: Iterable[str]) -> list[str]:
    """Runs `script` with `packages`, given as uv takes them, in an environment of its own."""
    options = [part for package in packages for part in ("--with", package)]
    return ["uv", "run", "--quiet", "--no-project", "--isolated", *options, "python", str(script)]


def node_project(name: str, packages: Iterable[str], scripts: Iterable[Path]) -> Path:
    """A folder in the user's cache with Node, `packages` and a copy of `scripts`.

    Node looks for packages beside the script, so the scripts are copied to where npm puts them.
    """
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / name
    place.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--prefix", str(place), "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([*command, *sorted({_NODE, *packages})], check=True, stdout=subprocess.DEVNULL)
    for script in scripts:
        shutil.copy(script, place)
    return place
