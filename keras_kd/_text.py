"""Tables, sizes and durations as text."""

import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Wider than any line, so that nothing is wrapped.
_WIDTH = 100_000


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns an aligned Markdown table: words in the first column, numbers in the others.

    Args:
        header: The names of the columns.
        rows: The cells of each row.
    """
    table = Table(box=box.MARKDOWN)
    for place, name in enumerate(header):
        table.add_column(name, justify="right" if place else "left")
    # A bare bar would begin a new cell.
    head, rule, *body = _lines(table, ([cell.replace("|", "\\|") for cell in row] for row in rows))
    # Rich leaves the alignment out, which viewers of Markdown read off the colons.
    first, *others = re.findall(r"-+", rule)
    marks = [f":{first[3:]}", *(f"{each[3:]}:" for each in others)]
    return "\n".join([head, f"| {' | '.join(marks)} |", *body])


def pairs(rows: Iterable[tuple[str, Any]], gap: int = 2, least: int = 0) -> str:
    """Returns names and values in two columns; a row without a value is left out.

    Args:
        rows: Names and values; `None` and `""` are left out.
        gap: Spaces between the columns.
        least: The least width of the names.
    """
    table = Table.grid(padding=(0, gap, 0, 0), pad_edge=False)
    table.add_column(min_width=least)
    table.add_column()
    return "\n".join(
        _lines(table, ((name, str(value)) for name, value in rows if value not in (None, "")))
    )


def _lines(table: Table, rows: Iterable[Sequence[str]]) -> list[str]:
    for row in rows:
        # Not plain strings, in which brackets would be rich's own markup.
        table.add_row(*(Text(cell, no_wrap=True) for cell in row))
    console = Console(file=io.StringIO(), width=_WIDTH, color_system=None, force_jupyter=False)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]


def bytes_in_words(count: float) -> str:
    """Returns a number of bytes in decimal units, e.g. `"4.3 kB"` (1 kB is 1000 bytes)."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        # What rounds up to 1000.0 of the smaller unit is shown in the larger.
        if count >= 0.99995 * factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count:.0f} B"


def duration_in_words(seconds: float) -> str:
    """Returns a duration in the unit that suits it, e.g. `"90 s"`, `"15 min"` or `"2.5 h"`."""
    minutes = seconds / 60
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def milliseconds_in_words(count: float) -> str:
    """Returns milliseconds with three digits that count, e.g. `"0.00233 ms"` or `"1,234 ms"`."""
    return f"{count:.3g} ms" if count < 999.5 else f"{count:,.0f} ms"
