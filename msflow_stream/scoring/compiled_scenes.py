"""The cache of what is made for scenes: more of them than a memory holds take turns in it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from threading import Lock, RLock, Thread
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from torch import nn

from msflow_stream.model.tensors import weights_bytes
from msflow_stream.scenes.scene import Scene

log = logging.getLogger(__name__)

LEAST = 2  # scenes that are always held: the one that scores, and the next one
Made = TypeVar("Made")


class CompiledScenes(Generic[Made]):
    """What is made for scenes, such as functions; where they exceed the capacity, those used longest ago go.

    May be used from several threads. What was made for a scene goes when the scene does.

    Args:
        compile: makes it for a scene and the size of its input.
        capacity_bytes: memory of what is held at most; None: no bound. What is in use counts beside it.
        nbytes: the memory that something takes, which may grow; that of the flow's weights if None.

    Attributes:
        made: number of things made so far.
    """

    def __init__(
        self,
        compile: Callable[[Scene], Made],
        capacity_bytes: int | None = None,
        nbytes: Callable[[Made], int] | None = None,
    ) -> None:
        self._compile, self._capacity_bytes, self._nbytes = compile, capacity_bytes, nbytes
        # What was used last is last.
        self._held: WeakKeyDictionary[nn.Module, dict[tuple[int, int], Made]] = WeakKeyDictionary()
        self._lock = Lock()  # of what is held
        self._making = RLock()  # who finds something does not wait for another that is made
        self.made = 0

    def __len__(self) -> int:
        with self._lock:
            return len(self._held)

    def all(self) -> list[Made]:
        """Returns all that is held."""
        with self._lock:
            return [one for held in self._held.values() for one in held.values()]

    def get(self, scene: Scene) -> Made:
        """Returns what is made for a scene, now if it is not held."""
        found = self._found(scene)
        if found is None:
            with self._making:
                found = self._found(scene) or self._made(scene)
        return found

    def prefetch(self, scenes: Sequence[Scene]) -> None:
        """Makes what is missing for scenes, in this order, in a thread of its own; they are the last to be let go."""
        missing = [scene for scene in reversed(scenes) if self._found(scene) is None]
        if missing:
            Thread(target=self._make_ahead, args=(missing[::-1],), name="make ready", daemon=True).start()

    def _make_ahead(self, scenes: Sequence[Scene]) -> None:
        try:
            for scene in scenes:
                self.get(scene)
        except Exception as error:  # who needs it meets it too, and says so
            log.debug("a scene was not made ready ahead of time", exc_info=error)

    def _found(self, scene: Scene) -> Made | None:
        with self._lock:
            held = self._held.pop(scene.flow, None)
            if held is None:
                return None
            self._held[scene.flow] = held
            if self._capacity_bytes is not None:  # what is held may have grown
                self._evict(self._capacity_bytes, LEAST)
            return held.get(scene.settings.input.size)

    def _made(self, scene: Scene) -> Made:
        if self._capacity_bytes is not None:
            with self._lock:
                self._evict(self._capacity_bytes - weights_bytes(scene.flow), LEAST - 1)
        made = self._compile(scene)
        with self._lock:
            self._held.setdefault(scene.flow, {})[scene.settings.input.size] = made
            self.made += 1
        return made

    def _evict(self, capacity_bytes: int, least: int) -> None:
        """Lets go of what was used longest ago until the others take no more bytes than this, or are the least."""
        sizes = {flow: self._size(flow, held) for flow, held in self._held.items()}
        while sum(sizes.values()) > capacity_bytes and len(sizes) > least:
            oldest = next(iter(sizes))
            del sizes[oldest], self._held[oldest]

    def _size(self, flow: nn.Module, held: dict[tuple[int, int], Made]) -> int:
        return weights_bytes(flow) if self._nbytes is None else sum(map(self._nbytes, held.values()))
