"""The README is current: its table of fields, its Python example, its commands and variables."""

import re
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO

import pytest

from claudexia.settings import Settings
from tests.compatibility import README, with_table
from tests.helpers.serving import KEY, Upstream, gateway

TEXT = README.read_text("utf-8")


@pytest.fixture
def base_url() -> Iterator[str]:
    with gateway(Upstream()) as url:
        yield url


def test_the_table_is_current() -> None:
    assert with_table(TEXT) == TEXT, "run: uv run python -m tests.compatibility"


def test_the_readme_stays_short() -> None:
    assert len(TEXT.splitlines()) < 250


def test_the_python_example_runs(base_url: str) -> None:
    code = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)[0]
    code = code.replace("http://127.0.0.1:8000/v1", base_url).replace("sk_cdx_...", KEY)
    output = StringIO()
    names: dict[str, object] = {}
    with redirect_stdout(output):
        exec(code, names)  # noqa: S102 - the README's own lines
    assert output.getvalue() == "Hello there"
    names["client"].close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", re.findall(r"^\| `([A-Z_]+)` \|", TEXT, re.MULTILINE))
def test_every_variable_in_the_readme_is_read(name: str) -> None:
    assert name in (Settings.from_env.__doc__ or "")


def test_the_commands_in_the_readme_exist() -> None:
    scripts = tomllib.loads((README.parent / "pyproject.toml").read_text())["project"]["scripts"]
    assert "claudexia" in scripts
