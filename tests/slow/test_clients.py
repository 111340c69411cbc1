"""The README's client matrix is current, the scripts compile, and a script that dies counts as failed."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.forced import forced_result
from tests.clients.matrix import (
    CASES,
    CLIENTS,
    FORCED_CLIENTS,
    HEAD,
    MODELS,
    README,
    RESPONSES,
    SCRIPTS,
    ForcedClient,
    Outcome,
    renewed_rows,
    row_of,
    rows_of,
    table,
    with_table,
)
from tests.clients.running import record_run

TEXT = README.read_text("utf-8")
FILES = sorted(path for path in SCRIPTS.iterdir() if path.suffix in (".py", ".mjs"))
ENTRIES = [path for path in FILES if "cases.run(" in path.read_text("utf-8")]


def test_the_readme_names_the_clients_and_the_cases() -> None:
    head, *rows = rows_of(TEXT)
    assert head == HEAD, "run: uv run python -m tests.clients --write"
    assert [row[0] for row in rows] == [client.name for client in CLIENTS]
    for _, version, passed in rows:
        assert re.match(r"\d+\.\d+", version)
        assert re.match(rf"all(, {RESPONSES})?( but .+)?$", passed)


def test_the_readme_names_the_models() -> None:
    section = TEXT.partition("## Tested clients")[2].partition("##")[0]
    assert [model for model in MODELS if f"`{model}`" not in section] == []


def test_every_script_has_its_client() -> None:
    assert {path.name for path in ENTRIES} == {client.script for client in CLIENTS}


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_every_script_compiles(path: Path) -> None:
    if path.suffix == ".py":
        compile(path.read_text("utf-8"), path, "exec")
        return
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    process = subprocess.run([node, "--check", path], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("path", ENTRIES, ids=[path.name for path in ENTRIES])
def test_every_script_runs_every_case(path: Path) -> None:
    arguments = path.read_text("utf-8").rpartition("cases.run(")[2]
    assert [word for word in re.findall(r"\w+", arguments) if word in CASES] == list(CASES)


def process_with_output(
    *lines: dict[str, object], stderr: str = "", code: int = 0
) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], code, "".join(f"{json.dumps(line)}\n" for line in lines), stderr)


PASSED: list[dict[str, object]] = [{"case": case, "ok": True, "detail": ""} for case in CASES]
RUNS = [
    pytest.param(process_with_output({"version": "1.2"}, *PASSED), {}, id="all-passed"),
    pytest.param(
        process_with_output(*PASSED[:-1], {"case": "error", "ok": False, "detail": "said no"}),
        {"error": "said no"},
        id="one-failed",
    ),
    pytest.param(
        process_with_output(*PASSED[:5], stderr="Traceback\nOSError: gone", code=1),
        {"error": "OSError: gone"},
        id="died-halfway",
    ),
    pytest.param(
        process_with_output(code=3), dict.fromkeys(CASES, "ended with 3: it wrote nothing"), id="never-started"
    ),
]


@pytest.mark.parametrize(("process", "failed"), RUNS)
def test_failures_of_a_run(process: subprocess.CompletedProcess[str], failed: dict[str, str]) -> None:
    outcome = Outcome()
    record_run(outcome, "a-model", process)
    failed_cases = {case: failures for case, failures in outcome.failures.items() if failures}
    assert failed_cases.keys() == failed.keys()
    for case, (failure,) in failed_cases.items():
        assert failure.startswith("a-model: ")
        assert failure.endswith(failed[case])


PASSES = [
    pytest.param(Outcome("1.2"), "all", id="all"),
    pytest.param(Outcome("1.2", responses=[]), f"all, {RESPONSES}", id="both-apis"),
    pytest.param(Outcome("1.2", responses=["text: no"]), f"all but {RESPONSES}", id="one-api"),
    pytest.param(
        Outcome("1.2", {**{case: [] for case in CASES}, "image": ["no"], "error": ["no"]}, []),
        f"all, {RESPONSES} but image, error",
        id="two-failed",
    ),
]


@pytest.mark.parametrize(("outcome", "passed"), PASSES)
def test_the_table_has_what_failed(outcome: Outcome, passed: str) -> None:
    rows = [row_of("x", outcome), row_of("y", Outcome("1.3")), row_of("z", outcome)]
    written = with_table("before\n<!-- clients: begin -->\n<!-- clients: end -->\nafter\n", table(rows))
    assert rows_of(written) == [HEAD, ["x", "1.2", passed], ["y", "1.3", "all"], ["z", "1.2", passed]]
    assert written.startswith("before\n")
    assert written.endswith("\nafter\n")


@pytest.mark.parametrize("number", range(1, 8))
def test_the_table_has_every_client(number: int) -> None:
    rows = [[f"client {index}", f"1.{index}", "all"] for index in range(number)]
    assert rows_of(with_table("<!-- clients: begin -->\n<!-- clients: end -->\n", table(rows))) == [HEAD, *rows]


@pytest.mark.parametrize("indexes", [[0], [2, 1], list(range(len(CLIENTS)))], ids=["one", "two", "all"])
def test_new_rows_replace_those_of_the_same_clients(indexes: list[int]) -> None:
    _, *before = rows_of(TEXT)
    rows = [[CLIENTS[index].name, "99.1", "all"] for index in indexes]
    replaced = {row[0]: row for row in rows}
    assert renewed_rows(TEXT, rows) == [replaced.get(row[0], row) for row in before]


FORCED = [pytest.param(forced, id=f"{forced.client.name}-{forced.script}") for forced in FORCED_CLIENTS]


@pytest.mark.parametrize("forced", FORCED)
def test_every_forced_script_runs_its_cases(forced: ForcedClient) -> None:
    arguments = (SCRIPTS / forced.script).read_text("utf-8").rpartition("cases.run")[2].partition("(")[2]
    assert sorted(re.findall(r"\w+", arguments)) == sorted((*forced.cases, *forced.unforced))


def ended_with(*lines: tuple[str, bool], code: int = 0) -> subprocess.CompletedProcess[str]:
    results: list[dict[str, object]] = [
        {"case": case, "ok": ok, "detail": "" if ok else "no call"} for case, ok in lines
    ]
    return process_with_output(*results, code=code)


BROKEN = [
    pytest.param(ended_with(("whole", True), ("streamed", True), ("auto", True)), [], id="none"),
    pytest.param(ended_with(("whole", True), ("streamed", True), ("auto", False)), [], id="not-forced"),
    pytest.param(ended_with(("whole", True), ("streamed", False), ("auto", True)), ["streamed"], id="forced"),
    pytest.param(ended_with(("whole", True), ("streamed", True)), ["script"], id="case-missing"),
    pytest.param(
        ended_with(("whole", True), ("whole", True), ("streamed", True), ("auto", True)),
        ["script"],
        id="run-missing",
    ),
    pytest.param(
        ended_with(("whole", True), ("streamed", True), ("auto", True), code=1), ["script"], id="died"
    ),
    pytest.param(ended_with(), ["script"], id="never-started"),
]


@pytest.mark.parametrize(("process", "broken"), BROKEN)
def test_failures_of_forced_calls(process: subprocess.CompletedProcess[str], broken: list[str]) -> None:
    client = ForcedClient(CLIENTS[0], "x.py", unforced=("auto",))
    assert list(forced_result(client, "a-model", process, []).broken) == broken
