"""From process start to the first answer: `uv run --python 3.13 python -m tests.benchmarks.cold_start`.

Compares the built package under its own runtime, in AWS's emulator (AWS_LAMBDA_RIE is its path), with a FastAPI and
Mangum hello-world under AWS's stock client, in turns: one with bytecode, and one as SAM's pip builder ships it, which
is compiled at every cold start. The most expensive imports are listed below the table.
"""

import compileall
import importlib.util
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.fakes.runtime_api import rest_event
from tests.helpers.aws_emulator import emulator

_HANDLER_FOLDER = Path(__file__).parents[2] / "handler"
_RUNS = 15
_HEAVIEST = 12
_HELLO = """
from fastapi import FastAPI
from mangum import Mangum

app = FastAPI()

@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}

handler = Mangum(app, lifespan="off")
"""
_STOCK_CLIENT = ("awslambdaric", "simplejson", "snapshot_restore_py", "runtime_client")


@dataclass(frozen=True)
class Candidate:
    """A process that answers invocations."""

    name: str
    arguments: tuple[str, ...]
    handler: str
    paths: tuple[Path, ...]

    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, self.paths)),
            "_HANDLER": self.handler,
        }


def main() -> None:
    if f"{sys.version_info.major}.{sys.version_info.minor}" != "3.13":
        sys.exit("The package holds bytecode for Python 3.13: run this with `uv run --python 3.13`.")
    rie = os.environ.get("AWS_LAMBDA_RIE", "")
    if not rie:
        sys.exit("AWS_LAMBDA_RIE has to name AWS's emulator, which is a part of aws-sam-cli.")
    with tempfile.TemporaryDirectory() as scratch:
        package, hello = Path(scratch, "package"), Path(scratch, "hello")
        _build(package)
        _write_hello(hello)
        bare = Path(scratch, "bare")
        _install(bare)
        stock = ("-m", "awslambdaric", "hello.handler")
        gateway = Candidate("gateway", ("-m", "claudexia.runtime"), "claudexia.main.handler", (package,))
        compiled = Candidate("hello-world", stock, "hello.handler", (hello, package))
        plain = Candidate("hello-world, no bytecode", ("-B", *stock), "hello.handler", (hello, bare))
        taken = _measure([gateway, compiled, plain], rie)
        sys.stdout.write(_table(taken) + "\n\n" + _heaviest(gateway) + "\n")


def _build(package: Path) -> None:
    package.mkdir()
    environ = {**os.environ, "ARTIFACTS_DIR": str(package)}
    subprocess.run(["make", "--silent", "build-GatewayFunction"], cwd=_HANDLER_FOLDER, env=environ, check=True)  # noqa: S607


def _install(folder: Path) -> None:
    """Installs the dependencies without bytecode; in / as in the Makefile, so that the project's settings are not read."""
    command = ["uv", "--directory", "/", "pip", "install", "--quiet", "--python", sys.executable]
    requirements = str(_HANDLER_FOLDER / "requirements.txt")
    subprocess.run([*command, "--requirements", requirements, "--target", str(folder)], check=True)


def _write_hello(folder: Path) -> None:
    """The hello-world, and AWS's client with its bytecode, as in the managed runtime."""
    folder.mkdir()
    (folder / "hello.py").write_text(_HELLO)
    for name in _STOCK_CLIENT:
        spec = importlib.util.find_spec(name)
        if spec and spec.submodule_search_locations:
            shutil.copytree(spec.submodule_search_locations[0], folder / name)
        elif spec and spec.origin:
            shutil.copy(spec.origin, folder)
    compileall.compile_dir(folder, quiet=2)


def _measure(candidates: list[Candidate], rie: str) -> Mapping[str, list[float]]:
    """Wall-clock ms of each candidate, per run, without the first run."""
    taken: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    for run in range(_RUNS + 1):
        for candidate in candidates[:: -1 if run % 2 else 1]:
            figure = _start(candidate, rie)
            if run:
                taken[candidate.name].append(figure)
    return taken


def _start(candidate: Candidate, rie: str) -> float:
    """The emulator starts the process at the first invocation."""
    command = [sys.executable, "-S", *candidate.arguments]
    with emulator(rie, command, candidate.environ()) as url:
        began = time.perf_counter()
        answer = httpx.post(url, json=rest_event(path="/health"), timeout=30, trust_env=False)
        taken = time.perf_counter() - began
    if b"ok" not in answer.content:
        raise RuntimeError(f"{candidate.name} answered {answer.content!r}")
    return taken * 1000


def _table(taken: Mapping[str, list[float]]) -> str:
    """Medians and minima, and the gateway's ratio to each, calculated per run."""
    gateway = taken["gateway"]
    lines = ["first answer, wall ms        median   least   gateway's ratio"]
    for name, runs in taken.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(gateway, runs, strict=True))
        lines.append(f"{name:26}{statistics.median(runs):10.0f}{min(runs):8.0f}{ratio:18.2f}")
    return "\n".join(lines)


def _heaviest(candidate: Candidate) -> str:
    """The import time by top-level package."""
    command = [sys.executable, "-S", "-X", "importtime", "-c", "import claudexia.main"]
    done = subprocess.run(command, env=candidate.environ(), capture_output=True, text=True, check=True)
    own: dict[str, int] = {}
    for microseconds, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)", done.stderr):
        package = name.split(".")[0]
        own[package] = own.get(package, 0) + int(microseconds)
    heaviest = sorted(own.items(), key=lambda item: -item[1])[:_HEAVIEST]
    return "\n".join(["import, ms by package", *(f"{name:28}{us / 1000:8.1f}" for name, us in heaviest)])


if __name__ == "__main__":
    main()
