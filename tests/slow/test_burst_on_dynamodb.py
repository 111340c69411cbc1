"""200 requests at once overrun a limit by no more than one request, with gateway and table over real sockets."""

from claudexia.access.limits import Limits
from tests.fakes.dynamodb import dynamo, table_at
from tests.helpers.deployment import Deployment
from tests.helpers.serving import Upstream, gateway
from tests.helpers.tables import Clock, FaultyTable
from tests.helpers.waiting import PATIENCE
from tests.integration.test_limits_hold import answer_of, assert_burst_holds, bursts


@bursts
def test_200_at_once(limits: Limits, most: tuple[int, int]) -> None:
    clock, upstream = Clock(), Upstream(answer_of(64_000))
    with dynamo() as (_, table_url):
        table = table_at(table_url, clock, PATIENCE)
        with gateway(upstream, table=table, now=clock, api_keys={}, limits_on_failure="closed") as url:
            kept = table_at(table_url, clock, PATIENCE)
            assert_burst_holds(Deployment(url, clock, FaultyTable(kept), kept), limits, most)
