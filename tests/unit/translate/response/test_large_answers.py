"""The work for an answer is linear in its events, and that for an event in its size, however they are made.

Executed lines of Python and calls into C are counted, and the bytes that are copied. See tests/helpers/steps.py.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from claudexia.translate.response.accumulator import MessageAccumulator
from claudexia.translate.response.blocks import to_annotations
from claudexia.translate.types.anthropic import MessageStreamEvent
from tests.helpers.large_answers import ANSWERS, APIS, EVENTS, LargeAnswer, reader
from tests.helpers.recorded_answers import source
from tests.helpers.steps import count_copied, count_steps

SIZES = (100, 400)
# The cost per event may grow by this factor from size to size; quadratic work tends to a factor of four.
GROWTH = 1.2

Feed = Callable[[MessageStreamEvent], object]


def steps(feed: Feed, events: list[MessageStreamEvent]) -> int:
    return count_steps(lambda: [feed(event) for event in events])


def copied(feed: Feed, events: list[MessageStreamEvent]) -> int:
    return count_copied([partial(feed, event) for event in events])


@pytest.mark.parametrize("work", [steps, copied])
@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    "answer", [*ANSWERS.values(), *EVENTS.values()], ids=[*ANSWERS, *(f"one event: {name}" for name in EVENTS)]
)
def test_the_work_is_linear(
    answer: LargeAnswer, api: str, work: Callable[[Feed, list[MessageStreamEvent]], int]
) -> None:
    work(reader(api, answer), answer.events(10))  # so that lazy imports are not counted
    few, many = (work(reader(api, answer), answer.events(size)) / size for size in SIZES)
    assert many < GROWTH * few


class ComparedText(str):
    """Counts the comparisons of its instances."""

    comparisons = 0
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        ComparedText.comparisons += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_citations_are_not_compared_with_each_other() -> None:
    citations: Any = [source(ComparedText(f"u{number}")) for number in range(100)]
    assert len(to_annotations(citations, 0, 1)) == 100
    assert ComparedText.comparisons < 100


def test_deltas_of_two_types_in_turn_are_joined_once_for_each_type() -> None:
    """Not at each turn: that would copy what was joined before."""
    accumulator = MessageAccumulator()
    for event in ANSWERS["thinking and signature in turn"].events(100)[:-2]:
        accumulator.feed(event)
    assert [len(text.pieces) for text in accumulator._texts.values()] == [50, 50]
