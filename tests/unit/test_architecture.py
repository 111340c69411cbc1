"""The architecture: imports between rooms point down, each layer's foreign imports, docstrings."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HANDLER = ROOT / "handler"
SOURCES = sorted((HANDLER / "claudexia").rglob("*.py"))

# The rooms of the deployed package from top to bottom. A room imports only from levels below its own. A room of
# `translate` is a module or package in it, `translate` itself is its __init__, "" the __init__ of claudexia.
LEVELS = (
    {"main", "runtime"},
    {"app"},
    {"api"},
    {"generation"},
    {"upstream"},
    {"access"},
    {"observability"},
    {"storage"},
    {"aws"},
    {"translate"},
    {"translate.request", "translate.response"},
    {"translate.schema"},
    {"translate.report", "translate.sse", "translate.encrypted_content", "translate.tokens"},
    {"translate.types"},
    {"settings"},
    {"models"},
    {"errors"},
    {"json_text"},
    {""},
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(HANDLER).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in SOURCES}


def room(module: str) -> str:
    parts = module.split(".")[1:]
    return ".".join(parts[: 2 if parts[:1] == ["translate"] else 1])


def imported(source: str) -> Iterator[str]:
    """The modules of claudexia that `source` imports, also in functions and for type checkers only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide the room"
            members = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else str(node.module) for name in members]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == "claudexia")


def upward(module: str, source: str) -> list[str]:
    """The rooms that `module` imports although they are not below its own."""
    own = room(module)
    others = {room(name) for name in imported(source)} - {own}
    return sorted(other for other in others if LEVEL[other] <= LEVEL[own])


def test_every_room_has_a_level() -> None:
    assert {room(module) for module in MODULES} == LEVEL.keys()


@pytest.mark.parametrize("module", MODULES)
def test_imports_between_rooms_point_down(module: str) -> None:
    assert upward(module, MODULES[module].read_text()) == []


UPWARD = [
    ("claudexia.errors", "from claudexia.models import find_model", ["models"]),
    ("claudexia.models", "import claudexia.settings", ["settings"]),
    ("claudexia.settings", "from claudexia import app", ["app"]),
    ("claudexia.access.keys", "def f():\n    from claudexia.api.middleware import render", ["api"]),
    ("claudexia.translate.types.base", "from claudexia.translate import report", ["translate.report"]),
    ("claudexia.translate.response.stream", "from claudexia.translate.request.tools import x", ["translate.request"]),
    ("claudexia.translate.request.build", "from claudexia.translate.request.tools import x", []),
    ("claudexia.app", "from claudexia import __version__", []),
]  # fmt: skip


@pytest.mark.parametrize(("module", "source", "rooms"), UPWARD)
def test_an_upward_import_is_found(module: str, source: str, rooms: list[str]) -> None:
    assert upward(module, source) == rooms


# What a layer must not import, directly or indirectly; each is imported in a fresh interpreter.
WEB = {"fastapi", "starlette", "mangum", "uvicorn"}
VENDORS = {"openai", "anthropic", "boto3", "botocore", "moto"}
IO = {"httpx", "aws_lambda_powertools"}
LAYERS = [
    ("claudexia.aws.signing", WEB | VENDORS | IO | {"asyncio", "ssl"}),
    ("claudexia.translate", WEB | VENDORS | IO | {"asyncio", "ssl"}),
    ("claudexia.settings", WEB | VENDORS | IO),
    ("claudexia.access.stores", WEB | VENDORS | {"aws_lambda_powertools"}),
    ("claudexia.upstream.anthropic", WEB | VENDORS),
    ("claudexia.main", VENDORS | {"uvicorn", "claudexia_cli", "pydantic.v1"}),
]


@pytest.mark.parametrize(("module", "forbidden"), LAYERS, ids=[module for module, _ in LAYERS])
def test_foreign_imports_of_a_layer(module: str, forbidden: set[str]) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert sorted(forbidden & set(done.stdout.split())) == []


FEW_NEED = [
    "claudexia.translate.schema.adapter",
    "claudexia.translate.request.responses",
    "claudexia.translate.types.response_params",
    "claudexia.api.openapi",
    "claudexia.api.text_completions",
    "claudexia.api.responses",
    "claudexia.api.messages",
    "claudexia.api.models",
]


@pytest.mark.parametrize("module", FEW_NEED)
def test_a_cold_start_does_not_import_what_few_requests_need(module: str) -> None:
    script = "import sys, claudexia.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert module not in done.stdout.split()


def test_translate_has_no_clock_and_no_environment() -> None:
    for path in (HANDLER / "claudexia" / "translate").rglob("*.py"):
        foreign = set(re.findall(r"^(?:import|from) (\w+)", path.read_text(), re.MULTILINE))
        assert not foreign & {"os", "time", "random", "uuid", "secrets"}, path.name


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_docstring(module: str) -> None:
    docstring = ast.get_docstring(ast.parse(MODULES[module].read_text()))
    assert re.search(r"\w", docstring or "")
