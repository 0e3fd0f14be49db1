"""The nodes of a Ray cluster on which cameras are watched, each by an actor that outlives who began it."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from .node_desk import NodeCalls
from .nodes import alive, node_name
from .ray_calls import RayCalls
from .session import NAMESPACE
from .watch_node import WatchNode

log = logging.getLogger(__name__)

PREFIX = "watch "  # of the actors' names


class RayFleet:
    """The nodes that have a processor to give, each with its `WatchNode`; on a machine with a GPU it gets one."""

    def __init__(self) -> None:
        self._ids: dict[str, tuple[str, bool]] = {}  # of nodes: Ray's, and whether there is a GPU
        self._actors: dict[str, Any] = {}

    def nodes(self) -> list[str]:
        """Returns the names of the nodes that there are now; one that is new gets its actor."""
        self._ids = {
            node_name(node): (node["NodeID"], bool(node["Resources"].get("GPU")))
            for node in alive()
            if node["Resources"].get("CPU")
        }
        for name in self._actors.keys() - self._ids.keys():
            self.end(name)  # or it would wait for the node to come back, which then has another name
        for name in self._ids:
            if name not in self._actors:
                self._actors[name] = self._actor(name)
        return list(self._ids)

    def _actor(self, name: str) -> Any:
        id, gpu = self._ids[name]
        options = {
            "name": f"{PREFIX}{name}",
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "get_if_exists": True,
            "max_restarts": -1,
            "num_cpus": 1,
            "num_gpus": 1 if gpu else 0,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(id, soft=False),
        }
        return ray.remote(WatchNode).options(**options).remote(name)

    def call(self, node: str, method: str, *arguments: Any) -> Future[Any]:
        """Calls a method of a node's actor; never waits."""
        failed: Future[Any] = Future()
        try:
            answer: Future[Any] = getattr(self._actors[node], method).remote(*arguments).future()
        except (KeyError, RayError) as error:
            failed.set_exception(error)
            return failed
        answer.add_done_callback(lambda done: self._forget_dead(node, done))
        return answer

    def _forget_dead(self, node: str, done: Future[Any]) -> None:
        """Lets go of an actor that Ray does not begin again, so that there is a new one."""
        if not done.cancelled() and isinstance(done.exception(), RayActorError):
            error = done.exception()
            if "ActorDiedError" in type(error).__name__:
                self._actors.pop(node, None)

    def calls(self, node: str) -> NodeCalls:
        """Returns what the console may ask of a node."""
        return RayCalls(self._actors[node])

    def restart(self, node: str) -> None:
        """Has a node's actor begin anew, with nothing."""
        with suppress(KeyError, RayError):
            ray.kill(self._actors[node], no_restart=False)

    def end(self, node: str) -> None:
        """Ends a node's actor."""
        with suppress(KeyError, RayError):
            ray.kill(self._actors.pop(node), no_restart=True)
