"""usage_page(): a month of usage as one HTML page with charts. It has no script and loads nothing."""

from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from math import ceil, floor, log10

from claudexia.access.ledger import DayUsage, Totals, totals
from claudexia.access.limits import MICROS
from claudexia.models import KNOWN, undated

# A chart in user units; it scales with the window.
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 720, 240, 64, 12, 24
_MAX_SERIES = 7  # the rest is summed up as "others", so that every color differs from its neighbors
_OTHERS = "others"

# Okabe and Ito's colors, which people with any color vision can tell apart: https://jfly.uni-koeln.de/color/
_STYLE = """
:root {
  color-scheme: light dark;
  --page: #faf9f5; --card: #fff; --text: #21201c; --muted: #66635b; --line: #dcd8cc;
}
@media (prefers-color-scheme: dark) {
  :root { --page: #1c1b19; --card: #262521; --text: #f1efe8; --muted: #b0aca1; --line: #3d3b35; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem; }
h1 { font-size: 1.35rem; margin: 0 0 1rem; }
h2 { font-size: 1rem; margin: 0 0 .5rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
section { padding: 1rem; margin: 1rem 0; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .75rem; margin: 0; }
dt, .note, .legend, text { color: var(--muted); font-size: .85rem; }
dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; display: block; overflow: visible; }
text { fill: var(--muted); font-size: 11px; }
@media (max-width: 40rem) { text { font-size: 22px; } } /* the chart is drawn at less than half its size */
line { stroke: var(--line); }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: .5rem 0 0; padding: 0; list-style: none; }
.legend svg { width: .8rem; height: .8rem; display: inline-block; margin-right: .35rem; }
.s0 { fill: #0072b2; } .s1 { fill: #e69f00; } .s2 { fill: #009e73; } .s3 { fill: #cc79a7; }
.s4 { fill: #56b4e9; } .s5 { fill: #d55e00; } .s6 { fill: #f0e442; } .s7 { fill: #8f8a7d; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
tr:last-child td { font-weight: 600; }
"""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True, slots=True)
class _Chart:
    """Stacked bars: `values[series][day - 1]`. `show` formats a value."""

    title: str
    values: Mapping[str, Sequence[float]]
    show: Callable[[float], str]


def assumed_prices_note(days: Sequence[DayUsage]) -> str:
    """A sentence about the used models whose standard prices are those of another one; "" if there are none."""
    used = sorted({day.model for day in days if day.totals.cost_micros})
    known = [(name, KNOWN[undated(name)].assumed_prices_of) for name in used if undated(name) in KNOWN]
    assumed = [f"of {source} for {name}" for name, source in known if source]
    if not assumed:
        return ""
    return (
        f"No source states some prices: unless PRICES sets them, the cost assumes those {', '.join(assumed)}."
    )


def usage_page(month: str, days: Sequence[DayUsage], table: Sequence[Sequence[str]]) -> str:
    """The page for `month`, like "2026-11". The first row of `table` is its header, the last one the total."""
    total = totals(days)
    charts = [chart for chart in _charts(month, days) if any(map(any, chart.values.values()))]
    unpriced = sorted({day.model for day in days if day.totals.unpriced})
    note = (
        f"<p class=note>The cost excludes {total.unpriced:,} requests without a price: "
        f"{escape(', '.join(unpriced))}.</p>"
        if unpriced
        else ""
    )
    if assumed := assumed_prices_note(days):
        note += f"<p class=note>{escape(assumed)}</p>"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="content-security-policy" content="{_POLICY}">
