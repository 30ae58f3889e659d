"""CPU of a relayed frame as bars, in SVG that a browser and a README show."""

from collections.abc import Sequence
from html import escape
from typing import Final

from tests.benchmarks.plan import CONTENDERS
from tests.benchmarks.report import Row

_WIDTH: Final = 760
_LEFT: Final = 160
_BAR: Final = 16
_GAP: Final = 34  # between scenarios, room for their heading
_COLOURS: Final = dict(
    zip(CONTENDERS, ("#c2410c", "#15803d", "#64748b", "#7c9cc4", "#b3a2c7"), strict=True)
)


def bars(rows: Sequence[Row]) -> str:
    """A group of bars for every scenario, one bar for every contender; longer is worse."""
    longest = max((row.microseconds for row in rows), default=1.0)
    parts, top = [], 10
    for scenario in dict.fromkeys(row.scenario for row in rows):
        top += _GAP
        parts.append(f'<text x="8" y="{top - 8}" font-weight="bold">{escape(str(scenario))}</text>')
        for row in (row for row in rows if row.scenario == scenario):
            parts += _bar(row, top, longest)
            top += _BAR + 3
    title = "CPU of one relayed frame, in microseconds"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top + 12}"'
        f' font-family="sans-serif" font-size="12"><title>{title}</title>'
        f'<rect width="100%" height="100%" fill="white"/>'
        f'<text x="8" y="18">{title}</text>{"".join(parts)}</svg>\n'
    )


def _bar(row: Row, top: int, longest: float) -> list[str]:
    width = row.microseconds / longest * (_WIDTH - _LEFT - 60)
    colour, middle = _COLOURS[row.contender], top + _BAR - 4
    return [
        f'<text x="{_LEFT - 6}" y="{middle}" text-anchor="end">{escape(row.contender)}</text>',
        f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>',
        f'<text x="{_LEFT + width + 5:.1f}" y="{middle}">{row.microseconds:.1f}</text>',
    ]
