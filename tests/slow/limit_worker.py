"""A worker process for tests of limits on a shared table: makes concurrent requests and prints the results.

    python -m tests.slow.limit_worker ENDPOINT TABLE REQUESTS NUMBER

It prints a line when it is ready, starts when it reads a line, and prints its records as JSON: tokens and micros
of each admitted request. Its clock does not advance, so that all requests are in one minute.
"""

import asyncio
import json
import sys

from claudexia.access.limiter import Limiter, TableFailurePolicy
from claudexia.access.limits import Limits
from claudexia.errors import APIError
from tests.helpers.tables import Clock, table_at

LIMITS = Limits(
    requests_per_minute=100,
    tokens_per_minute=10_000_000,
    concurrent_streams=1000,
    usd_per_day_micros=10_000_000,
    usd_per_month_micros=10_000_000,
)


def fail(kind: str) -> None:
    raise AssertionError(kind)


async def admit_and_settle(limiter: Limiter, number: int) -> tuple[int, int] | None:
    try:
        admission = await limiter.admit("shared", LIMITS, tokens=500, micros=5000, streamed=True)
    except APIError as error:
        if error.code != "rate_limit_exceeded":
            raise
        return None
    record = 7 * number % 1000, 101 * number % 10_000  # below and above the reservation
    await admission.settle(*record)
    return record


async def main(endpoint: str, name: str, requests: int, number: int) -> None:
    clock = Clock()
    policy = TableFailurePolicy("closed", fail, timeout=120)
    limiter = Limiter(table_at(endpoint, clock, name=name), clock, policy)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    records = await asyncio.gather(
        *(admit_and_settle(limiter, number * requests + each) for each in range(requests))
    )
    json.dump([record for record in records if record is not None], sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
