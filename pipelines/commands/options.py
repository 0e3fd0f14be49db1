"""Options and arguments that several commands share, and what reads their texts."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from msflow_stream.config.engines import EngineName, EnginePrecision
from msflow_stream.types import Severity, UserError

from ..terminal.listing import Form

if TYPE_CHECKING:
    from msflow_stream.events.store import EventFilter


def for_linux(what: str) -> None:
    """Says that this is for Linux, where it is another system.

    Raises:
        UserError: it is.
    """
    if sys.platform != "linux":
        raise UserError(f"{what} is for Linux; fit, score, evaluate and calibrate run on macOS and Windows, too")


def _cluster(address: str | None) -> str | None:
    if address is not None:
        for_linux("--cluster")
    return address


Sources = Annotated[
    list[str],
    typer.Argument(help="Videos, folders of videos or of images, patterns, camera URLs, webcam numbers."),
]
SceneName = Annotated[str, typer.Option("--scene", "-s", help="Name of the scene.")]
Scenes = Annotated[Path, typer.Option("--scenes", help="Folder that holds the scenes.")]
ScenesAt = Annotated[
    str, typer.Option("--scenes", metavar="PATH", help="Folder, or URL of one, that holds the scenes.")
]
Config = Annotated[Path | None, typer.Option("--config", "-c", help="YAML file of settings.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="One setting, such as fit.passes=8; may be repeated.")
]
ClusterAddress = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        callback=_cluster,
        metavar="auto|HOST:PORT|ray://HOST:PORT",
        help="Ray cluster that does the work: auto for the one that this machine belongs to.",
    ),
]
Device = Annotated[str, typer.Option(help="Device of the networks: auto, cpu, cuda or cuda:N.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replaces what is there.")]
Counted = Annotated[Literal["sampled", "all"], typer.Option(help="Frames that count for the frame-level AUROC.")]
ImageRate = Annotated[str, typer.Option(help="Frames per second of image folders.")]
EventCamera = Annotated[str | None, typer.Option(help="Events of this camera only.")]
EventSince = Annotated[str | None, typer.Option(help="Events since a date or time, or since 2h or 7d ago.")]
EventSeverity = Annotated[
    Literal["low", "medium", "high"] | None, typer.Option(help="Events of at least this severity.")
]
EventLabel = Annotated[
    Literal["violation", "normal", "unsure", "none"] | None,
    typer.Option(help="Events that a person gave this label; none: that nobody gave one."),
]
ListForm = Annotated[
    Form, typer.Option("--format", help="A table for people; one JSON document or tab-separated values for programs.")
]
EventId = Annotated[str, typer.Argument(help="Id of the event, or the beginning of it.")]
WatchedOut = Annotated[Path, typer.Option("--out", "-o", help="Folder that `watch` or `score` writes to.")]
StoreUrl = Annotated[
    str | None, typer.Option(envvar="MSFLOW_STORE", help="Database of the events; events.db in --out if not given.")
]
Encoder = Annotated[
    Literal["auto", "libx264", "h264_nvenc", "h264_qsv", "h264_vaapi"],
    typer.Option(help="Encoder of overlays; auto tries those of graphics cards and falls back to libx264."),
]
Engine = Annotated[
    EngineName | None,
    typer.Option(
        envvar="MSFLOW_ENGINE",
        show_default="auto, or the scene's",
        help="Engine that runs the networks; auto picks the fastest on this machine.",
    ),
]
Precision = Annotated[
    EnginePrecision | None,
    typer.Option(
        envvar="MSFLOW_PRECISION",
        show_default="auto, or the scene's",
        help="Arithmetic of the networks; auto picks the fastest that leaves scores unchanged.",
    ),
]
SceneMemory = Annotated[
    float | None,
    typer.Option(
        min=0.001, help="GiB of scenes that are kept ready to score; with more scenes than fit, they take turns."
    ),
]
Figures = Annotated[Path | None, typer.Option("--json", "--out", "-o", help="JSON file for the figures.")]
Batches = Annotated[
    list[int] | None,
    typer.Option("--batch", min=1, help="Frames scored at once; may be repeated.", show_default="1 and 4"),
]
SCENES, WATCHED = Path("scenes"), Path("watched")
CONSOLE = "127.0.0.1:9841"
GIB = 2**30


def scene_path(scenes: Path, name: str) -> Path:
    """Returns the folder of a scene."""
    from msflow_stream.scenes.folder import scene_folder

    return scene_folder(scenes, name)


def scene_spec(scenes: str, name: str) -> Path | str:
    """Returns the folder of a scene, or its URL where the scenes are at one."""
    from ..storage.urls import is_url, joined, located

    return joined(located(scenes), scene_path(SCENES, name).name) if is_url(scenes) else scene_path(Path(scenes), name)


def is_of_environment(context: typer.Context, name: str) -> bool:
    """Returns whether an option has its value from an environment variable."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "ENVIRONMENT"


