"""The estimate of output tokens: it rises at once, falls slowly, and is at least 4096."""

import pytest

from claudexia.access.output_estimates import OutputEstimates

# Completed requests as (tokens, complete), and the estimate after them.
ANSWERS: list[tuple[str, list[tuple[int, bool]], int | None]] = [
    ("none", [], None),
    ("only cut off", [(9000, False)], None),
    ("short", [(10, True)], 4096),
    ("long", [(64_000, True)], 64_000),
    ("longer", [(10, True), (64_000, True)], 64_000),
    ("cut off but longer", [(10, True), (9000, False)], 9000),
    ("cut off and shorter", [(9000, True), (10, False)], 9000),
    ("one shorter", [(64_000, True), (0, True)], 56_000),
    ("many shorter", [(64_000, True), *[(10, True)] * 30], 4096),
]


@pytest.mark.parametrize(("answers", "estimate"), [pytest.param(*rest, id=name) for name, *rest in ANSWERS])
def test_estimate(answers: list[tuple[int, bool]], estimate: int | None) -> None:
    estimates = OutputEstimates()
    for tokens, complete in answers:
        estimates.add("key", "model", tokens, complete=complete)
    assert estimates.get("key", "model") == estimate
    assert estimates.get("key", "another") is None
    assert estimates.get("another", "model") is None


def test_number_of_stored_estimates_is_bounded() -> None:
    estimates = OutputEstimates()
    for number in range(10_001):
        estimates.add(str(number), "model", 5000, complete=True)
    assert (estimates.get("0", "model"), estimates.get("10000", "model")) == (None, 5000)
