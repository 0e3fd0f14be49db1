"""The record of a watch in its output folder: where its console finds it, and what it watches."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from msflow_stream.files import write_json
from msflow_stream.types import UserError

RECORD, SOCKET = ".watch.json", ".watch.sock"
VERSION = 1
LONGEST = 103  # bytes of a socket's path, on every system that has them


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRecord:
    """What a watch says of itself; it stays when the watch has ended.

    Attributes:
        version: of this record's form.
        pid: the process.
        socket: path of the socket that it answers its console at.
        cameras, scenes: the cameras file and the folder of the scenes, absolute.
        started: when it began, as ISO 8601.
        http: where its metrics and health are, None for nowhere.
    """

    version: int = VERSION
    pid: int
    socket: str
    cameras: str
    scenes: str
    started: str
    http: str | None

    @classmethod
    def read(cls, out: Path) -> WatchRecord | None:
        """Returns the record in an output folder; None where no watch has left one.

        Raises:
            UserError: it is damaged, or cannot be read.
        """
        path = out / RECORD
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{name: values[name] for name in cls.__dataclass_fields__})
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from None
        except (ValueError, TypeError, KeyError):
            raise UserError(f"{path} is damaged: begin the watch again") from None

    def write(self, out: Path) -> None:
        """Writes it into an output folder, in one step."""
        write_json(out / RECORD, asdict(self))


@contextmanager
def socket_path(out: Path) -> Iterator[Path]:
    """Yields a path for the socket of a watch: in its folder, or where that takes none in one of its own elsewhere."""
    path = out.absolute() / SOCKET
    if _takes_socket(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="msflow-") as folder:  # which nobody else may enter
        yield Path(folder) / SOCKET


def _takes_socket(path: Path) -> bool:
    """Returns whether there can be a socket: not where paths are too long, nor on disks of some other systems."""
    if len(os.fsencode(path)) > LONGEST:
        return False
    try:
        path.unlink(missing_ok=True)  # of a watch that was killed
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(os.fspath(path))
        path.unlink()
    except OSError:
        return False
    return True
