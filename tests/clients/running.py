"""Runs a client's script in a separate environment, made by uv for Python and by npm for Node."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from tests.clients.matrix import CASES, CLIENTS, MODELS, SCRIPTS, Client, Outcome

_NODE = "node@22"  # required by openai 7 and ai 7
_SECONDS = 600
Ended = subprocess.CompletedProcess[str]
# A script must find its own packages, not the gateway's.
_EXCLUDED_VARIABLES = ("PYTHONPATH", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
# By default litellm downloads a price list at import.
_OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def outcome_of(client: Client, base_url: str, api_key: str) -> Outcome:
    """Runs the client's script with each model against `base_url`."""
    outcome = Outcome()
    for model in MODELS:
        request = {"BASE_URL": base_url, "API_KEY": api_key, "MODEL": model}
        record_run(outcome, model, run_script(client, request))
        if client.responses:
            again = Outcome()
            record_run(again, model, run_script(client, {**request, "API": "responses"}))
            failures = [f"{case}: {failure}" for case, failed in again.failures.items() for failure in failed]
            outcome.responses = [*(outcome.responses or ()), *failures]
    return outcome


def record_run(outcome: Outcome, model: str, process: Ended) -> None:
    """Adds the results of one run of a script; a case without a result has failed."""
    missing = list(CASES)
    for line in results_of(process):
        if "version" in line:
            outcome.version = str(line["version"])
            continue
        missing.remove(str(line["case"]))
        if not line["ok"]:
            outcome.failures[str(line["case"])].append(f"{model}: {line['detail']}")
    for case in missing:
        last = process.stderr.strip().splitlines()[-1:] or ["it wrote nothing"]
        outcome.failures[case].append(f"{model}: the script ended with {process.returncode}: {last[0]}")


def results_of(process: Ended) -> Iterator[dict[str, object]]:
    """The script's own lines of output; libraries may print others."""
    for line in process.stdout.splitlines():
        if line.startswith(('{"version":', '{"case":')):
            yield json.loads(line)


def run_script(client: Client, request: Mapping[str, str], script: str = "") -> Ended:
    """Runs the client's script, or `script` with the client's packages."""
    script = script or client.script
    environment = {name: value for name, value in os.environ.items() if name not in _EXCLUDED_VARIABLES}
    command = _node(script) if script.endswith(".mjs") else python_command(SCRIPTS / script, client.packages)
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


def install(client: Client) -> None:
    """Installs what the client's scripts need. Raises OSError or subprocess.CalledProcessError if that fails."""
    if client.script.endswith(".mjs"):
        _node_packages()
    else:
        command = python_command(Path("-c"), client.packages)
        subprocess.run([*command, "pass"], check=True, capture_output=True, text=True)


def _node(script: str) -> list[str]:
    place = _node_packages()
    return [str(place / "node_modules" / ".bin" / "node"), str(place / script)]


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