def class_names(text: str | None) -> list[str]:
    """Returns the names in a text such as bottle,cable."""
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


def numbers(text: str, separator: str, option: str, example: str) -> list[int]:
    """Returns the whole numbers in a text; the error names the option and an example."""
    try:
        return [int(part) for part in text.split(separator)]
    except ValueError:
        raise UserError(f"{option} takes numbers such as {example}, not {text!r}") from None


def size(text: str) -> tuple[int, int]:
    """Returns height and width of a text such as 256 or 256x384."""
    sides = numbers(text, "x", "--input-size", "512 or 256x384")
    if len(sides) > 2:
        raise UserError(f"--input-size takes numbers such as 512 or 256x384, not {text!r}")
    return sides[0], sides[-1]


def engine_overrides(engine: EngineName | None, precision: EnginePrecision | None) -> list[str]:
    """Returns engine and precision as overrides of settings."""
    named = {"engine.name": engine, "engine.precision": precision}
    return [f"{name}={value}" for name, value in named.items() if value is not None]


def store_address(text: str) -> str:
    """Returns the address of a database, given as an address or as a SQLite file."""
    return text if "://" in text else f"sqlite:///{text}"


def events_store(store: str | None, out: Path) -> str:
    """Returns the address of a database of events: the given one, or events.db in the folder."""
    return store_address(store or str(out / "events.db"))


def event_filter(
    camera: str | None,
    since: str | None,
    severity: Severity | None,
    limit: int | None,
    label: Literal["violation", "normal", "unsure", "none"] | None = None,
) -> EventFilter:
    """Returns the filter that the options of `events` ask for."""
    from msflow_stream.events.store import EventFilter, parse_moment

    begin = None if since is None else parse_moment(since, datetime.now(UTC))
    return EventFilter(camera=camera, since=begin, severity=severity, label=label, limit=limit)


def gib_to_bytes(gib: float | None) -> int | None:
    """Returns bytes, None for None."""
    return None if gib is None else int(gib * GIB)


def http_address(text: str) -> tuple[str, int] | None:
    """Returns host and port of a text such as 0.0.0.0:9840, None for off."""
    return None if text == "off" else host_and_port(text, "--http", ", or off")


def host_and_port(text: str, option: str, otherwise: str = "") -> tuple[str, int]:
    """Returns host and port of a text such as 0.0.0.0:9840; the error names the option, and what else it takes."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UserError(f"{option} takes HOST:PORT such as 0.0.0.0:9840{otherwise}, not {text!r}")
    return host.strip("[]"), int(port)


def duration(text: str, option: str) -> float:
    """Returns the seconds in a text such as 30m, 2h or 90s; the error names the option."""
    from msflow_stream.config.fields import duration_seconds

    try:
        return duration_seconds(text)
    except ValueError as error:
        raise UserError(f"{option} {error}, not {text!r}") from None


def frame_rate(text: str) -> Fraction:
    """Returns the rate in a text such as 25 or 30000/1001."""
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise UserError(f"--image-rate is a number above 0 such as 25 or 30000/1001, not {text!r}")
    return rate
