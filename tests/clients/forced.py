"""Tool calls that clients force, repeated: `uv run python -m tests.clients --forced-tools --runs 20`.

The models refuse `tool_choice` any and tool, and the fake API answers in words unless its output is constrained. So
each call that a client gets was made by the gateway.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.clients.matrix import FORCED_MODELS, ForcedClient
from tests.clients.recording import Exchange, Recorder
from tests.clients.running import Ended, results_of, run_script
from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.serving import KEY, gateway

# The part of a request that shows what the client asked for.
_SHOWN = ("model", "stream", "tool_choice", "parallel_tool_calls")


@dataclass
class Forced:
    """The runs of each case of a client with a model, and those that failed with the reasons.

    `unforced` are the requests without a forced choice, as the client sent them. They belong to the cases in
    `client.unforced`, which no gateway can keep.
    """

    client: ForcedClient
    model: str
    runs: Counter[str] = field(default_factory=Counter)
    failures: dict[str, list[str]] = field(default_factory=dict)
    forced: int = 0
    unforced: list[dict[str, Any]] = field(default_factory=list)

    @property
    def broken(self) -> dict[str, list[str]]:
        """The failures that the gateway has to answer for."""
        return {case: found for case, found in self.failures.items() if case not in self.client.unforced}


def forced_results(client: ForcedClient, runs: int) -> Iterator[Forced]:
    """Runs the client's script with each model that refuses forced choices."""
    recorder = Recorder()
    with gateway(FakeAnthropic(), wrap=recorder.wrap) as base_url:
        for model in FORCED_MODELS:
            request = {"BASE_URL": base_url, "API_KEY": KEY, "MODEL": model, "RUNS": str(runs)}
            yield forced_result(
                client, model, run_script(client.client, request, client.script), recorder.taken()
            )


def forced_result(client: ForcedClient, model: str, ended: Ended, exchanges: list[Exchange]) -> Forced:
    """The results of one script. One that died, or skipped a run, is a failure named `script`."""
    result = Forced(client, model)
    for line in results_of(ended):
        if "case" not in line:
            continue
        case = str(line["case"])
        result.runs[case] += 1
        if not line["ok"]:
            result.failures.setdefault(case, []).append(str(line["detail"]))
    if (
        ended.returncode
        or set(result.runs) != {*client.cases, *client.unforced}
        or len(set(result.runs.values())) > 1
    ):
        reason = ended.stderr.strip().splitlines()[-1:] or ["not every case ran"]
        result.failures["script"] = [f"ended with {ended.returncode}: {reason[0]}"]
    for body in (exchange.body for exchange in exchanges):
        if body.get("tool_choice") in (None, "auto", "none"):
            result.unforced.append({key: body.get(key) for key in _SHOWN})
        else:
            result.forced += 1
    return result


def forced_report(result: Forced) -> str:
    """A line for the client and model, one per failure, and a request that did not force its tool."""
    runs = ", ".join(f"{case} {count}" for case, count in result.runs.items())
    lines = [f"{result.client.client.name} {result.model}: {runs}; forced requests: {result.forced}"]
    for case, found in result.failures.items():
        kind = "failed" if case in result.broken else "failed without a forced choice"
        lines += [f"  {case} {kind} {len(found)} times: {found[0][:300]}"]
    if result.unforced:
        lines.append(f"  {len(result.unforced)} without a forced choice, e.g. {json.dumps(result.unforced[0])}")
    return "".join(f"{line}\n" for line in lines)
