"""`build-mstc`: every fifth frame of ShanghaiTech Campus, with its masks sampled alike, becomes mSTC.

A video is there whole or not at all, and one that cannot be trusted (cut off, damaged, masks of another length) is
left out by name. Nothing that is written depends on when or in which order it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from msflow_stream.datasets import mstc
from msflow_stream.datasets.clips import holds, visible
from msflow_stream.datasets.mstc import TEST, TRAIN, VideoRow
from msflow_stream.datasets.shanghaitech import EVERY
from msflow_stream.files import write_json
from msflow_stream.types import UserError
from msflow_stream.video.reading.image_folder import image_files

from .build_mstc_units import campus_videos, video_units
from .build_mstc_video import BuildJob, MstcVideo, is_whole, remove, write_video
from .storage.copies import local_copy
from .storage.places import place
from .storage.urls import Spec, absolute, is_url, last_part, parent
from .terminal.consoles import summary_console, trouble_console
from .terminal.progress import progress, table
from .units import Failed, Here, Unit, UnitRunner


def build_mstc(
    source: Spec,
    out: Spec,
    job: BuildJob | None = None,
    console: Console | None = None,
    runner: UnitRunner | None = None,
) -> list[VideoRow]:
    """Builds mSTC, or goes on with it: what is complete in `out` is not done again.

    Args:
        source: ShanghaiTech Campus as published, a folder or the URL of one.
        out: a new folder, or one that was begun with the same settings; or a URL, at which it is once it is complete.
        job: what to write.
        console: for results.
        runner: where videos are written; here if None, by as many threads as the job says.

    Raises:
        UserError: another tree than ShanghaiTech Campus, `out` is something else, or, after all are done, the number
            of videos that failed.
    """
    job, console = job or BuildJob(), console or summary_console()
    if job.index_only and job.quality is not None:
        raise UserError("--index-only writes no images: give it without --quality")
    if job.index_only and is_url(source):
        raise UserError("--index-only points into the source: that is a folder then, not a URL")
    if is_url(out) and (job.index_only or not isinstance(runner or Here(), Here)):
        raise UserError("an index, and a cluster, write to a folder that all machines see: give no URL to write to")
    at, name = place(parent(out)), last_part(str(out))
    if is_url(out) and not (at.folder / name).exists() and at.is_complete(name, mstc.FACTS):
        at.fetch(name, mstc.FACTS)
    with local_copy(source) as folder:
        rows = _built(source, folder, at.folder / name if is_url(out) else Path(out), job, console, runner)
    at.publish(name, mstc.FACTS)
    at.forget(name)
    return rows


def _built(
    source: Spec, folder: Path, out: Path, job: BuildJob, console: Console, runner: UnitRunner | None
) -> list[VideoRow]:
    """Builds mSTC of a source that is in a folder of this machine."""
    videos = list(campus_videos(folder, out))
    facts = _claim(out, folder, job)
    known = {(row.split, row.video): row for row in mstc.read_videos(out)}
    noted = {video: known[key] for video in videos if (key := (video.split, video.clip.name)) in known}
    rows = {video: row for video, row in noted.items() if is_whole(video, row, job)}
    if rows:
        console.print(f"{len(rows)} of {len(videos)} videos are complete already")
    left = [video for video in videos if video not in rows]
    if runner is None or isinstance(runner, Here):
        _build(left, rows, job, console)
    else:
        _build_on(runner, absolute(source), left, rows, job, console)
    for video in [video for video in rows if not is_whole(video, rows[video], job)]:  # counted again, on the disk
        del rows[video]
        remove(video)
        _say_failed(console, video, "what was written is not what the source holds; does something else write there?")
    complete = [video for video in videos if video in rows]
    mstc.write_videos(out, rows.values())
    mstc.write_lines(out / mstc.MANIFEST, mstc.MANIFEST_COLUMNS, _manifest(complete, rows, job))
    write_json(out / mstc.FACTS, facts | {"missing": [video.clip.name for video in videos if video not in rows]})
    console.print(_summary(out, [rows[video] for video in complete]))
    if len(complete) < len(videos):
        raise UserError(
            f"{len(videos) - len(complete)} of {len(videos)} videos failed, the reasons are above: mend them and run "
            "this again, what is complete is kept"
        )
    return [rows[video] for video in complete]


def _claim(out: Path, source: Path, job: BuildJob) -> dict[str, Any]:
    """Makes the folder ours, or makes sure that it is and was begun with the same settings; returns these."""
    images = "none" if job.index_only else "png" if job.quality is None else f"jpeg {job.quality}"
    # Copies depend on no place; an index says where its source is.
    facts = {"every": EVERY, "images": images, "source": _way(out, source) if job.index_only else None}
    begun = mstc.read_facts(out)
    if begun is None:
        if out.exists() and (not out.is_dir() or visible(out)):
            raise UserError(f"{out} should be new, empty or an mSTC, {holds(out)}: choose another folder")
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / mstc.FACTS, facts | {"missing": None})
    elif other := [f"{name} {begun[name]}, not {value}" for name, value in facts.items() if begun[name] != value]:
        raise UserError(f"{out} was built with {other[0]}: choose another folder")
    return facts


def _build(videos: Sequence[MstcVideo], rows: dict[MstcVideo, VideoRow], job: BuildJob, console: Console) -> None:
    """Builds videos side by side, noting each in `rows` and on disk once it is complete."""
    with progress("videos") as bars, ThreadPoolExecutor(job.workers) as pool:
        task = bars.add_task("building", total=len(videos))
        running = {pool.submit(write_video, video, job): video for video in videos}
        try:
            for done in as_completed(running):
                try:
                    rows[running[done]] = done.result()
                    mstc.write_videos(running[done].out, rows.values())
                except UserError as error:
                    _say_failed(console, running[done], str(error))
                bars.advance(task)
        finally:
            pool.shutdown(cancel_futures=True)


def _build_on(
    runner: UnitRunner,
    source: Spec,
    videos: Sequence[MstcVideo],
    rows: dict[MstcVideo, VideoRow],
    job: BuildJob,
    console: Console,
) -> None:
    """Builds videos on a cluster, noting them as `_build` does."""
    if not videos:
        return
    out = videos[0].out
    units = video_units(source, out.resolve(), videos, job)
    of = dict(zip(units, videos, strict=True))

    def note(unit: Unit, row: VideoRow | Failed) -> None:
        if isinstance(row, Failed):
            _say_failed(console, of[unit], row.text)
        else:
            rows[of[unit]] = row
            mstc.write_videos(out, rows.values())

    runner.run(units, note, "building mSTC")


def _say_failed(console: Console, video: MstcVideo, why: str) -> None:
    said = f"[red]failed:[/] {video.split} {video.clip.name}: {escape(why)}"
    trouble_console(console).print(said, highlight=False, soft_wrap=True)


def _manifest(
    videos: Sequence[MstcVideo], rows: dict[MstcVideo, VideoRow], job: BuildJob
) -> Iterator[tuple[object, ...]]:
    """The lines of manifest.csv, with files in the source or in what was built."""
    for video in videos:
        source, labels, kept = video.clip.source, video.labels, rows[video].kept
        if not job.index_only:
            files = image_files(video.folder)
        else:
            files = image_files(source)[::EVERY] if source.is_dir() else [source] * kept
        way = _way(video.out, files[0].parent)
        for position, file in enumerate(files):
            label = labels[position] if labels else 0
            yield video.scene, video.split, video.clip.name, position * EVERY, label, f"{way}/{file.name}"


def _way(start: Path, end: Path) -> str:
    """The relative path from one folder to another, which holds as long as both are moved together."""
    return Path(os.path.relpath(end.resolve(), start.resolve())).as_posix()


def _summary(out: Path, rows: Sequence[VideoRow]) -> Table:
    """Kept frames by scene, and of all."""

    def line(name: str, of: Sequence[VideoRow]) -> list[str]:
        train, test = ([row for row in of if row.split == split] for split in (TRAIN, TEST))
        counts = (sum(row.kept for row in train), sum(row.kept for row in test), sum(row.anomalous for row in of))
        return [name, *map(str, counts)]

    scenes = sorted({row.scene for row in rows})
    lines = [line(name, [row for row in rows if row.scene == name]) for name in scenes]
    return table(
        f"mSTC in {out}", ["scene", "training frames", "test frames", "anomalous"], [*lines, line("all", rows)]
    )
