"""A Ray cluster of processes on this machine, whose nodes can be killed as a power cut does."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
STORE_BYTES = 80 * 2**20  # Ray's least is 75 MiB
TRIES, PATIENCE = 3, 240.0  # seconds
SLOWLY = {
    "RAY_raylet_start_wait_time_s": "240",
    "RAY_agent_register_timeout_ms": "300000",
}  # machines that test are busy
PORTS = ("metrics_agent_port", "runtime_env_agent_port", "dashboard_agent_listen_port")


@contextmanager
def ray_cluster(nodes: int = 3, cpus: float = 1) -> Iterator[Any]:
    """Runs a head and other nodes, each with so many CPUs; yields `ray.cluster_utils.Cluster`."""
    pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ |= SLOWLY
    os.environ["PYTHONPATH"] = str(ROOT)  # where workers find functions of tests
    settings = {"num_cpus": cpus, "object_store_memory": STORE_BYTES}
    cluster = _begun(lambda: _head(settings | _ports()))
    try:
        for _ in range(nodes - 1):
            add_node(cluster, cpus)
        cluster.wait_for_nodes(timeout=PATIENCE)
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Any, cpus: float = 1) -> None:
    """Adds a node, and does not wait until it is known."""
    settings = {"num_cpus": cpus, "object_store_memory": STORE_BYTES}
    _begun(lambda: cluster.add_node(**settings, **_ports(), wait=False))


def _head(settings: dict[str, Any]) -> Any:
    from ray.cluster_utils import Cluster

    return Cluster(initialize_head=True, head_node_args={**settings, "include_dashboard": False})


def _ports() -> dict[str, int]:
    """Ports that are free: a node that chooses its own gives up on a busy machine before it knows them."""
    with ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in PORTS]
        return {name: one.getsockname()[1] for name, one in zip(PORTS, free, strict=True)}


def _begun(begin: Callable[[], Any]) -> Any:
    """What is begun, tried again where Ray gives a node up, as on a very busy machine."""
    for _ in range(TRIES - 1):
        with suppress(Exception):
            return begin()
    return begin()


def kill_node(node: Any) -> None:
    """Ends all processes of a node at once, those of its workers too."""
    own = [process.process.pid for processes in node.all_processes.values() for process in processes]
    for pid in [*(child for parent in own for child in children(parent)), *own]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def children(parent: int) -> list[int]:
    """Returns the processes that a process has started, and those that these have."""
    with suppress(OSError):
        own = [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
        return [pid for child in own for pid in (*children(child), child)]
    return []
