"""The job of `overlay`: overlays are redrawn from saved scores and maps, without the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from rich.console import Console

from msflow_stream.results.overlay_file import OverlayFile
from msflow_stream.results.run_folder import MAPS, OVERLAY, read_run, run_folders
from msflow_stream.results.score_files import MapReader, read_scores
from msflow_stream.types import Frame, FrameScore, ScoreRow, UserError
from msflow_stream.video.drawing.overlay import OverlayStyle
from msflow_stream.video.sources import Reader, open_source
from msflow_stream.video.writing.encoders import ENCODERS, X264, EncoderChoice

from .terminal.consoles import summary_console, trouble_console
from .terminal.progress import progress


def redraw(
    run: Path,
    source: Path | None = None,
    alpha: float | None = None,
    colormap: str | None = None,
    encoder: EncoderChoice = ENCODERS[X264],
    console: Console | None = None,
) -> list[Path]:
    """Redraws overlay.mp4 in one source's folder, or in every source's folder of a run, and returns the files.

    They do not say what triggers: saved scores do not hold the parts of the combined one.

    Args:
        run: the folder that `score` wrote.
        source: the video, if it is no longer where it was scored; for one source only.
        alpha, colormap: changes to the look.
        encoder: what encodes them.

    Raises:
        UserError: the folder is no run, or the video is missing.
    """
    console = console or summary_console()
    folders = list(run_folders(run))
    if not folders:
        raise UserError(f"no results in {run}: give a folder that `msflow-stream score` wrote")
    if source is not None and len(folders) > 1:
        raise UserError(f"--source is for one source, {run} holds {len(folders)}: name one of them")
    return [_redraw(folder, source, alpha, colormap, encoder, console) for folder in folders]


def _redraw(
    folder: Path,
    source: Path | None,
    alpha: float | None,
    colormap: str | None,
    encoder: EncoderChoice,
    console: Console,
) -> Path:
    record, rows = read_run(folder), read_scores(folder)
    path = Path(record["source"]) if source is None else source
    if not path.exists():
        raise UserError(f"the video of {folder} is not at {path}: say where it is with --source")
    style = OverlayStyle(**record["overlay"] | {"score_range": tuple(record["overlay"]["score_range"])})
    style = replace(style, alpha=style.alpha if alpha is None else alpha, colormap=colormap or style.colormap)
    maps = MapReader(folder) if (folder / MAPS).exists() else None
    if maps is None:
        said = f"{folder} has no {MAPS}: drawn without heat map (score with --save-maps to have it)"
        trouble_console(console).print(said)
    partial, final = folder / f".{OVERLAY}", folder / OVERLAY
    try:
        with (
            open_source(
                str(path), image_rate=Fraction(record["rate"]), motion_every=None, max_frames=record["frames"]
            ) as reader,
            OverlayFile(partial, reader.info, style, path if reader.info.has_audio else None, encoder=encoder) as file,
            progress() as bars,
        ):
            task = bars.add_task(reader.info.name, total=record["frames"])
            for frame, row, score in _with_rows(reader, rows, maps, record["scene"]):
                file.write(frame, score, row)
                bars.advance(task)
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)
    console.print(f"redrawn: {final}")
    return final


def _with_rows(
    reader: Reader, rows: Sequence[ScoreRow], maps: MapReader | None, scene: str
) -> Iterator[tuple[Frame, ScoreRow | None, FrameScore | None]]:
    """Yields every frame with the newest saved score."""
    coming = iter(rows)
    following = next(coming, None)
    row: ScoreRow | None = None
    score: FrameScore | None = None
    for frame in reader:
        while following is not None and following.index <= frame.index:
            row, following = following, next(coming, None)
            if maps is not None:
                score = _score(frame.source, scene, row, maps)
        yield frame, row, score


def _score(source: str, scene: str, row: ScoreRow, maps: MapReader) -> FrameScore:
    return FrameScore(source, scene, row.index, row.time, None, row.scores, maps[row.index])
