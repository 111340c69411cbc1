"""Tool calls that real clients force, once each; `python -m tests.clients --forced-tools` repeats them."""

import subprocess

import pytest

from tests.clients.forced import forced_results
from tests.clients.matrix import FORCED_CLIENTS, ForcedClient
from tests.clients.running import install

FORCED = [pytest.param(forced, id=forced.script) for forced in FORCED_CLIENTS]


@pytest.mark.parametrize("forced", FORCED)
def test_forced_calls_of_real_clients(forced: ForcedClient) -> None:
    """A run of each case, where the client can be installed. One without results is a failure named `script`."""
    try:
        install(forced.client)
    except OSError as error:
        pytest.skip(f"{forced.client.name} cannot be installed: {error}")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"{forced.client.name} cannot be installed: {error.stderr}")
    for result in forced_results(forced, 1):
        assert result.broken == {}
        assert result.forced
