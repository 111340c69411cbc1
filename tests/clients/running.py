"""Runs a client's script in a separate environment, made by uv for Python and by npm for Node."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from tests.clients.matrix import CASES, CLIENTS, MODELS, SCRIPTS, Client, Outcome

_NODE = "node@22"  # required by openai 7 and ai 7
_SECONDS = 300
# A script must find its own packages, not the gateway's.
_EXCLUDED_VARIABLES = ("PYTHONPATH", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
# By default litellm downloads a price list at import.
_OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def outcome_of(client: Client, base_url: str, api_key: str) -> Outcome:
    """Runs the client's script with each model against `base_url`."""
    outcome = Outcome()
    for model in MODELS:
        request = {"BASE_URL": base_url, "API_KEY": api_key, "MODEL": model}
        record_run(outcome, model, _run(client, request))
    return outcome


def record_run(outcome: Outcome, model: str, process: subprocess.CompletedProcess[str]) -> None:
    """Adds the results of one run of a script; a case without a result has failed."""
    missing = list(CASES)
    for line in _lines(process.stdout):
        if "version" in line:
            outcome.version = str(line["version"])
            continue
        missing.remove(str(line["case"]))
        if not line["ok"]:
            outcome.failures[str(line["case"])].append(f"{model}: {line['detail']}")
    for case in missing:
        last = process.stderr.strip().splitlines()[-1:] or ["it wrote nothing"]
        outcome.failures[case].append(f"{model}: the script ended with {process.returncode}: {last[0]}")


def _lines(output: str) -> Iterator[dict[str, object]]:
    """The script's own lines of output; libraries may print others."""
    for line in output.splitlines():
        if line.startswith(('{"version":', '{"case":')):
            yield json.loads(line)


def _run(client: Client, request: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in _EXCLUDED_VARIABLES}
    command = _node(client) if client.script.endswith(".mjs") else _python(client)
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**environment, **_OFFLINE, **request},
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"it took more than {_SECONDS} s")


def _python(client: Client) -> list[str]:
    packages = [part for package in client.packages for part in ("--with", package)]
    script = str(SCRIPTS / client.script)
    return ["uv", "run", "--quiet", "--no-project", "--isolated", *packages, "python", script]


def _node(client: Client) -> list[str]:
    """Node searches packages next to the script, so the scripts are copied to npm's directory."""
    place = _node_packages()
    return [str(place / "node_modules" / ".bin" / "node"), str(place / client.script)]


@cache
def _node_packages() -> Path:
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "claudexia-clients"
    place.mkdir(parents=True, exist_ok=True)
    wanted = {_NODE, *(name for each in CLIENTS if each.script.endswith(".mjs") for name in each.packages)}
    command = ["npm", "install", "--prefix", str(place), "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([*command, *sorted(wanted)], check=True, stdout=subprocess.DEVNULL)
    for script in SCRIPTS.glob("*.mjs"):
        shutil.copy(script, place)
    return place
