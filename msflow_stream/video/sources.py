"""Sources, made from what a person typed: arguments are expanded, sources named, readers opened."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from msflow_stream.config.cameras import Decode
from msflow_stream.files import VIDEO_SUFFIXES
from msflow_stream.logs import redact
from msflow_stream.names import portable_name
from msflow_stream.types import Frame, UserError
from msflow_stream.video.cards import Card, Decoder
from msflow_stream.video.live.live_reader import LiveReader
from msflow_stream.video.reading.image_folder import ImageFolderReader, image_files, natural_order
from msflow_stream.video.reading.source_info import SourceInfo, live_name
from msflow_stream.video.reading.video_reader import VideoReader

CAMPUS_NAME = re.compile(r"(\d+)_\d+")  # of ShanghaiTech Campus: scene, clip
LIVE_SCHEMES = frozenset({"rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt"})


class Reader(Protocol):
    """The contract of every source: facts, frames, counts, and to be closed. Iterated once."""

    damaged: int
    frames_read: int

    @property
    def decoder(self) -> Decoder:
        """The decoder at work."""

    @property
    def info(self) -> SourceInfo:
        """The facts of the source."""

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Lets go of the file or connection; closing twice is fine."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_source(
    spec: str,
    every: int = 1,
    image_rate: Fraction = Fraction(25),
    *,
    motion_every: int | None = 1,
    max_frames: int | None = None,
    duration: float | None = None,
    decode: Decode = "cpu",
    card: Card | None = None,
) -> Reader:
    """Opens one source, as `expand_sources` gives them: a video file, a folder of images, a URL or a webcam's number.

    Args:
        every: yield the frames whose index in the source is a multiple of this.
        image_rate: images per second of a folder of images.
        motion_every: of the frames that are yielded, those whose index is a multiple of this come with what was
            `earlier`; None: none do, which takes less time.
        max_frames: stop after this many source frames.
        duration: stop after this many seconds of the source.
        decode, card: what is to decode, and the card of the scene; see `DecoderChoice`. Images are the processor's.

    Raises:
        UserError: it cannot be opened.
    """
    if is_live(spec):
        return LiveReader(
            spec, every, motion_every=motion_every, max_frames=max_frames, duration=duration, decode=decode, card=card
        )
    if Path(spec).is_dir():
        return ImageFolderReader(
            spec, every, image_rate, motion_every=motion_every, max_frames=max_frames, duration=duration
        )
    return VideoReader(
        spec, every, motion_every=motion_every, max_frames=max_frames, duration=duration, decode=decode, card=card
    )


def is_live(spec: str) -> bool:
    """Returns whether this is a camera: a URL, or a number that is no file or folder here.

    Raises:
        UserError: a URL of a kind that cannot be read.
    """
    if spec.isdecimal():
        return not Path(spec).exists()
    scheme, separator, _ = spec.partition("://")
    if not separator:
        return False
    if scheme.lower() not in LIVE_SCHEMES:
        raise UserError(f"{redact(spec)}: cannot read {scheme} URLs, only {', '.join(sorted(LIVE_SCHEMES))}")
    return True


def source_name(spec: str) -> str:
    """Returns the source's name, safe as a folder name: file stem, folder name, host and path, or webcam0."""
    if is_live(spec):
        return live_name(spec)
    path = Path(spec)
    return portable_name(path.resolve().name if path.is_dir() else path.stem)


def expand_sources(args: Sequence[str]) -> list[str]:
    """Expands files, patterns, folders, URLs and webcam numbers into sources, in the order given.

    A folder is one source if it holds images, and many if it holds videos or folders of images (its direct children,
    in natural order). What is named twice is read once.

    Raises:
        UserError: nothing is found for an argument, or two sources would have the same name.
    """
    if not args:
        raise UserError("no source given; name video files, folders, patterns such as 'videos/*.mp4', or camera URLs")
    found: dict[str, str] = {}
    for arg in args:
        for spec in _expand(arg):
            found.setdefault(spec if is_live(spec) else str(Path(spec).resolve()), spec)
    _check_names(list(found.values()))
    return list(found.values())


def _expand(arg: str) -> list[str]:
    if is_live(arg):
        return [arg]
    path = Path(arg)
    if path.is_dir():
        return _expand_folder(path)
    if path.exists():
        return [arg]
    if glob.has_magic(arg):
        # Path.glob takes no absolute patterns.
        matches = sorted(map(Path, glob.glob(arg, recursive=True)), key=_by_folder)  # noqa: PTH207
        if not matches:
            raise UserError(f"{arg}: nothing matches this pattern")
        return [spec for match in matches for spec in (_expand_folder(match) if match.is_dir() else [str(match)])]
    raise UserError(f"{arg}: no such file, folder, pattern, URL or webcam number; check the path")


def _by_folder(path: Path) -> list[list[tuple[int, str]]]:
    return [natural_order(Path(part)) for part in path.parts]


def _expand_folder(folder: Path) -> list[str]:
    children = sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=natural_order)
    videos = [path for path in children if path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES]
    images = image_files(folder)
    if videos and images:
        raise UserError(
            f"{folder}: holds both videos and images; say which, e.g. '{folder / ('*' + videos[0].suffix)}'"
        )
    if images:
        return [str(folder)]
    found = videos or [path for path in children if path.is_dir() and image_files(path)]
    if not found:
        raise UserError(
            f"{folder}: nothing to read in this folder; looked for videos ({', '.join(sorted(VIDEO_SUFFIXES))}), "
            "images, and folders of images"
        )
    return [str(path) for path in found]


def _check_names(specs: Sequence[str]) -> None:
    names: dict[str, str] = {}
    for spec in specs:
        # Each source gets a folder of its name, and some file systems do not tell A from a.
        name = source_name(spec)
        other = names.setdefault(name.casefold(), spec)
        if other != spec:
            raise UserError(
                f"two sources have the same name, {name}: {redact(other)} and {redact(spec)}; "
                "rename one, or run them separately"
            )


def group_by_scene(root: Path) -> dict[str, list[str]]:
    """Returns sources by scene: a sub-folder is one, a file belongs to the scene before the first underscore.

    Sub-folders named as in ShanghaiTech Campus (01_014) are clips of the scene before the underscore.

    Raises:
        UserError: no such folder, or nothing in it.
    """
    if not root.is_dir():
        raise UserError(f"no folder {root}: --scenes-from takes one with a sub-folder or a name prefix per scene")
    groups: dict[str, list[str]] = {}
    for path in sorted(root.iterdir()):
        if path.name.startswith("."):
            continue
        campus = CAMPUS_NAME.fullmatch(path.stem)
        if path.is_file() and path.suffix.lower() not in VIDEO_SUFFIXES:
            continue  # a note, a list of labels
        name = campus.group(1) if campus else path.name if path.is_dir() else path.stem.split("_")[0] or path.stem
        groups.setdefault(portable_name(name), []).append(str(path))
    if not groups:
        raise UserError(f"nothing in {root}: --scenes-from takes a folder with a sub-folder or a name prefix per scene")
    return groups