<title>Usage in {month}</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>Usage in {month}, in UTC</h1>
<section aria-label="Totals"><dl>{_figures(total)}</dl>{note}</section>
{"".join(map(_chart, charts))}
<section><h2>By key and model</h2><div class="scroll">{_table(table)}</div></section>
</main>
</body>
</html>
"""


def _figures(total: Totals) -> str:
    figures = {
        "Cost": _dollars(total.cost_micros / MICROS),
        "Requests": f"{total.requests:,}",
        "Errors": f"{total.errors:,}",
        "Tokens": _compact(total.tokens),
        "From the cache": _compact(total.cached_tokens),
    }
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures.items())


def _charts(month: str, days: Sequence[DayUsage]) -> Iterable[_Chart]:
    names = {day.key_id: day.key_name for day in days}
    shared = {name for name in names.values() if list(names.values()).count(name) > 1}

    def key_of(day: DayUsage) -> str:
        name = names[day.key_id]
        return f"{name} ({day.key_id})" if name in shared else name

    def dollars_of(day: DayUsage) -> float:
        return day.totals.cost_micros / MICROS

    def count_of(name: str) -> Callable[[DayUsage], float]:
        return lambda day: float(getattr(day.totals, name))

    kinds = {
        "input": "input_tokens",
        "cache reads": "cached_tokens",
        "cache writes": "cache_write_tokens",
        "output": "output_tokens",
    }
    dates = _dates(month)
    yield _Chart("Cost per day, by key", _grouped(days, dates, key_of, dollars_of), _dollars)
    yield _Chart("Cost per day, by model", _grouped(days, dates, lambda day: day.model, dollars_of), _dollars)
    tokens = {
        kind: _per_day(days, dates, count_of(name))
        for kind, name in kinds.items()
        if any(map(count_of(name), days))
    }
    yield _Chart("Tokens per day", tokens, _compact)
    requests = _per_day(days, dates, lambda day: day.totals.requests - day.totals.errors)
    errors = _per_day(days, dates, count_of("errors"))
    yield _Chart("Requests per day", {"successful": requests, "failed": errors}, _compact)
    if any(errors):
        yield _Chart(
            "Failed requests per day, by key", _grouped(days, dates, key_of, count_of("errors")), _compact
        )


def _dates(month: str) -> Sequence[date]:
    year, number = map(int, month.split("-"))
    return [date(year, number, day) for day in range(1, monthrange(year, number)[1] + 1)]


def _per_day(
    days: Iterable[DayUsage], dates: Sequence[date], value_of: Callable[[DayUsage], float]
) -> Sequence[float]:
    sums = dict.fromkeys(dates, 0.0)
    for day in days:
        sums[day.day] += value_of(day)
    return list(sums.values())


def _grouped(
    days: Sequence[DayUsage],
    dates: Sequence[date],
    series_of: Callable[[DayUsage], str],
    value_of: Callable[[DayUsage], float],
) -> Mapping[str, Sequence[float]]:
    """The series with the largest sums first; those after the first _MAX_SERIES as one."""
    groups: dict[str, list[DayUsage]] = {}
    for day in days:
        groups.setdefault(series_of(day), []).append(day)
    ranked = sorted(groups, key=lambda name: -sum(map(value_of, groups[name])))
    series = {name: groups[name] for name in ranked[:_MAX_SERIES]}
    if rest := [day for name in ranked[_MAX_SERIES:] for day in groups[name]]:
        series[_OTHERS] = rest
    return {name: _per_day(group, dates, value_of) for name, group in series.items()}


def _chart(chart: _Chart) -> str:
    columns = list(zip(*chart.values.values(), strict=True))
    top, step = _scale(max(map(sum, columns)))
    plot_height = _HEIGHT - _TOP - _BOTTOM
    width = (_WIDTH - _LEFT) / len(columns)

    def y(value: float) -> float:
        return _TOP + plot_height * (1 - value / top)

    marks: list[str] = []
    for tick in range(round(top / step) + 1):
        value = tick * step
        marks.append(f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        marks.append(
            f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{chart.show(value)}</text>'
        )
    for number, column in enumerate(columns, start=1):
        x = _LEFT + (number - 1) * width
        if number % 2:
            marks.append(
                f'<text x="{x + width / 2:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{number}</text>'
            )
        below = 0.0
        for color, (name, value) in enumerate(zip(chart.values, column, strict=True)):
            if value:
                marks.append(
                    f'<rect class="s{color}" x="{x + 2:.1f}" width="{width - 4:.1f}" '
                    f'y="{y(below + value):.1f}" height="{y(below) - y(below + value):.1f}">'
                    f"<title>Day {number}, {escape(name)}: {chart.show(value)}</title></rect>"
                )
            below += value
    sums = [f"{name} {chart.show(sum(values))}" for name, values in chart.values.items()]
    legend = "".join(
        f'<li><svg viewBox="0 0 1 1" aria-hidden="true"><rect class="s{color}" width="1" height="1"/></svg>'
        f"{escape(text)}</li>"
        for color, text in enumerate(sums)
    )
    label = escape(f"{chart.title}: {', '.join(sums)}")
    return (
        f"<section><h2>{chart.title}</h2>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(marks)}</svg>'
        f'<ul class="legend">{legend}</ul></section>\n'
    )


def _scale(largest: float) -> tuple[float, float]:
    """The top of an axis, and the step between its at most six ticks: 1, 2 or 5 times a power of ten."""
    exponent = floor(log10(largest / 5))
    step = next(factor * 10.0**exponent for factor in (1, 2, 5, 10) if factor * 10.0**exponent >= largest / 5)
    return ceil(largest / step) * step, step


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    header = "".join(f"<th scope=col>{escape(cell)}</th>" for cell in head)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in body)
    return f"<table><thead><tr>{header}</tr></thead><tbody>{lines}</tbody></table>"


def _dollars(value: float) -> str:
    return (
        f"${value:,.2f}" if value >= 1 or not value else f"${value:.2g}" if value >= 0.0001 else f"${value:.6f}"
    )


def _compact(value: float) -> str:
    for size, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:g}"
