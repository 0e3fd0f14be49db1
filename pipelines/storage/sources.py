"""Sources at URLs, expanded and grouped by the very rules that hold for folders of this machine."""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msflow_stream.logs import redact
from msflow_stream.types import UserError
from msflow_stream.video.sources import expand_sources, group_by_scene

from .copies import local_copy
from .objects import Objects
from .urls import Spec, is_url


def expanded(args: Sequence[str]) -> list[str]:
    """Expands files, patterns, folders and URLs of object storage into sources, as `expand_sources` does.

    Raises:
        UserError: as there, or a storage that cannot be read.
    """
    if not any(is_url(arg) for arg in args):
        return expand_sources(args)
    with _StandIns() as stand_ins:
        specs = expand_sources([stand_ins.path_of(arg) if is_url(arg) else arg for arg in args])
        return [stand_ins.spec_of(spec) for spec in specs]


def scenes_from(root: Spec) -> dict[str, list[str]]:
    """Returns sources by scene, as `group_by_scene` does, in a folder or below a URL."""
    if not is_url(root):
        return group_by_scene(Path(root))
    with _StandIns() as stand_ins:
        groups = group_by_scene(Path(stand_ins.path_of(str(root))))
        return {name: [stand_ins.spec_of(spec) for spec in specs] for name, specs in groups.items()}


@contextmanager
def local_sources(specs: Sequence[str]) -> Iterator[list[str]]:
    """Yields sources that can be opened: those at URLs as copies on this machine, which stay meanwhile."""
    with ExitStack() as stack:
        yield [str(stack.enter_context(local_copy(spec))) if is_url(spec) else spec for spec in specs]


class _StandIns:
    """A tree of empty files that are named as objects are: SCHEME/BUCKET/NAME for each. A context manager."""

    def __enter__(self) -> _StandIns:
        self._temporary = tempfile.TemporaryDirectory(prefix="msflow-stream-")
        self._root = Path(self._temporary.name).resolve()
        return self

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()

    def path_of(self, url: str) -> str:
        """Returns the path, or the pattern, that stands for a URL, having listed the objects there.

        Raises:
            UserError: there are none.
        """
        scheme, _, rest = url.rstrip("/").partition("://")
        parts = rest.split("/")
        plain = next((place for place, part in enumerate(parts) if glob.has_magic(part)), len(parts))
        if plain == 0:
            raise UserError(f"{redact(url)}: a pattern cannot stand for a bucket")
        base = self._root.joinpath(scheme, *parts[:plain])
        found = Objects(f"{scheme}://{'/'.join(parts[:plain])}").listed()
        if not found:
            raise UserError(f"{redact(url)}: nothing is there")
        for one in found:
            path = base / one.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return str(base.joinpath(*parts[plain:]))

    def spec_of(self, path: str) -> str:
        """Returns the URL that a path stands for; a path that stands for none as it is."""
        found = Path(path)
        if not found.is_relative_to(self._root):
            return path
        scheme, *parts = found.relative_to(self._root).parts
        return f"{scheme}://{'/'.join(parts)}"
