"""Where the time of an answer goes: stacked bars in SVG, with a dot for each answer."""

from collections.abc import Sequence
from html import escape
from typing import Final

from tests.benchmarks.voice.results import STAGES, Held, Row, rows

_WIDTH: Final = 860
_LEFT: Final = 120
_RIGHT: Final = 120
_BAR: Final = 26
_ROW: Final = 66
_TOP: Final = 62
_COLOURS: Final = dict(
    zip(STAGES, ("#94a3b8", "#2563eb", "#b45309", "#d97706", "#15803d"), strict=True)
)


def chart(held: Sequence[Held]) -> str:
    """A bar for each contender: the median of every part; below it the first sounds themselves."""
    found = rows(held)
    sounds = {
        row.contender: [
            answer.sound
            for one in held
            if one.contender == row.contender
            for answer in one.answers
            if answer.sound is not None and answer.turn.finished
        ]
        for row in found
    }
    longest = max((max(values, default=0.0) for values in sounds.values()), default=0.0) or 1.0
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    height = _TOP + _ROW * len(found) + 34
    body = [*_legend(), *_axis(longest, scale, height)]
    for index, row in enumerate(found):
        body += _bar(row, sounds[row.contender], _TOP + _ROW * index, scale)
    title = "From the last voiced sample to the first sound, in seconds"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
        f' font-family="sans-serif" font-size="12"><title>{title}</title>'
        f'<rect width="100%" height="100%" fill="white"/>'
        f'<text x="8" y="18" font-weight="bold">{title}</text>{"".join(body)}</svg>\n'
    )


def _legend() -> list[str]:
    drawn, left = [], 8
    for part in STAGES:
        drawn.append(f'<rect x="{left}" y="30" width="12" height="12" fill="{_COLOURS[part]}"/>')
        drawn.append(f'<text x="{left + 16}" y="40">{part}</text>')
        left += 34 + 7 * len(part)
    drawn.append(f'<text x="{left}" y="40">medians; a dot is one answer</text>')
    return drawn


def _axis(longest: float, scale: float, height: int) -> list[str]:
    """A line for each half second, or each fifth of what is shown where that is much."""
    drawn, step = [], max(0.5, round(longest / 10))
    for index in range(int(longest / step) + 1):
        x = _LEFT + index * step * scale
        drawn.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{height - 28}" stroke="#e2e8f0"/>'
            f'<text x="{x:.1f}" y="{height - 12}" text-anchor="middle">{index * step:g}</text>'
        )
    return drawn


def _bar(row: Row, sounds: Sequence[float], top: int, scale: float) -> list[str]:
    middle = top + _BAR / 2 + 4
    name = escape(row.contender)
    drawn = [f'<text x="{_LEFT - 8}" y="{middle}" text-anchor="end">{name}</text>']
    left = float(_LEFT)
    for part in STAGES:
        width = row.parts[part] * scale
        drawn.append(
            f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_BAR}"'
            f' fill="{_COLOURS[part]}"><title>{part} {row.parts[part]:.2f} s</title></rect>'
        )
        left += width
    drawn += [
        f'<circle cx="{_LEFT + sound * scale:.1f}" cy="{top + _BAR + 9}" r="3" fill="#0f172a"'
        f' fill-opacity="0.35"/>'
        for sound in sounds
    ]
    for line, words in enumerate((f"p50 {row.p50:.2f} s", f"p95 {row.p95:.2f} s")):
        below = top + 12 + 16 * line
        drawn.append(f'<text x="{_WIDTH - _RIGHT + 14}" y="{below}">{words}</text>')
    return drawn
