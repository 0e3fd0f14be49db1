"""The connection to a Ray cluster, on which the units of a job run as tasks, or on actors that stay warm."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

from msflow_stream.cores import COUNTS, WAITING, computing_threads
from msflow_stream.types import UserError

from ..units import Here, OnDone, Share, Unit, UnitRunner

NAMESPACE = "msflow-stream"
THREADS = COUNTS[0]
GPU_UNIT_CPUS = 1  # of a unit that computes on a GPU: it decodes and prepares meanwhile


class Session:
    """A cluster that is connected to: a `UnitRunner`, and what jobs have to know of its machines.

    Attributes:
        address: as a person gave it.
        cpus: cores of the smallest node; no unit is given more.
        gpus: whether there is any GPU.
        threads: that units compute with, as many as here, so that their numbers are the same.
    """

    def __init__(self, address: str, cpus: float, gpus: bool) -> None:
        self.address, self.cpus, self.gpus, self.threads = address, cpus, gpus, computing_threads()

    def share(self, device: str, gpu: float = 1) -> Share:
        """Returns what a unit takes that computes on a device: auto is a GPU's part where the cluster has any."""
        if device.startswith("cuda") or (device == "auto" and self.gpus):
            return Share("cuda", GPU_UNIT_CPUS, gpu)
        return Share("cpu", self.threads, 0)

    def run(self, units: Iterable[Unit], on_done: OnDone, title: str = "") -> None:
        """Runs units on all nodes, a window of them at a time; see `UnitRunner`.

        A unit whose worker or node dies is done again elsewhere.

        Raises:
            UserError: the cluster is gone.
        """
        from .unit_run import UnitRun

        UnitRun(self.address, self.cpus, on_done, title).run(units)


@contextmanager
def connected(address: str) -> Iterator[Session]:
    """Connects to a cluster as long as this lasts.

    Args:
        address: auto for the cluster that this machine belongs to, HOST:PORT of a head, or ray://HOST:PORT from
            outside.

    Raises:
        UserError: Ray is not installed, there is no such cluster, or a node has other versions than this machine.
    """
    try:
        import ray
    except ImportError:
        raise UserError("Ray is not installed: pip install 'msflow-stream[cluster]'") from None
    from .heartbeat import answers, head_of
    from .nodes import check_nodes, cluster_resources, smallest

    place = head_of(address)
    if place is not None and not answers(place):
        raise UserError(_no_cluster(address, "nothing listens there"))
    try:
        ray.init(
            address,
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": _variables()},
        )
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise UserError(_no_cluster(address, str(error).strip() or type(error).__name__)) from None
    try:
        check_nodes()
        yield Session(address, smallest("CPU"), bool(cluster_resources().get("GPU")))
    finally:
        with suppress(Exception):  # of a cluster that is gone there is nothing to leave
            ray.shutdown()


def running(address: str | None) -> AbstractContextManager[UnitRunner]:
    """Returns what runs units: a cluster that is connected to meanwhile, or this process without an address."""
    return nullcontext(Here()) if address is None else connected(address)


def _variables() -> dict[str, str]:
    """What libraries read when they are loaded, as here: numbers do not depend on the machine that computes them."""
    kept: dict[str, str] = {name: os.environ[name] for name in (*WAITING, *COUNTS) if name in os.environ}
    return {**kept, THREADS: str(computing_threads())}


def _no_cluster(address: str, reason: str) -> str:
    if address == "auto":
        return "no Ray cluster on this machine: start one with `ray start --head`, or give --cluster HOST:PORT"
    return (
        f"no Ray cluster answers at {address} ({reason.splitlines()[0]}): is its head running, and is the port right?"
    )
