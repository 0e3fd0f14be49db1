"""The evidence of a report as a zip: clips, snapshots, records and scores, with their SHA-256, made as it is read."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from msflow_stream.events.store.export import to_full_json
from msflow_stream.files import replaced
from msflow_stream.names import portable_name
from msflow_stream.types import UserError
from msflow_stream.watch.replay.recorded import files as score_files
from msflow_stream.watch.reporting.page import report_page
from msflow_stream.watch.reporting.spans import Span
from msflow_stream.watch.reporting.summary import CameraSummary, ReportedEvent, Summary

MANIFEST, MISSING = "manifest.sha256", "missing.txt"
CHUNK = 256 * 2**10  # bytes read, and about as much handed on, at a time
COMPRESSED = (".csv", ".html", ".json", ".txt")
LONGEST = 80  # characters of a part of a name
# Of a plain file, followed nowhere and waited for never; Windows has no such flags, but one against changed line ends.
FLAGS = sum(getattr(os, name, 0) for name in ("O_RDONLY", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))


def stream(summary: Summary, out: Path) -> Iterator[bytes]:
    """Yields the zip, in the memory of a few chunks beside the page's.

    Args:
        summary: what it is about; nothing else is in it.
        out: the folder that the watch writes to.
    """
    sink = _Sink()
    packer = _Packer(ZipFile(sink, "w", allowZip64=True), summary.made)
    for path, chunks in _members(summary, out, packer):
        for _ in packer.add(path, chunks):
            yield from sink.taken()
    for _ in packer.finish():
        yield from sink.taken()
    packer.zip.close()
    yield sink.rest()


def write_zip(summary: Summary, out: Path, path: Path) -> list[str]:
    """Writes the zip in one step, and returns what is missing in it, a line each.

    Raises:
        UserError: it cannot be written.
    """
    try:
        with replaced(path) as partial, partial.open("wb") as file:
            for chunk in stream(summary, out):
                file.write(chunk)
        with ZipFile(path) as done:
            return done.read(MISSING).decode().splitlines() if MISSING in done.namelist() else []
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def safe_name(text: str) -> str:
    """Returns a text as a part of a name that every system takes, and that cannot lead anywhere else.

    >>> safe_name("../../etc/passwd")
    'etc_passwd'
    """
    kept = "".join(
        letter if letter.isalnum() or letter in "._-" else "_" for letter in unicodedata.normalize("NFC", text)
    )
    kept = re.sub(r"_{2,}", "_", kept.strip("._- "))
    kept = re.sub(r"\.{2,}", ".", kept)
    while len(kept) > LONGEST or len(kept.encode()) > 2 * LONGEST:
        kept = kept[:-1]
    return portable_name(kept)


Chunks = Callable[[], Iterator[bytes]]


def _members(summary: Summary, out: Path, packer: _Packer) -> Iterator[tuple[str, Chunks]]:
    """Yields the names of all files with what reads them: the page, then camera by camera, event by event."""
    yield "report.html", lambda: iter([report_page(summary).encode()])
    yield "events.json", lambda: iter([to_full_json([one.stored for one in summary.events]).encode()])
    for camera in summary.cameras:
        folder = packer.free(safe_name(camera.name))
        for one in camera.events:
            yield from _of_event(f"{folder}/events", one, packer)
        yield from _scores(folder, camera, out, summary.span)


def _of_event(folder: str, one: ReportedEvent, packer: _Packer) -> Iterator[tuple[str, Chunks]]:
    own = packer.free(f"{folder}/{safe_name(one.stored.event.id)}")
    yield f"{own}/decisions.json", lambda: iter([_said(one).encode()])
    if one.files is None:
        packer.missing.append(f"{own}: the recording of this event is gone")
        return
    for name in sorted(one.files.names):
        yield f"{own}/{safe_name(name)}", _reader(one.files.folder / name)


def _scores(folder: str, camera: CameraSummary, out: Path, span: Span) -> Iterator[tuple[str, Chunks]]:
    if Path(camera.name).name != camera.name:  # it is no folder of a camera
        return
    for path in sorted(score_files(out / camera.name, span.since, span.until)):
        yield f"{folder}/{safe_name(path.name)}", _rows(path, span)


def _reader(path: Path) -> Chunks:
    """Returns what reads a file as far as it is now; links are not followed."""

    def read() -> Iterator[bytes]:
        with _opened(path) as file:
            left = os.fstat(file.fileno()).st_size
            while left > 0 and (chunk := file.read(min(CHUNK, left))):
                left -= len(chunk)
                yield chunk
        if left:
            raise OSError("it has become shorter while it was read")

    return read


def _rows(path: Path, span: Span) -> Chunks:
    """Returns what reads the lines of a file of scores that are in the span, as they are, after its first line."""

    def read() -> Iterator[bytes]:
        first, last = (_stamp(moment) for moment in (span.since, span.until))
        with _opened(path) as file:
            part = file.readline()
            for line in file:
                if first <= line[:23] < last and line.endswith(b"\n"):
                    part += line
                if len(part) >= CHUNK:
                    yield part
                    part = b""
            yield part

    return read


def _stamp(moment: datetime) -> bytes:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds").encode()


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, FLAGS), "rb")


def _said(one: ReportedEvent) -> str:
    """Returns what people said of an event, and who decided what, as JSON."""
    stored = one.stored
    decisions = [
        {
            "by": decision.by,
            "at": decision.at.isoformat(),
            "before": dict(decision.before),
            "after": dict(decision.after),
            "undone_by": decision.undone_by,
            "undone_at": None if decision.undone_at is None else decision.undone_at.isoformat(),
        }
        for decision in one.decisions
    ]
    said = {"id": stored.event.id, "label": stored.label, "kept": stored.kept, "note": stored.note}
    return json.dumps({**said, "decisions": decisions}, indent=2) + "\n"


class _Sink(io.RawIOBase):
    """What the zip is written to: bytes that wait to be handed on."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        before = len(self._waiting)
        self._waiting += memoryview(data)  # type: ignore[arg-type]
        return len(self._waiting) - before

    def taken(self) -> Iterator[bytes]:
        """Yields what waits, if it is worth it."""
        if len(self._waiting) >= CHUNK:
            yield self.rest()

    def rest(self) -> bytes:
        """Returns what waits."""
        found = bytes(self._waiting)
        self._waiting.clear()
        return found


