"""A report as one page to print: HTML that needs nothing else, its images within it."""

from __future__ import annotations

import base64
import hashlib
import io
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

import msflow_stream
from msflow_stream.events.evidence.event_folder import SNAPSHOT, SNAPSHOT_OVERLAY
from msflow_stream.files import replaced
from msflow_stream.results.wording import figure, span
from msflow_stream.types import UserError
from msflow_stream.watch.reporting.spans import minute, second
from msflow_stream.watch.reporting.summary import ReportedEvent, Summary, alarms_text, lasted, promise_text

MOST_IMAGES = 400  # of a page; further events are in it without
WIDTH, QUALITY = 480, 78  # of an image, in pixels
TEMPLATE = "report.html.j2"


def report_page(summary: Summary) -> str:
    """Returns the page."""
    shown = {id(one) for one in summary.events[-MOST_IMAGES:]}

    def image(one: ReportedEvent) -> str | None:
        return still(one) if id(one) in shown else None

    return (
        _templates()
        .get_template(TEMPLATE)
        .render(
            summary=summary,
            image=image,
            decided=decided,
            style=style(),
            version=msflow_stream.__version__,
            **wording(),
        )
    )


def write_page(summary: Summary, path: Path) -> None:
    """Writes the page in one step.

    Raises:
        UserError: it cannot be written.
    """
    try:
        with replaced(path) as partial:
            partial.write_text(report_page(summary), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def policy() -> str:
    """Returns the content security policy under which browsers show the page: its own style, and images within it."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; frame-ancestors 'self'"


def wording() -> dict[str, Any]:
    """Returns what writes the values of a summary in words, for templates."""
    return {
        "alarms_text": alarms_text,
        "figure": figure,
        "lasted": lasted,
        "minute": minute,
        "promise_text": promise_text,
        "second": second,
        "hours_text": lambda hours: span(hours) if hours else "not at all",
        "plain": lambda name: name.replace("_", " "),
    }


def decided(one: ReportedEvent) -> list[str]:
    """Returns who decided what about an event, a line each, the oldest first."""
    lines = []
    for decision in one.decisions:
        parts = [_change(name, value) for name, value in decision.after.items() if name in ("label", "kept", "note")]
        line = f"{second(decision.at)} {decision.by}: {', '.join(parts)}"
        if decision.undone_at is not None:
            line += f" (taken back by {decision.undone_by}, {second(decision.undone_at)})"
        lines.append(line)
    return lines


def still(one: ReportedEvent) -> str | None:
    """Returns the snapshot of an event as the address of an image; None where there is none."""
    files = one.files
    name = next((name for name in (SNAPSHOT_OVERLAY, SNAPSHOT) if files is not None and name in files.stills), None)
    if files is None or name is None:
        return None
    try:
        with Image.open(files.folder / name) as image:
            size = WIDTH, max(1, round(image.height * WIDTH / image.width))
            image.draft("RGB", size)
            small = image.convert("RGB")
            small.thumbnail(size)
    except OSError:  # gone since, or cut off
        return None
    content = io.BytesIO()
    small.save(content, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()


def _change(name: str, value: Any) -> str:
    if name == "label":
        return "label taken back" if value is None else str(value)
    if name == "kept":
        return "kept" if value else "no longer kept"
    return "note taken away" if value is None else "note written"


@cache
def style() -> str:
    """Returns the style sheet of the page."""
    return (Path(__file__).parent / "report.css").read_text(encoding="utf-8")


@cache
def _templates() -> Environment:
    loader = PackageLoader("msflow_stream.watch.reporting", "")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
