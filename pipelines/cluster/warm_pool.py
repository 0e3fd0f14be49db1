"""Actors that keep what many units need, such as a scorer, and do one unit after the other with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from ..units import EXPECTED, Failed, Unit, Warm


def attempt(call: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Returns what a unit returns, or a `Failed` for what its failing alone is about."""
    try:
        return call(*args)
    except EXPECTED as error:
        return Failed(str(error) or type(error).__name__)


class WarmWorker:
    """An actor: makes what its units need with the first of them, and keeps it."""

    def __init__(self, make: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._make, self._args, self._made = make, args, None

    def ready(self) -> None:
        """Returns once the actor is there, after a restart too."""

    def attempt(self, call: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Returns what a unit returns, or a `Failed`."""
        if self._made is None:
            made = attempt(self._make, self._args)
            if isinstance(made, Failed):
                return made
            self._made = made
        return attempt(call, (self._made, *args))


class WarmPool:
    """The actors of one `Warm`. Ray places them and starts them again where one dies.

    Attributes:
        calls: units under way, by the references of their answers.
    """

    def __init__(self, warm: Warm, cpus: float, gpus: float) -> None:
        self.calls: dict[Any, Unit] = {}
        self._warm = warm
        self._options = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": -1, "scheduling_strategy": "SPREAD"}
        self._at: dict[Any, Any] = {}  # the actor of every reference
        self._free: list[Any] = []

    def begin(self, unit: Unit) -> bool:
        """Gives a unit to an actor that is free; False if none is."""
        if not self._free:
            return False
        self._call(self._free.pop(), unit)
        return True

    def grow(self, actors: int) -> None:
        """Starts actors until there are so many; those that nothing is free for wait at the cluster."""
        while len(self._free) + len(self._at) < actors:
            self._await(ray.remote(WarmWorker).options(**self._options).remote(self._warm.make, self._warm.args))

    def refs(self) -> Iterator[Any]:
        """Yields the references of all that will be answered."""
        yield from self._at

    def take(self, ref: Any) -> Unit | None:
        """Takes a reference that is answered; returns its unit, None if it is no unit's or not of this pool."""
        actor, unit = self._at.pop(ref, None), self.calls.pop(ref, None)
        if actor is None:
            return None
        try:
            ray.get(ref)
        except RayActorError:
            if unit is not None:
                self._await(actor)  # Ray starts it again; one that did not even begin is given up
            return unit
        except RayError:  # of the unit alone
            pass
        self._free.append(actor)
        return unit

    def release(self) -> None:
        """Lets go of actors that are free."""
        while self._free:
            ray.kill(self._free.pop())

    def close(self) -> None:
        """Ends all actors, whatever they do."""
        for actor in (*self._free, *self._at.values()):
            with suppress(RayError):
                ray.kill(actor)

    def _call(self, actor: Any, unit: Unit) -> None:
        ref = actor.attempt.remote(unit.call, unit.args)
        self._at[ref], self.calls[ref] = actor, unit

    def _await(self, actor: Any) -> None:
        self._at[actor.ready.options(max_task_retries=-1).remote()] = actor
