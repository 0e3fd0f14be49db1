"""Completed passes of a fit, kept so that it can go back to them, or go on after it was killed."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from msflow_stream.files import file_hash, replaced

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

KEPT = 2  # files of the newest, and of the one before should it be damaged


class Checkpoint(NamedTuple):
    """The state after a pass: tensors by name, and plain JSON values."""

    tensors: Mapping[str, Tensor]
    record: Mapping[str, Any]


class CheckpointStore(Protocol):
    """A place for checkpoints. `number` counts completed passes."""

    def save(self, number: int, checkpoint: Checkpoint) -> None:
        """Keeps a checkpoint."""

    def newest(self) -> Checkpoint | None:
        """Returns the newest one that is whole."""


class MemoryCheckpoints:
    """A place in memory for the newest checkpoint."""

    def __init__(self) -> None:
        self._newest: Checkpoint | None = None

    def save(self, number: int, checkpoint: Checkpoint) -> None:
        """Keeps a copy of the checkpoint."""
        tensors = {name: value.clone() for name, value in checkpoint.tensors.items()}
        self._newest = Checkpoint(tensors, checkpoint.record)

    def newest(self) -> Checkpoint | None:
        """Returns the newest one."""
        return self._newest


class FileCheckpoints:
    """A folder of checkpoints, each there whole or not at all.

    A checkpoint is `pass-N.safetensors`, the record in its metadata, and, written after it, `pass-N.sha256`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def passes(self) -> int:
        """Completed passes of the newest checkpoint, 0 if there is none."""
        return max(self._numbers(), default=0)

    def save(self, number: int, checkpoint: Checkpoint) -> None:
        """Writes the checkpoint and removes those that are older than the one before it."""
        from safetensors.torch import save_file  # slow, here and below

        self.folder.mkdir(parents=True, exist_ok=True)
        content, checksum = self._paths(number)
        tensors = {name: value.detach().cpu().contiguous() for name, value in checkpoint.tensors.items()}
        with replaced(content) as path:
            save_file(tensors, path, {"record": json.dumps(checkpoint.record)})
        with replaced(checksum) as path:
            path.write_bytes(_checksum(content))
        for old in self._numbers()[:-KEPT]:
            self._remove(old)

    def newest(self) -> Checkpoint | None:
        """Returns the newest one that is not damaged; the damaged are named in a warning and removed."""
        from safetensors import safe_open
        from safetensors.torch import load_file

        for number in reversed(self._numbers()):
            content, checksum = self._paths(number)
            if content.exists() and checksum.read_bytes() == _checksum(content):
                with safe_open(content, "pt") as file:
                    record = json.loads(file.metadata()["record"])
                # Copies: what is read lies in the file, which could not be removed on Windows as long as a fit has it.
                return Checkpoint({name: value.clone() for name, value in load_file(content).items()}, record)
            log.warning("the checkpoint of pass %d is damaged and left out", number)
            self._remove(number)
        return None

    def clear(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem.removeprefix("pass-")) for path in self.folder.glob("pass-*.sha256"))

    def _paths(self, number: int) -> tuple[Path, Path]:
        return self.folder / f"pass-{number}.safetensors", self.folder / f"pass-{number}.sha256"

    def _remove(self, number: int) -> None:
        for path in self._paths(number):
            path.unlink(missing_ok=True)


def _checksum(path: Path) -> bytes:
    """The hash of a file as the command `sha256sum` prints it."""
    return f"{file_hash(path)}  {path.name}\n".encode()
