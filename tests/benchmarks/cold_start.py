"""From process start to the first answer: `uv run --python 3.13 python -m tests.benchmarks.cold_start`.

Compares the built package under its own runtime, in AWS's emulator (AWS_LAMBDA_RIE is its path), with a FastAPI and
Mangum hello-world under AWS's stock client, in turns: one with bytecode, and one as SAM's pip builder ships it, which
is compiled at every cold start. The gateway answers /health, and streams a completion for a key with five limits in a
table, with the upstream's key in a secret; table, secret and upstream are fakes without TLS that answer at once. All of
it at a full core, and at the share of one that a function with 512 MB has, if the machine has control groups for that.

Below: the package's size, the import's CPU time and, with valgrind, its instructions, and the most expensive imports.
"""

import argparse
import asyncio
import compileall
import importlib.util
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.benchmarks.access_servers import create_keys, open_table
from tests.benchmarks.cpu_share import NoControlGroupError, limited_to
from tests.benchmarks.fake_upstream import MODEL
from tests.benchmarks.processes import server
from tests.fakes.aws import REGION
from tests.fakes.runtime_api import rest_event
from tests.helpers.aws_emulator import emulator

_HANDLER_FOLDER = Path(__file__).parents[2] / "handler"
_RUNS = 15
_SHARE = 0.3  # of a core: 512 MB of the 1,769 MB that have one
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
    """A process that answers invocations, its first event, and what its answer contains."""

    name: str
    arguments: tuple[str, ...]
    handler: str
    paths: tuple[Path, ...]
    more: Mapping[str, str] = field(default_factory=dict)
    event: Mapping[str, Any] = field(default_factory=lambda: rest_event(path="/health"))
    answer: bytes = b"ok"

    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, self.paths)),
            "_HANDLER": self.handler,
            **self.more,
        }


