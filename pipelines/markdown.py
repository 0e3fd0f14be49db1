"""Tables in Markdown: what a benchmark prints can be pasted into a document as it is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console


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
