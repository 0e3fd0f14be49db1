"""What deploys a cluster is what Ray, KubeRay and the program itself take, and fits together."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.command import Command
from tests.support.data import REPOSITORY

pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")

DEPLOY = REPOSITORY / "deploy"
CLUSTER, KUBERAY = DEPLOY / "ray-cluster.yaml", DEPLOY / "kuberay"
NAME = re.compile(r"[a-z]([-a-z0-9]{0,45}[a-z0-9])?")  # of what KubeRay makes other names from
SPECS = {  # of KubeRay's types: what has to be there, and what else there may be here
    "RayCluster": ({"headGroupSpec"}, {"workerGroupSpecs", "rayVersion", "authOptions"}),
    "RayJob": ({"clusterSelector", "entrypoint"}, {"submissionMode", "backoffLimit"}),
    "PersistentVolumeClaim": ({"accessModes", "resources"}, set()),
    "Service": ({"selector", "ports"}, set()),
}
GROUP = {"rayStartParams", "template"}
WORKERS = GROUP | {"groupName", "replicas", "minReplicas", "maxReplicas"}


def documents() -> list[dict[str, Any]]:
    files = [path for path in sorted(KUBERAY.glob("*.yaml")) if path.name not in ("kustomization.yaml", "images.yaml")]
    return [one for path in files for one in yaml.safe_load_all(path.read_text())]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [one for one in documents() if one["kind"] == kind]


def groups() -> list[dict[str, Any]]:
    (cluster,) = of_kind("RayCluster")
    return [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]


def start_options() -> set[str]:
    from ray.scripts.scripts import start

    return {name for option in start.params for name in option.opts}


def commands() -> Iterator[list[str]]:
    """The commands of the program that files of the cluster run or name in their comments."""
    yield from (shlex.split(job["spec"]["entrypoint"]) for job in of_kind("RayJob"))
    text = re.sub(r" \\\n# *", " ", CLUSTER.read_text())
    yield from (shlex.split(found) for found in re.findall(r"(msflow-stream watch [^'\n]*)'", text))


def test_ray_takes_the_cluster_that_is_brought_up() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load(CLUSTER.read_text()))
    validate_config(config)  # by ray.autoscaler's own schema
    (node,) = config["available_node_types"].values()
    assert node["max_workers"] == node["min_workers"] == len(config["provider"]["worker_ips"])


def test_nodes_are_begun_with_options_that_ray_start_has() -> None:
    config = yaml.safe_load(CLUSTER.read_text())
    lines = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    given = {option.partition("=")[0] for line in lines if "ray start" in line for option in re.findall(r"--\S+", line)}
    given |= {f"--{name}" for group in groups() for name in group["rayStartParams"]}
    assert given >= {"--head", "--address", "--object-store-memory", "--num-cpus"}
    assert given <= start_options()


def test_ports_of_ray_want_a_token() -> None:
    options = yaml.safe_load(CLUSTER.read_text())["docker"]["run_options"]
    assert {"--env=RAY_AUTH_MODE=token", "--env=RAY_AUTH_TOKEN_PATH=/data/ray-token"} <= set(options)
    (cluster,) = of_kind("RayCluster")
    assert cluster["spec"]["authOptions"] == {"mode": "token"}


def test_every_container_runs_the_image_of_one_machine() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert "EXTRAS=cluster,postgres" in dockerfile
    assert re.search(r'\*,cluster,\*\) packages="\$packages openssh-client rsync wget"', dockerfile)
    images = {one["image"] for group in groups() for one in group["template"]["spec"]["containers"]}
    assert images == {"msflow-stream"}
    run = yaml.safe_load(CLUSTER.read_text())["docker"]["run_options"]
    kept = {
        mount["mountPath"] for group in groups() for mount in group["template"]["spec"]["containers"][0]["volumeMounts"]
    }
    assert kept >= {"/data", "/cache"}, "the volumes of the image"
    assert {option.rpartition(":")[2] for option in run if option.startswith("--volume=")} == {"/data", "/cache"}
    users = {group["template"]["spec"]["securityContext"]["runAsUser"] for group in groups()}
    assert users == {int(*re.findall(r"useradd --uid (\d+)", dockerfile))}


@pytest.mark.parametrize("document", documents(), ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_a_manifest_has_what_its_kind_wants_and_nothing_else(document: dict[str, Any]) -> None:
    kind, spec = document["kind"], document["spec"]
    assert set(document) == {"apiVersion", "kind", "metadata", "spec"}
    assert document["apiVersion"] == ("ray.io/v1" if kind.startswith("Ray") else "v1")
    assert NAME.fullmatch(document["metadata"]["name"])
    needed, further = SPECS[kind]
    assert needed <= set(spec) <= needed | further


def test_the_groups_of_the_cluster_are_whole() -> None:
    head, *workers = groups()
    assert set(head) == GROUP
    assert [set(group) for group in workers] == [WORKERS]
    assert workers[0]["minReplicas"] <= workers[0]["replicas"] <= workers[0]["maxReplicas"]
    for group in (head, *workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        spec = group["template"]["spec"]
        (container,) = spec["containers"]
        volumes = {volume["name"] for volume in spec["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        assert container["resources"]["limits"] == container["resources"]["requests"], "Ray counts what it may use"
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])


def test_what_is_claimed_is_shared_by_all_nodes() -> None:
    claims = {one["metadata"]["name"]: one["spec"]["accessModes"] for one in of_kind("PersistentVolumeClaim")}
    volumes = [volume for group in groups() for volume in group["template"]["spec"]["volumes"]]
    named = {one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one}
    assert claims == {name: ["ReadWriteMany"] for name in named}


def test_jobs_and_services_find_the_cluster() -> None:
    (cluster,) = of_kind("RayCluster")
    name, head = cluster["metadata"]["name"], groups()[0]["template"]["spec"]["containers"][0]
    assert {job["spec"]["clusterSelector"]["ray.io/cluster"] for job in of_kind("RayJob")} == {name}
    ports = {port["name"]: port["containerPort"] for port in head["ports"]}
    for service in of_kind("Service"):
        assert service["spec"]["selector"] == {"ray.io/cluster": name, "ray.io/node-type": "head"}
        (port,) = service["spec"]["ports"]
        assert ports[port["targetPort"]] == port["port"]
    assert (ports["metrics"], ports["console"]) == (9840, 9841)


def test_the_version_of_ray_is_one_that_the_program_takes() -> None:
    (cluster,) = of_kind("RayCluster")
    oldest = re.findall(r'"ray\[default\]>=([\d.]+)"', (REPOSITORY / "pyproject.toml").read_text())[0]
    named = tuple(map(int, cluster["spec"]["rayVersion"].split(".")))
    assert named >= tuple(map(int, oldest.split(".")))


def test_every_command_is_one_that_the_program_takes(command: Command, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    cameras = tmp_path / "data" / "cameras.yaml"
    cameras.write_text(yaml.safe_dump({"cameras": {"gate": {"url": "rtsp://192.0.2.1/", "scene": "nowhere"}}}))
    seen = set()
    for program, verb, *arguments in commands():
        placed = [str(tmp_path / one.lstrip("/")) if one.startswith("/") else one for one in arguments]
        assert "--cluster" in placed
        if verb == "watch":
            outcome = command(verb, *placed)
            assert (program, outcome.code) == ("msflow-stream", 2)
            assert "add `store: postgresql://" in outcome.err  # so every option was understood
        seen.add(verb)
    assert seen == {"watch", "score"}


def test_kubectl_puts_the_parts_together() -> None:
    if (kubectl := shutil.which("kubectl")) is None:
        pytest.skip("no kubectl on this machine")
    done = subprocess.run([kubectl, "kustomize", KUBERAY], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    assert {one["kind"] for one in built} == {"PersistentVolumeClaim", "RayCluster", "RayJob", "Service"}
    assert re.findall(r"image: (.*)", done.stdout) == ["registry.example/msflow-stream:latest"] * 2