def main() -> None:
    if f"{sys.version_info.major}.{sys.version_info.minor}" != "3.13":
        sys.exit("The package holds bytecode for Python 3.13: run this with `uv run --python 3.13`.")
    rie = os.environ.get("AWS_LAMBDA_RIE", "")
    if not rie:
        sys.exit("AWS_LAMBDA_RIE has to name AWS's emulator, which is a part of aws-sam-cli.")
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cold_start", description=__doc__)
    parser.add_argument("--runs", type=int, default=_RUNS, help="how often (default: %(default)s)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as scratch, _completing() as (environ, event):
        package, hello, bare = (Path(scratch, name) for name in ("package", "hello", "bare"))
        _build(package)
        _write_hello(hello)
        _install(bare)
        stock = ("-m", "awslambdaric", "hello.handler")
        runtime, handler = ("-m", "claudexia.runtime"), "claudexia.main.handler"
        compiled = Candidate("hello-world", stock, "hello.handler", (hello, package))
        plain = Candidate("hello-world, no bytecode", ("-B", *stock), "hello.handler", (hello, bare))
        gateway = Candidate("gateway, /health", runtime, handler, (package,))
        completing = Candidate("gateway, completion", runtime, handler, (package,), environ, event, b"[DONE]")
        candidates = [compiled, plain, gateway, completing]
        _print(_table(_measure(candidates, rie, runs), "first answer, wall ms"))
        try:
            with limited_to(_SHARE) as limit:
                _print(_table(_measure(candidates, rie, runs, limit), f"at {_SHARE} of a core"))
        except NoControlGroupError as error:
            _print(f"not measured at {_SHARE} of a core: {error}")
        _print(_size(package))
        _print(_table(_measure_import([compiled, gateway], runs), "import, CPU ms"))
        _print(_instructions([compiled, gateway]))
        _print(_heaviest(gateway))


def _print(text: str) -> None:
    sys.stdout.write(text + "\n\n")
    sys.stdout.flush()


@contextmanager
def _completing() -> Iterator[tuple[Mapping[str, str], Mapping[str, Any]]]:
    """The environment of a gateway with all of its data elsewhere, and the event of a completion for it."""
    with server("fake_upstream", None) as upstream, server("fake_table", None, "0") as table:
        secrets = asyncio.run(create_keys(open_table(table.url)))
        environ = {
            "ANTHROPIC_API_KEY_SECRET": "upstream",
            "ANTHROPIC_BASE_URL": upstream.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_ENDPOINT_URL": table.url,
            "AWS_REGION": REGION,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "CLAUDEXIA_TABLE": "benchmark",
            "LIMITS_ON_FAILURE": "closed",
        }
        body = {
            "model": MODEL,
            "stream": True,
            "messages": [{"role": "user", "content": "Tell it in 3 deltas."}],
        }
        headers = {"authorization": f"Bearer {secrets['five limits']}", "content-type": "application/json"}
        yield environ, rest_event("POST", "/v1/chat/completions", headers=headers, body=json.dumps(body))


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


def _measure(
    candidates: Sequence[Candidate], rie: str, runs: int, limit: Callable[[int], None] | None = None
) -> Mapping[str, list[float]]:
    """Wall-clock ms of each candidate."""
    return _in_turns(candidates, runs, lambda candidate: _start(candidate, rie, limit))


def _in_turns(
    candidates: Sequence[Candidate], runs: int, measure: Callable[[Candidate], float]
) -> Mapping[str, list[float]]:
    """The figures of each candidate, per run, without the first run."""
    taken: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    for run in range(runs + 1):
        for candidate in candidates[:: -1 if run % 2 else 1]:
            figure = measure(candidate)
            if run:
                taken[candidate.name].append(figure)
    return taken


def _start(candidate: Candidate, rie: str, limit: Callable[[int], None] | None) -> float:
    """The emulator starts the process at the first invocation."""
    command = [sys.executable, "-S", *candidate.arguments]
    with emulator(rie, command, candidate.environ(), limit) as url:
        began = time.perf_counter()
        answer = httpx.post(url, json=candidate.event, timeout=60, trust_env=False)
        taken = time.perf_counter() - began
    if candidate.answer not in answer.content:
        raise RuntimeError(f"{candidate.name} answered {answer.content!r}")
    return taken * 1000


def _table(taken: Mapping[str, list[float]], title: str) -> str:
    """Medians and minima, and the ratio to the first candidate, calculated per run."""
    baseline, *_ = taken.values()
    lines = [f"{title:28}{'median':>8}{'least':>8}{'ratio to the first':>22}"]
    for name, runs in taken.items():
        ratio = statistics.median(own / first for own, first in zip(runs, baseline, strict=True))
        lines.append(f"{name:28}{statistics.median(runs):8.0f}{min(runs):8.0f}{ratio:22.2f}")
    return "\n".join(lines)


def _size(package: Path) -> str:
    files = [path for path in package.rglob("*") if path.is_file()]
    archive = package.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for path in files:
            out.write(path, path.relative_to(package))
    unzipped = sum(path.stat().st_size for path in files)
    return (
        f"package: {unzipped / 1e6:.1f} MB in {len(files)} files, zipped {archive.stat().st_size / 1e6:.1f} MB"
    )


def _import_of(candidate: Candidate) -> tuple[str, ...]:
    """The command does not include the end of the interpreter, which is a twentieth of it."""
    code = f"import os, {candidate.handler.rpartition('.')[0]}; os._exit(0)"
    return (sys.executable, "-S", "-c", code)


def _measure_import(candidates: Sequence[Candidate], runs: int) -> Mapping[str, list[float]]:
    def measure(candidate: Candidate) -> float:
        command = _import_of(candidate)
        _, status, usage = os.wait4(os.posix_spawn(command[0], command, candidate.environ()), 0)
        if status:
            raise RuntimeError(f"{command} failed")
        return (usage.ru_utime + usage.ru_stime) * 1000

    return _in_turns(candidates, runs, measure)


def _instructions(candidates: Sequence[Candidate]) -> str:
    """Does not depend on what else the machine does."""
    valgrind = shutil.which("valgrind")
    if not valgrind:
        return "instructions of the import: not counted without valgrind"
    counts = []
    for candidate in candidates:
        tool = (valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
        environ = {**candidate.environ(), "PYTHONHASHSEED": "0"}
        done = subprocess.run(
            [*tool, *_import_of(candidate)], env=environ, capture_output=True, text=True, check=True
        )
        found = re.search(r"I +refs: +([\d,]+)", done.stderr)
        counts.append(int(found[1].replace(",", "")) if found else 0)
    lines = [
        f"{candidate.name:28}{count / 1e6:8.0f}{count / counts[0]:30.2f}"
        for candidate, count in zip(candidates, counts, strict=True)
    ]
    return "\n".join(["import, million instructions", *lines])


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
