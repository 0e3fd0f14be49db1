"""Video files are opened here; where one cannot be, one line says why."""

from __future__ import annotations

from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.stream import VideoStream

from msflow_stream.types import UserError


def open_file(path: Path, acceleration: HWAccel | None = None) -> InputContainer:
    """Opens a video file for reading, on the processor or as `DecoderChoice` says; the caller closes it.

    Raises:
        UserError: there is no such file, or it is not a video.
    """
    if path.is_dir():
        raise UserError(f"{path}: a folder, not a video file")
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty; copy or record it again")
    try:
        # "file:" keeps colons in names from reading as protocols; the whitelist keeps playlists from reaching out.
        container = av.open(
            f"file:{path}",
            options={"protocol_whitelist": "file"},
            metadata_errors="replace",
            hwaccel=acceleration,
        )
    except av.FFmpegError as error:
        raise UserError(_reason(path, error)) from None
    if container.format.name == "tty":  # FFmpeg shows any .txt as animated terminal art
        container.close()
        raise UserError(f"{path}: a text file, not a video")
    return container


def _reason(path: Path, error: av.FFmpegError) -> str:
    if isinstance(error, PermissionError):
        return f"{path}: no permission to read it; check the file's owner and mode"
    if isinstance(error, EOFError):
        return f"{path}: it contains no frames; record or export the video again"
    if _lacks_index(path):
        return (
            f"{path}: the recording was cut off before its index was written (moov atom not found); "
            "repair it with untrunc, or record in a fragmented format (fragmented MP4, MKV, TS) from now on"
        )
    return f"{path}: not a video that can be read ({error.strerror}); check the file with ffprobe"


def _lacks_index(path: Path) -> bool:
    """Returns whether this is an MP4 or MOV without its moov box, the index at the file's end."""
    kinds: list[bytes] = []
    with path.open("rb") as file:
        end = file.seek(0, 2)
        place = 0
        while place + 8 <= end and len(kinds) < 1000:
            file.seek(place)
            head = file.read(16)
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if size == 1:  # the size is in the 64 bits behind
                size = int.from_bytes(head[8:16], "big")
            kinds.append(kind)
            if size < 8:  # 0: up to the end of the file
                break
            place += size
    return kinds[:1] == [b"ftyp"] and b"moov" not in kinds


def first_video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Returns the first video stream of the file, never an audio file's cover.

    Raises:
        UserError: there is none, or no decoder for it.
    """
    covers = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not streams:
        raise UserError(f"{path}: contains no video, only {_others(container)}")
    stream = streams[0]
    if stream.codec_context is None:
        raise UserError(f"{path}: no decoder for its video codec; convert it, e.g. to H.264 with ffmpeg")
    return stream


def _others(container: InputContainer) -> str:
    kinds = sorted({"a picture" if stream.type == "video" else stream.type for stream in container.streams})
    return " and ".join(kinds) or "an empty file structure"


def exact_frames(stream: VideoStream, file_size: int) -> int | None:
    """Returns the number of frames where the container's index lists them all, else None.

    Only an index that covers the whole stream and lies within the file is believed.
    """
    entries = stream.index_entries
    if not stream.frames or len(entries) < stream.frames:
        return None
    if any(entry.pos + entry.size > file_size for entry in (entries[0], entries[len(entries) - 1])):
        return None
    return sum(not entry.is_discard for entry in entries)
