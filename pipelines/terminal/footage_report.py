"""The report on recorded footage: what came in, what did not, and what is missing."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from rich.table import Table

from msflow_stream.config.fields import duration_text
from msflow_stream.video.coverage import BRIGHTNESS_BINS, DARK, Coverage
from msflow_stream.video.packets.footage import Footage, Segment

from .trend import size_text

MOST_GAPS = 3  # that are told one by one
BRIGHT = 144  # grey levels
CAUSES = {
    "camera": "the camera was lost",
    "black": "black",
    "frozen": "frozen",
    "disk": "the disk was full",
    "stopped": "not recording",
}


def footage_report(footage: Footage, folder: Path) -> Table:
    """Returns a table of what is in a folder."""
    table = Table(title=f"footage of {footage.name}, in {folder}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for row in _rows(footage):
        table.add_row(*row)
    return table


def _rows(footage: Footage) -> list[tuple[str, str]]:
    segments = footage.segments
    size = size_text(sum(segment.bytes for segment in segments))
    rows = [("length", f"{duration_text(footage.seconds)} in {_count(len(segments), 'file')}, {size}")]
    if segments and footage.end is not None:
        rows += [("recorded", f"{_moment(segments[0].start)} – {_moment(footage.end)}"), ("stream", _streams(segments))]
    rows.append(("gaps", _gaps(footage)))
    troubles = [f"{fault} {duration_text(seconds)}" for fault, seconds in footage.faults.items() if round(seconds)]
    rows.append(("troubles", ", ".join(troubles) or "none"))
    rows += _light_and_motion(footage.coverage)
    rows += [("missing" if number == 0 else "", text) for number, text in enumerate(footage.coverage.missing())]
    return rows


def _streams(segments: list[Segment]) -> str:
    """Every coding and size that came, in their order."""
    seen = dict[str, tuple[int, float]]()
    for one in segments:
        key = f"{one.codec} {one.size[0]}x{one.size[1]}"
        frames, seconds = seen.get(key, (0, 0.0))
        seen[key] = frames + one.frames - 1, seconds + one.seconds
    parts = [f"{key}, {frames / seconds:.1f} frames/s" if seconds else key for key, (frames, seconds) in seen.items()]
    return "; then ".join(parts)


def _gaps(footage: Footage) -> str:
    if not footage.gaps:
        return "none"
    total = duration_text(sum(gap.seconds for gap in footage.gaps))
    longest = sorted(footage.gaps, key=lambda gap: -gap.seconds)[:MOST_GAPS]
    told = [
        f"{_moment(gap.start)} {duration_text(gap.seconds)}: {CAUSES.get(gap.cause, gap.cause)}"
        for gap in sorted(longest, key=lambda gap: gap.start)
    ]
    return f"{len(footage.gaps)}, {total} together ({'; '.join(told)}{'; …' * (len(footage.gaps) > MOST_GAPS)})"


def _light_and_motion(coverage: Coverage) -> list[tuple[str, str]]:
    if not coverage.seconds:
        return []
    edges = (DARK * BRIGHTNESS_BINS // 256, BRIGHT * BRIGHTNESS_BINS // 256)
    dark, dim, bright = (
        sum(part) / coverage.seconds
        for part in (
            coverage.brightness[: edges[0]],
            coverage.brightness[edges[0] : edges[1]],
            coverage.brightness[edges[1] :],
        )
    )
    rows = [("light", f"dark {dark:.0%}, medium {dim:.0%}, bright {bright:.0%} of the time")]
    if coverage.moving is not None:
        rows.append(("motion", f"something moves {coverage.moving:.0%} of the time"))
    return rows


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
