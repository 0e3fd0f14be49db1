"""The nodes of a cluster: their names, what they have, and whether they run the same program."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import msflow_stream
from msflow_stream.types import UserError

PACKAGES = ("torch", "torchvision", "timm", "av", "numpy", "opencv-python-headless")  # that numbers depend on
ANSWER_SECONDS = 120.0  # for a node to start a first process


def own_versions() -> dict[str, str]:
    """Returns the versions that numbers depend on, on the machine where this is called."""
    own = {"msflow-stream": msflow_stream.__version__, "Python": platform.python_version()}
    return own | {package: version(package) for package in PACKAGES}


def alive() -> list[dict[str, Any]]:
    """Returns the nodes that are there, as Ray describes them."""
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def cluster_resources() -> dict[str, float]:
    """Returns what all nodes have together, such as CPU and GPU."""
    import ray

    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call]


def node_name(node: dict[str, Any]) -> str:
    """Returns a node's name for people, which is stable as long as it lives: its host's, and eight digits of its id."""
    return f"{node['NodeManagerHostname']}-{node['NodeID'][:8]}"


def smallest(resource: str) -> float:
    """Returns the least that a node with any of it has of a resource."""
    return min((float(node["Resources"][resource]) for node in alive() if node["Resources"].get(resource)), default=1.0)


def check_nodes() -> None:
    """Makes sure that every node runs this program in this version, with the same libraries.

    Raises:
        UserError: one does not; the line names it, and what differs.
    """
    import ray
    from ray.exceptions import GetTimeoutError, RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask, own = ray.remote(own_versions), own_versions()
    asked = {}
    for node in alive():
        strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked[node_name(node)] = ask.options(num_cpus=0, scheduling_strategy=strategy).remote()
    for name, answer in asked.items():
        try:
            found = ray.get(answer, timeout=ANSWER_SECONDS)
        except GetTimeoutError:
            raise UserError(f"node {name} does not answer: is it able to start a process?") from None
        except RayError as error:
            if "ModuleNotFoundError" not in str(error):
                continue  # it died meanwhile
            raise UserError(
                f"node {name} does not have msflow-stream {own['msflow-stream']}: install it there"
            ) from None
        for package, there in found.items():
            if there != own.get(package):
                raise UserError(
                    f"node {name} has {package} {there}, and this machine {own.get(package)}: install the same"
                )
