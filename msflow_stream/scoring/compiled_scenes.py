"""The cache of compiled scenes: more scenes than a memory holds take turns in it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from threading import Lock, RLock, Thread
from weakref import WeakKeyDictionary

from torch import nn

from msflow_stream.model.tensors import weights_bytes
from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engines.base import Run

log = logging.getLogger(__name__)

LEAST = 2  # scenes that are always held: the one that scores, and the next one


class CompiledScenes:
    """The functions of scenes' flows; where another exceeds the capacity, the one used longest ago goes.

    May be used from several threads. What was made for a scene goes when the scene does.

    Args:
        compile: makes the function of a scene's flow, for the size of its input.
        capacity_bytes: weights of the flows that are held at most; None: no bound. Those in use count beside it.

    Attributes:
        made: number of functions made so far.
    """

    def __init__(self, compile: Callable[[Scene], Run], capacity_bytes: int | None = None) -> None:
        self._compile, self._capacity_bytes = compile, capacity_bytes
        self._held: WeakKeyDictionary[nn.Module, dict[tuple[int, int], Run]] = WeakKeyDictionary()  # used last is last
        self._lock = Lock()  # of what is held
        self._making = RLock()  # who finds a function does not wait for another that is made
        self.made = 0

    def __len__(self) -> int:
        with self._lock:
            return len(self._held)

    def get(self, scene: Scene) -> Run:
        """Returns the function for a scene, made now if it is not held."""
        run = self._found(scene)
        if run is None:
            with self._making:
                run = self._found(scene) or self._made(scene)
        return run

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

    def _found(self, scene: Scene) -> Run | None:
        with self._lock:
            runs = self._held.pop(scene.flow, None)
            if runs is None:
                return None
            self._held[scene.flow] = runs
            return runs.get(scene.settings.input.size)

    def _made(self, scene: Scene) -> Run:
        if self._capacity_bytes is not None:
            with self._lock:
                self._evict(self._capacity_bytes - weights_bytes(scene.flow))
        run = self._compile(scene)
        with self._lock:
            self._held.setdefault(scene.flow, {})[scene.settings.input.size] = run
            self.made += 1
        return run

    def _evict(self, capacity_bytes: int) -> None:
        """Lets go of functions until the weights of the others take no more bytes than this."""
        sizes = {flow: weights_bytes(flow) for flow in self._held}
        while sum(sizes.values()) > capacity_bytes and len(sizes) >= LEAST:
            oldest = next(iter(sizes))
            del sizes[oldest], self._held[oldest]
