"""Limiter: lets a request pass while its key keeps its limits: reserved on the way in, settled on the way out.

What a request costs on DynamoDB: nothing for a key without limits. With all five a streamed request makes
5 writes before the upstream is asked, 4 at its end, each time together, and 2 reads for its headers meanwhile.
That is about $5.88 per million requests, at $0.625 per million write units and $0.125 per million read units
(us-east-1, on demand). A limit of requests per minute alone is 1 write and 1 read, about $0.75. A refused
request gives back what it had taken, which writes as often as the settlement would have. An item grows by some
30 bytes with each request that is running; beyond 1 KB, every further one adds a write unit.

A request that is refused by one limit may keep another request out of a second one until it has given that
back. So where several limits are reached in the same moment, fewer may pass than could have, and never more.

Windows are named by the clock of the process that reserves. Where clocks differ, requests of the same moment
count into two windows, and neither is overrun.

Source: https://aws.amazon.com/dynamodb/pricing/on-demand/
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from claudexia.access.admission import Admission, Amounts, Background, Reservation, settle_each
from claudexia.access.limits import METERED, Limits
from claudexia.access.meters import Meter
from claudexia.access.table import Table, TableError
from claudexia.translate import APIError

_NOTHING: Amounts = {"requests": 0, "tokens": 0, "micros": 0, "streams": 0}


class Limiter:
    """`now` gives the time with its zone, `failed` is told the kind of a TableError.

    `on_failure` says what becomes of a request that cannot be counted: "open" lets it pass without the limits
    that failed, "closed" refuses it. `patience` is how many seconds it waits for the table. A reservation that
    nobody settles expires after `lasts` seconds, which have to be more than the longest answer takes.
    """

    def __init__(
        self,
        table: Table,
        now: Callable[[], datetime],
        on_failure: Literal["open", "closed"],
        failed: Callable[[str], None],
        *,
        patience: float = 1.0,
        lasts: int = 960,  # Lambda ends a function after 900
    ) -> None:
        self._table = table
        self._now = now
        self._on_failure = on_failure
        self._failed = failed
        self._patience = patience
        self._lasts = lasts
        self._background = Background()

    async def admit(
        self, key_id: str, limits: Limits, *, tokens: int, micros: int, streamed: bool
    ) -> Admission:
        """`tokens` and `micros` are the most that the request may need: its input and its max_tokens.

        Raises APIError: 429 over a limit, 503 where it cannot be counted and `on_failure` is "closed".
        """
        now = self._now()
        amounts: Amounts = {"requests": 1, "tokens": tokens, "micros": micros, "streams": 1}
        reservations = [
            Reservation(metered, meter, claim, now, self._background)
            for metered in METERED
            if (limit := metered.of(limits)) is not None and (streamed or metered.unit != "streams")
            for meter in [Meter(self._table, key_id, metered.meter, metered.period(now))]
            for claim in [metered.claim(amounts[metered.unit], limit, self._lasts)]
        ]
        if reservations:
            await self._wait_for(reservations, now)
        return Admission(reservations, self._background, self._now, self._failed, self._patience)

    async def settled(self) -> None:
        """Waits for the settlements under way, those of requests that were cancelled or refused too."""
        await self._background.done()

    async def _wait_for(self, reservations: Sequence[Reservation], now: datetime) -> None:
        try:
            _, late = await asyncio.wait([each.reserving for each in reservations], timeout=self._patience)
        except asyncio.CancelledError:
            self._give_back(reservations)
            raise
        kinds = [each.outcome.kind for each in reservations if isinstance(each.outcome, TableError)]
        for kind in dict.fromkeys(kinds):
            self._failed(kind)
        if error := self._refusal(reservations, now):
            given_back = self._give_back(reservations)
            if not late and "timeout" not in kinds:
                # Before it is told: the client may ask again at once, for less.
                await asyncio.shield(given_back)
            raise error

    def _give_back(self, reservations: Sequence[Reservation]) -> asyncio.Task[None]:
        return self._background.start(settle_each(reservations, _NOTHING, self._failed))

    def _refusal(self, reservations: Sequence[Reservation], now: datetime) -> APIError | None:
        for reservation in reservations:
            if error := reservation.refusal(now):
                return error
        failed = any(isinstance(reservation.outcome, TableError) for reservation in reservations)
        return _uncounted() if failed and self._on_failure == "closed" else None


def _uncounted() -> APIError:
    return APIError(
        503,
        "The gateway cannot count this API key's requests right now, and lets none pass that it cannot count. "
        "Try again; its operator finds why in its metrics.",
        type="service_unavailable_error",
        code="limits_unavailable",
        headers={"retry-after": "1"},
    )
