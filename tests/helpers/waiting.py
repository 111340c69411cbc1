"""How tests wait: for an event, with a limit that no machine is too slow for. Nothing is measured."""

import asyncio

# Seconds to wait for an event that is certain to come.
PATIENCE = 120


async def turns(count: int = 500) -> None:
    """Lets everything else in this event loop go on as far as it can.

    Data sent within this machine is there a turn later, so that no time has to be guessed.
    """
    for _ in range(count):
        await asyncio.sleep(0)
