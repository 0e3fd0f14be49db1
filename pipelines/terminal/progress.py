"""Progress bars on stderr, and plain tables and figures on stdout, as all jobs show them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from .consoles import is_quiet


class SpeedColumn(ProgressColumn):
    """Units per second since the task began."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Returns the speed of a task as text."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} {self.unit}/s" if speed else "", style="cyan")


def progress(unit: str = "frames", quiet: bool = False) -> Progress:
    """A progress display for tasks counted in `unit`; it vanishes when done, and never shows where it is quiet."""
    return progress_of(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        SpeedColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        quiet=quiet,
    )


def progress_of(*columns: ProgressColumn, quiet: bool = False) -> Progress:
    """A progress display of other columns, which vanishes and is quiet as the usual one."""
    quiet = quiet or is_quiet()
    return Progress(*columns, console=Console(stderr=True, quiet=quiet), transient=True, disable=quiet)


def table(title: str, columns: list[str], rows: list[list[str]], caption: str | None = None) -> Table:
    """A table with its first column to the left and the others, numbers, to the right."""
    result = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for number, name in enumerate(columns):
        result.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        result.add_row(*row)
    return result


def number(value: float | None, digits: int = 3) -> str:
    """A figure for a table, a dash for what is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


def clock(seconds: float) -> str:
    """A time in a source: 0:01:23.4."""
    tenths = round(10 * seconds)
    return f"{timedelta(seconds=tenths // 10)}.{tenths % 10}"


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with its first column to the left and the others, numbers, to the right; aligned for the eye too."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (columns, *rows)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(columns))]
    rule = [":".ljust(widths[0], "-"), *(":".rjust(width, "-") for width in widths[1:])]
    return "\n".join(_line(row, widths) for row in (cells[0], rule, *cells[1:]))


def print_markdown(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()
) -> None:
    """Prints a title, a table and notes below it, unbroken whatever the width of the terminal."""
    parts = [f"**{title}**", markdown_table(columns, rows), *notes]
    Console(soft_wrap=True, markup=False, highlight=False, emoji=False).print("\n\n".join(parts) + "\n")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "| " + " | ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]) + " |"
