"""The option --slow, the marker `slow` for everything in tests/slow, and the fixtures of most tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import serving

SLOW = Path(__file__).parent / "slow"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slow", action="store_true", help="also run tests/slow: processes, package, emulators, load"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --slow, the slow tests run only if the command line names them."""
    for item in items:
        if SLOW in item.path.parents:
            item.add_marker(pytest.mark.slow)
    named = any(SLOW.name in Path(argument.partition("::")[0]).parts for argument in config.args)
    if config.getoption("slow") or named:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    items[:] = [item for item in items if not item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)


@pytest.fixture
def upstream() -> serving.Upstream:
    """The upstream with scripted replies; a short text by default."""
    return serving.Upstream()


@pytest.fixture
def gateway(upstream: serving.Upstream) -> Iterator[str]:
    """The base URL, with /v1, of a gateway in front of `upstream`, over real sockets."""
    with serving.gateway(upstream) as url:
        yield url
