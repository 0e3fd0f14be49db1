"""mSTC, every fifth frame of ShanghaiTech Campus, as `msflow-stream build-mstc` writes it.

    mstc.json                       how it was built, and which videos are missing
    videos.csv                      a line per video: how many frames there were, are kept, and are anomalous
    manifest.csv                    a line per frame: scene, split, video, index in the source, label, file
    SS/train/VIDEO/IIIIII.png       the frames, named by their index in the source
    SS/test/VIDEO/IIIIII.jpg
    SS/frame_mask/VIDEO.npy         one 0/1 per kept frame
    SS/pixel_mask/VIDEO.npy         T x H x W; only where the source has masks

Built with --index-only, it holds the first three and points into the source.
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from msflow_stream.datasets import PAPER, DataSet
from msflow_stream.datasets.clips import Clip, NpyTruth, VideoScene, frame_files, holds, select
from msflow_stream.datasets.shanghaitech import EVERY, shanghaitech
from msflow_stream.files import replaced
from msflow_stream.types import UserError

FACTS, VIDEOS, MANIFEST = "mstc.json", "videos.csv", "manifest.csv"
MANIFEST_COLUMNS = ("scene", "split", "video", "index", "label", "file")
TRAIN, TEST = "train", "test"
AGAIN = "run `msflow-stream build-mstc` again"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class VideoRow:
    """A line of videos.csv.

    Attributes:
        scene: such as 01.
        split: train or test.
        video: name of the clip.
        frames: number of frames in the source.
        kept: every fifth of them.
        anomalous: those of the kept.
    """

    scene: str
    split: str
    video: str
    frames: int
    kept: int
    anomalous: int


def mstc(root: Path, scenes: Sequence[str] | None = None) -> list[VideoScene]:
    """Returns the scenes of a built mSTC; where only an index was built, the clips are those of its source.

    Args:
        root: the folder that `build-mstc` wrote.
        scenes: names such as 01; all if None.

    Raises:
        UserError: no such folder, one that was not finished or has lost files, or no such scene.
    """
    facts = read_facts(root)
    if facts is None:
        raise UserError(f"{root} is no mSTC: it should hold {FACTS}, as `build-mstc` writes it, {holds(root)}")
    missing = facts["missing"]
    if missing is None:
        raise UserError(f"{root} was never finished: {AGAIN}")
    if missing:
        logger.warning("%s is not complete, it lacks %s: mend the source and %s", root, ", ".join(missing), AGAIN)
    rows = read_videos(root)
    if facts["source"] is not None:
        return _from_source(root / facts["source"], rows, scenes)
    found = select((VideoScene(name, (), ()) for name in sorted({row.scene for row in rows})), scenes)
    return [
        VideoScene(
            scene.name,
            tuple(_stored(root, row) for row in rows if (row.scene, row.split) == (scene.name, TRAIN)),
            tuple(_stored(root, row) for row in rows if (row.scene, row.split) == (scene.name, TEST)),
        )
        for scene in found
    ]


def clip_folder(root: Path, scene: str, split: str, video: str) -> Path:
    """Returns the folder of the frames of a video."""
    return root / scene / split / video


def mask_files(root: Path, scene: str, video: str) -> tuple[Path, Path]:
    """Returns the files of the frame mask and the pixel mask of a test video."""
    return root / scene / "frame_mask" / f"{video}.npy", root / scene / "pixel_mask" / f"{video}.npy"


def read_facts(root: Path) -> dict[str, Any] | None:
    """Returns mstc.json (`every`, `images`, `source` of an index, `missing` videos, None until finished), if there.

    Raises:
        UserError: not one of ours.
    """
    try:
        content = json.loads((root / FACTS).read_text(encoding="utf-8"))
        return {name: content[name] for name in ("every", "images", "source", "missing")}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{root / FACTS} is damaged: remove {root} and build it anew") from None


def read_videos(root: Path) -> list[VideoRow]:
    """Returns the lines of videos.csv; none where there is no such file.

    Raises:
        UserError: not one of ours.
    """
    try:
        with (root / VIDEOS).open(newline="", encoding="utf-8") as file:
            _, *lines = csv.reader(file, strict=True)
        return [
            VideoRow(scene, split, video, int(frames), int(kept), int(anomalous))
            for scene, split, video, frames, kept, anomalous in lines
        ]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, csv.Error):
        raise UserError(f"{root / VIDEOS} is damaged: remove it and {AGAIN}") from None


def write_videos(root: Path, rows: Iterable[VideoRow]) -> None:
    """Writes videos.csv, in one step and in order."""
    write_lines(root / VIDEOS, [f.name for f in fields(VideoRow)], (astuple(row) for row in sorted(rows)))


def write_lines(path: Path, columns: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Writes a CSV file, in one step."""
    with replaced(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows(lines)


def _stored(root: Path, row: VideoRow) -> Clip:
    folder = clip_folder(root, row.scene, row.split, row.video)
    found = len(frame_files(folder))
    if found != row.kept:
        raise UserError(f"{folder} holds {found} frames, it should hold {row.kept}: {AGAIN}")
    truth = None
    if row.split == TEST:
        labels, masks = mask_files(root, row.scene, row.video)
        truth = NpyTruth(labels, masks if masks.parent.is_dir() else None, row.kept)
    return Clip(row.video, folder, 1, truth, EVERY)


def _from_source(source: Path, rows: Iterable[VideoRow], scenes: Sequence[str] | None) -> list[VideoScene]:
    """The part of the source that was built: a video that failed is left out here as well."""
    built = {(row.split, row.video) for row in rows}

    def only(split: str, clips: Sequence[Clip]) -> tuple[Clip, ...]:
        return tuple(clip for clip in clips if (split, clip.name) in built)

    try:
        found = shanghaitech(source.resolve(), scenes)
    except UserError as error:
        raise UserError(f"an index needs the videos that it was made of: {error}") from None
    return [VideoScene(scene.name, only(TRAIN, scene.fit), only(TEST, scene.test)) for scene in found]


def _load(root: Path, scenes: Sequence[str] | None) -> list[VideoScene]:
    """The scenes of a built mSTC, or of ShanghaiTech Campus itself."""
    return mstc(root, scenes) if (root / FACTS).exists() else shanghaitech(root, scenes)


MSTC = DataSet(load=_load, config="mstc", classes=12, published={PAPER: {"pixel_auroc": 0.930}})
