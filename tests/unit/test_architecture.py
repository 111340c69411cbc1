"""The house rules that a machine can hold: imports point down, files and functions stay small, pins match."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
HANDLER = ROOT / "handler"
SOURCES = sorted((HANDLER / "claudexia").rglob("*.py"))

# What a layer must not pull in, each imported in a fresh interpreter.
WEB = {"fastapi", "starlette", "mangum", "uvicorn"}
VENDORS = {"openai", "anthropic", "boto3", "botocore.session", "moto"}
IO = {"httpx", "aws_lambda_powertools"}
LAYERS = [
    ("claudexia.translate", WEB | VENDORS | IO | {"asyncio", "ssl"}),
    ("claudexia.settings", WEB | VENDORS | IO),
    ("claudexia.access.stores", WEB | VENDORS | IO),
    ("claudexia.upstream.anthropic", WEB | VENDORS),
    ("claudexia.main", VENDORS | {"uvicorn", "claudexia_cli", "pydantic.v1"}),
]


@pytest.mark.parametrize(("module", "forbidden"), LAYERS, ids=[module for module, _ in LAYERS])
def test_imports_point_down(module: str, forbidden: set[str]) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert sorted(forbidden & set(done.stdout.split())) == []


def test_the_core_has_no_clock_and_no_environment() -> None:
    for path in (HANDLER / "claudexia" / "translate").glob("*.py"):
        imported = set(re.findall(r"^(?:import|from) (\w+)", path.read_text(), re.MULTILINE))
        assert not imported & {"os", "time", "random", "uuid", "secrets"}, path.name


@pytest.mark.parametrize("path", SOURCES, ids=[str(path.relative_to(HANDLER)) for path in SOURCES])
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a file's first line says what it is"
    assert len(text.splitlines()) <= 240
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            # create_app() is the list of routes, and a list may be as long as it has entries.
            assert length <= (60 if node.name == "create_app" else 42), node.name


def pins() -> dict[str, str]:
    lines = (HANDLER / "requirements.txt").read_text().splitlines()
    found = [re.match(r"([\w.-]+)==([\w.]+) \\$", line) for line in lines]
    return {match[1]: match[2] for match in found if match}


def closure(requirements: list[str], environment: dict[str, str]) -> set[str]:
    """The names of everything that `requirements` bring along on Lambda."""
    names: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name in names or (requirement.marker and not requirement.marker.evaluate(environment)):
            continue
        names.add(name)
        waiting += map(Requirement, metadata.requires(name) or [])
    return names


def test_the_pins_are_what_pyproject_asks_for() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pinned = pins()
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(pinned[requirement.name]), requirement
    on_lambda = {
        "python_version": "3.13",
        "python_full_version": "3.13.0",
        "sys_platform": "linux",
        "extra": "",
    }
    assert pinned.keys() == closure(asked, on_lambda)


def test_every_pin_has_hashes_and_no_registry_is_named() -> None:
    text = (HANDLER / "requirements.txt").read_text()
    assert text.count("==") == len(pins())
    assert len(re.findall(r"\\\n    --hash=sha256:[0-9a-f]{64}", text)) >= len(pins())
    assert not re.search(r"index|find-links|https?:", text)
