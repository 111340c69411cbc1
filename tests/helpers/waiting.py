"""How tests wait: for events, with a timeout that even a slow machine does not reach. No time is measured."""

import asyncio

# Timeout in seconds for an event that is expected.
PATIENCE = 120


async def turns(count: int = 500) -> None:
    """Lets the other tasks of this event loop run as far as they can.

    Data sent within this machine arrives a turn later, so that no duration has to be guessed.
    """
    for _ in range(count):
        await asyncio.sleep(0)
