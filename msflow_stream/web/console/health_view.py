"""What the page about health says: the report of a watch as words and figures, camera by camera."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msflow_stream.results.run_folder import SCORES

TROUBLE = {"connecting": "warn", "stalled": "warn", "reconnecting": "warn", "failed": "bad", "stopped": "dim"}
SIGNS = {"good": "●", "warn": "▲", "bad": "✕", "dim": "■"}
LOG_LINES = 200  # shown at most
TAIL_BYTES = 4096  # of a file of scores, to find its last line
UNITS = ("B", "KB", "MB", "GB", "TB")

Fact = tuple[str, str, str]  # name, value, class


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """A camera: its state in a word, with a class for its colour, the reason, and facts with their names.

    Attributes:
        seen: when its last frame came, in ISO 8601; None where there is none.
    """

    name: str
    state: str
    kind: str
    reason: str | None = None
    seen: str | None = None
    facts: list[Fact] = field(default_factory=list)

    @property
    def sign(self) -> str:
        """A sign that says the same as the colour."""
        return SIGNS[self.kind]


def camera_health(report: Mapping[str, Any], now: datetime) -> CameraHealth:
    """Returns what a camera's part of the report says."""
    state = str(report["state"])
    frozen = state == "running" and report.get("fault")
    kind = "warn" if frozen else TROUBLE.get(state, "good")
    well = kind == "good"
    return CameraHealth(
        name=report["name"],
        state=state,
        kind=kind,
        reason=None if well else report.get("reason"),
        seen=report.get("last_wall"),
        facts=[
            ("Last frame", ago(report.get("last_wall"), now), ""),
            ("Delay", "unknown" if report.get("lag") is None else f"{report['lag']:.2f} s", ""),
            ("Reconnects", f"{report['reconnects']:,}", ""),
            ("Frames read", f"{report['frames_read']:,}", ""),
            ("Scored", f"{report['scored']:,}", ""),
            ("Delivered", f"{report['delivered']:,}", ""),
            ("Dropped", *_by_cause(report.get("dropped") or {})),
            ("Not kept", *_by_cause(report.get("lost") or {})),
            ("Damaged frames", f"{report['decode_errors']:,}", "warn" if report["decode_errors"] else ""),
            *([("Taken as unchanged", f"{report['reused']:,}", "")] if report["reused"] else []),
            ("Video", _video(report), ""),
            ("Decoder", {"cpu": "processor", "cuda": "graphics card"}.get(report.get("decoder") or "", "unknown"), ""),
            *([("Watched by node", str(report["node"]), "")] if report.get("node") else []),
        ],
    )


def away_camera(name: str, folder: Path, now: datetime) -> CameraHealth:
    """Returns what a camera's folder says while no watch runs."""
    seen = last_score(folder)
    facts = [("Last score", ago(seen, now), "")]
    return CameraHealth(name, "not watched", "dim", None, seen, facts)


def process_facts(report: Mapping[str, Any]) -> list[Fact]:
    """Returns what the report says of the process."""
    sizes = report.get("batches") or {}
    scored = sum(int(size) * count for size, count in sizes.items() if str(size).isdigit())
    mean = f", {scored / sum(sizes.values()):.1f} frames each" if scored else ""
    device = str(report.get("device") or "unknown")
    return [
        ("Scores on", {"cpu": "processor"}.get(device, device), ""),
        ("Memory of the device", readable(report.get("device_bytes")), ""),
        ("Batches", f"{sum(sizes.values()):,}{mean}", ""),
        ("Cameras file read again", f"{report['reloads']:,} times", ""),
        ("Cameras file not usable", f"{report['failed_reloads']:,} times", "bad" if report["failed_reloads"] else ""),
    ]


def log_lines(lines: Iterable[Mapping[str, Any]], level: str, text: str) -> tuple[list[Mapping[str, Any]], int]:
    """Returns the newest lines of a level or worse that contain a text, newest first, and how many there are."""
    levels = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
    wanted = levels[levels.index(level) :] if level in levels else levels
    sought = text.casefold()
    found = [
        line for line in lines if line["level"] in wanted and sought in f"{line['logger']} {line['text']}".casefold()
    ]
    return found[::-1][:LOG_LINES], len(found)


def last_score(folder: Path) -> str | None:
    """Returns when the last frame of a camera was scored, in ISO 8601; None where that is not known."""
    try:
        with (folder / SCORES).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
            lines = file.read().decode("ascii", "replace").split("\n")[:-1]  # one without an end was cut off
    except OSError:
        return None
    wall = lines[-1].partition(",")[0] if lines else ""
    return wall if _moment(wall) else None


def ago(moment: str | None, now: datetime) -> str:
    """Returns how long ago a moment was, in words.

    >>> ago("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 9, tzinfo=UTC))
    '5 min ago'
    """
    then = _moment(moment or "")
    if then is None:
        return "never"
    seconds = (now - then).total_seconds()
    if seconds < 2:
        return "now"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{round(seconds / size)} {unit} ago"
    return f"{round(seconds)} s ago"


def readable(count: float | None) -> str:
    """Returns a number of bytes for people.

    >>> readable(432_013_312)
    '432 MB'
    """
    if count is None:
        return "unknown"
    size = float(count)
    for unit in UNITS[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {UNITS[-1]}"


def _by_cause(counts: Mapping[str, int]) -> tuple[str, str]:
    causes = [f"{count:,} ({cause.replace(':', ': ')})" for cause, count in counts.items() if count]
    return (", ".join(causes), "warn") if causes else ("none", "")


def _video(report: Mapping[str, Any]) -> str:
    parts = []
    if report.get("width"):
        parts.append(f"{report['width']} × {report['height']}")
    if report.get("rate"):
        parts.append(f"{report['rate']:.3g} frames/s")
    if report.get("codec"):
        codec = str(report["codec"])
        parts.append({"h264": "H.264", "hevc": "H.265"}.get(codec, codec))
    return ", ".join(parts) or "unknown"


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
