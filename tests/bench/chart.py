"""The chart for the documents: one bar for each goal, as far as it is met. Plain SVG, which needs no library."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from tests.bench.measure import Comparison
from tests.bench.report import number

WIDTH, LABELS, BAR, LINE, MARGIN = 960, 520, 260, 26, 46
MOST = 2.0
MET, MISSED, INK = "#2e7d4f", "#b3541e", "#333"


def achievement(comparison: Comparison) -> float:
    """How far a goal is reached: 1 is the goal, 2 is twice as good."""
    goal = comparison.goal
    assert goal is not None
    value = comparison.ratio if goal.of_ratio else comparison.figure
    if goal.at_least:
        return value / goal.limit
    return goal.limit / value if value > 0 else MOST  # nothing at all, as when no memory was taken


def chart(comparisons: Sequence[Comparison]) -> str:
    """The chart; comparisons without a goal are left out."""
    shown = [each for each in comparisons if each.goal is not None]
    height = MARGIN + LINE * len(shown) + 12
    goal_at = LABELS + BAR / MOST
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
            f'font-size="12" fill="{INK}">'
        ),
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{goal_at}" y="20" text-anchor="middle">goal</text>',
        f'<text x="{LABELS}" y="36" font-size="10">worse</text>',
        f'<text x="{LABELS + BAR}" y="36" text-anchor="end" font-size="10">twice as good, or better</text>',
    ]
    for index, each in enumerate(shown):
        parts += _bar(each, MARGIN + LINE * index)
    parts += [
        f'<line x1="{goal_at}" y1="26" x2="{goal_at}" y2="{height - 8}" stroke="{INK}" stroke-dasharray="4 3"/>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _bar(comparison: Comparison, top: float) -> list[str]:
    reached = achievement(comparison)
    length = max(2.0, min(reached, MOST) / MOST * BAR)
    figure = f"{number(comparison.figure)} {comparison.unit}, ratio {comparison.ratio:.2f}"
    color = MET if comparison.met else MISSED
    label = f"{comparison.row}  {comparison.what}"
    return [
        f'<text x="{LABELS - 8}" y="{top + 14}" text-anchor="end">{escape(label[:84])}</text>',
        f'<rect x="{LABELS}" y="{top + 3}" width="{length:.1f}" height="{LINE - 10}" fill="{color}"/>',
        f'<text x="{LABELS + BAR + 8}" y="{top + 14}">{escape(figure)}</text>',
    ]


def write_chart(path: Path, comparisons: Sequence[Comparison]) -> None:
    path.write_text(chart(comparisons), encoding="utf-8")