@dataclass
class _Packer:
    """The zip, the sums of what is in it, and what is missing."""

    zip: ZipFile
    made: datetime
    missing: list[str] = field(default_factory=list)
    _sums: list[tuple[str, str]] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)

    def free(self, path: str) -> str:
        """Returns a name that nothing in the zip has yet, in capitals or not."""
        number, name = 1, path
        while name.casefold() in self._taken:
            number += 1
            name = f"{path}-{number}"
        self._taken.add(name.casefold())
        return name

    def add(self, path: str, chunks: Chunks) -> Iterator[None]:
        """Adds a file, step by step; one that cannot be read is noted as missing."""
        reading = chunks()
        try:
            begun = next(reading, b"")
        except OSError as error:
            self.missing.append(f"{path}: {error.strerror or error}")
            return
        name, digest = self.free(path), hashlib.sha256()
        with self.zip.open(self._info(name), "w", force_zip64=True) as member:
            try:
                while begun:
                    digest.update(begun)
                    member.write(begun)
                    yield
                    begun = next(reading, b"")
            except OSError as error:
                self.missing.append(f"{name}: it ends too early ({error.strerror or error})")
        self._sums.append((digest.hexdigest(), name))
        yield

    def finish(self) -> Iterator[None]:
        """Adds what is missing, if anything is, and the sums of all files."""
        if self.missing:
            text = "".join(f"{line}\n" for line in self.missing)
            yield from self.add(MISSING, lambda: iter([text.encode()]))
        sums = "".join(f"{digest}  {name}\n" for digest, name in self._sums)
        yield from self.add(MANIFEST, lambda: iter([sums.encode()]))

    def _info(self, name: str) -> ZipInfo:
        info = ZipInfo(name, time.localtime(self.made.timestamp())[:6])
        info.compress_type = ZIP_DEFLATED if name.endswith(COMPRESSED) else ZIP_STORED
        info.external_attr = 0o644 << 16
        return info
