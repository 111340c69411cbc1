"""OutputEstimates: how many output tokens an answer lately took, by key and model, in this process."""

from collections import OrderedDict

# Output tokens that an estimate has at least. Reserving less would admit too many requests at once.
MIN_ESTIMATE = 4096
# The part of the difference by which a shorter answer lowers an estimate: after 64,000 tokens, it takes some 20
# short answers to get back to the minimum.
_DECAY = 1 / 8
_MAX_ENTRIES = 10_000


class OutputEstimates:
    """A decaying maximum of the output tokens of one answer.

    A longer answer raises the estimate at once, a shorter one lowers it slowly. Thinking is output too.
    """

    def __init__(self) -> None:
        self._estimates: OrderedDict[tuple[str, str], float] = OrderedDict()

    def get(self, key_id: str, model: str) -> int | None:
        """At least MIN_ESTIMATE; None if no complete answer is known yet."""
        estimate = self._estimates.get((key_id, model))
        return None if estimate is None else max(MIN_ESTIMATE, round(estimate))

    def add(self, key_id: str, model: str, tokens: int, *, complete: bool) -> None:
        """Takes account of one answer of `tokens`.

        An answer that was cut off, or that the client limited, has `complete` False: it can only raise a known
        estimate.
        """
        entry = (key_id, model)
        known = self._estimates.get(entry)
        if known is None and not complete:
            return
        if known is None or tokens >= known:
            self._estimates[entry] = tokens
        elif complete:
            self._estimates[entry] = known - (known - tokens) * _DECAY
        self._estimates.move_to_end(entry)
        if len(self._estimates) > _MAX_ENTRIES:
            self._estimates.popitem(last=False)
