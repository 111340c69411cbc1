"""Formats the figures as a text table."""

import statistics
from collections.abc import Iterable

from tests.benchmarks.cells import Pair

_WIDTHS = (64, 10, 14, 12, 13, 13)
_HEAD = ("difference", "ratio median", "ratio least")


def to_table(pairs: Iterable[Pair], title: str, gateway: str, baseline: str) -> str:
    """One line per row: medians over the passes, and the ratio's median and minimum, taken pass by pass.

    `gateway` and `baseline` are the titles of the two columns.
    """
    rows: dict[str, list[Pair]] = {}
    for pair in pairs:
        rows.setdefault(pair.row, []).append(pair)
    head = (title, gateway, baseline, *_HEAD)
    return "\n".join([_line(head), *(_line((name, *_figures(passes))) for name, passes in rows.items())])


def _figures(passes: list[Pair]) -> Iterable[str]:
    for values in (
        [p.gateway for p in passes],
        [p.baseline for p in passes],
        [p.gateway - p.baseline for p in passes],
    ):
        yield f"{statistics.median(values):,.2f}"
    ratios = [p.gateway / p.baseline for p in passes]
    yield f"{statistics.median(ratios):.2f}"
    yield f"{min(ratios):.2f}"


def _line(cells: Iterable[str]) -> str:
    name, *figures = (cell for cell in cells)
    return name.ljust(_WIDTHS[0]) + "".join(
        figure.rjust(width) for figure, width in zip(figures, _WIDTHS[1:], strict=True)
    )
