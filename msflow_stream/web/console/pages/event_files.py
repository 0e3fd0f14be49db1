"""The files of an event: its clips, snapshots and record, and small images of it for lists."""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from PIL import Image
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from msflow_stream.events.evidence.event_files import EventFiles, event_files
from msflow_stream.events.evidence.event_folder import SNAPSHOT, SNAPSHOT_OVERLAY
from msflow_stream.events.store import StoredEvent
from msflow_stream.web.console.context import Console
from msflow_stream.web.console.event_queries import event_of
from msflow_stream.web.console.routing import call

MEDIA = {".mp4": "video/mp4", ".mkv": "video/x-matroska", ".jpg": "image/jpeg", ".json": "application/json"}
CHUNK = 256 * 2**10  # bytes
THUMB_WIDTHS = (160, 320, 640)
THUMBS_IN_MEMORY = 512
A_DAY = "private, max-age=86400"


@call("/events/{id}/files/{name}", methods=("GET", "HEAD"))
def evidence(request: Request, console: Console) -> Response:
    """Answers with a file that the event's evidence lists, whole or a range of it.

    With `download` it is to be saved; with `bytes` it is only so much of it, so that a player of a clip that grows has
    one that does not.
    """
    stored = event_of(console, request)
    files = files_of(console, stored)
    name = next((known for known in files.names if known == request.path_params["name"]), None)
    if name is None:
        raise HTTPException(404, "there is no such file")
    asked, path = request.query_params, files.folder / name
    first = int(asked["bytes"]) if re.fullmatch("[0-9]{1,15}", asked.get("bytes", "")) else None
    try:
        state = state_of(path, first)
    except FileNotFoundError:  # removed since
        raise HTTPException(404, "there is no such file") from None
    answer = FileResponse(
        path,
        headers={"Cache-Control": "private, no-cache"},  # asked for again with its ETag: events go on
        media_type=MEDIA.get(path.suffix, "application/octet-stream"),
        filename=f"{stored.event.id}-{name}" if "download" in asked else None,
        stat_result=state,
    )
    if request.method == "HEAD" or "range" in request.headers:
        return answer
    return StreamingResponse(beginning(path, state.st_size), headers=dict(answer.headers))


@call("/events/{id}/thumb.jpg")
def thumb(request: Request, console: Console) -> Response:
    """Answers with the snapshot of the event, small."""
    files = files_of(console, event_of(console, request))
    name = next((one for one in (SNAPSHOT_OVERLAY, SNAPSHOT) if one in files.stills), None)
    if name is None:
        raise HTTPException(404, "there is no snapshot of this event")
    asked = request.query_params.get("width", "")
    width = int(asked) if asked in map(str, THUMB_WIDTHS) else THUMB_WIDTHS[1]
    path = files.folder / name
    try:
        content = small_jpeg(path, path.stat().st_mtime_ns, width)
    except OSError:  # cut off, or gone since
        raise HTTPException(404, "there is no snapshot of this event") from None
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": A_DAY})


def state_of(path: Path, first: int | None) -> os.stat_result:
    """Returns the size of a file and when it was changed; of its first bytes, which stay the same while it grows.

    Raises:
        FileNotFoundError: there is none.
    """
    state = path.stat()
    if first is None:
        return state
    values = list(state)
    values[stat.ST_SIZE], values[stat.ST_MTIME] = min(first, state.st_size), 0
    return os.stat_result(values)


def beginning(path: Path, size: int) -> Iterator[bytes]:
    """Yields so many bytes of a file, and not what was added since its size was told."""
    with path.open("rb") as file:
        while size > 0 and (chunk := file.read(min(CHUNK, size))):
            size -= len(chunk)
            yield chunk


def files_of(console: Console, stored: StoredEvent) -> EventFiles:
    """Returns the files of an event.

    Raises:
        HTTPException: 404, there are none.
    """
    files = event_files(console.out, stored.event)
    if files is None:
        raise HTTPException(404, "the evidence of this event is gone")
    return files


@lru_cache(THUMBS_IN_MEMORY)
def small_jpeg(path: Path, changed: int, width: int) -> bytes:
    """Returns a JPEG file's image scaled to a width; `changed` tells the file from what it was before.

    Raises:
        OSError: it is no image.
    """
    with Image.open(path) as image:
        size = width, max(1, round(image.height * width / image.width))
        image.draft("RGB", size)
        small = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    content = io.BytesIO()
    small.save(content, "JPEG", quality=80)
    return content.getvalue()
