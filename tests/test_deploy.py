"""What runs the program as a service asks for things that exist."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
import yaml

from tests.support.command import Command
from tests.support.data import REPOSITORY

DOCKERFILE, UNIT = REPOSITORY / "deploy" / "Dockerfile", REPOSITORY / "deploy" / "msflow-stream.service"


def container_command() -> list[str]:
    found = re.findall(r"^CMD (\[.*?\])$", DOCKERFILE.read_text().replace("\\\n", ""), re.MULTILINE)
    return list(json.loads(found[-1]))


def service_command() -> list[str]:
    text = UNIT.read_text().replace("\\\n", "")
    return shlex.split(text.partition("ExecStart=")[2].splitlines()[0])[1:]


@pytest.mark.parametrize("arguments", [container_command(), service_command()], ids=["container", "service"])
def test_the_command_of_a_service_is_one_that_the_program_takes(
    command: Command, arguments: list[str], tmp_path: Path
) -> None:
    cameras = tmp_path / "cameras.yaml"
    cameras.write_text(yaml.safe_dump({"cameras": {"gate": {"url": "rtsp://192.0.2.1/", "scene": "nowhere"}}}))
    verb, file, *options = arguments
    assert (verb, Path(file).name) == ("watch", "cameras.yaml")
    options = [str(tmp_path / one.lstrip("/")) if one.startswith("/") else one for one in options]
    outcome = command(verb, cameras, *options)
    assert outcome.code == 2
    assert "no scene 'nowhere'" in outcome.err  # so every option was understood


def test_what_the_container_copies_is_there() -> None:
    copied = re.findall(r"^COPY (.*) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert {"setup.py", "pipelines", "configs"} <= set(names)
    assert [name for name in names if not (REPOSITORY / name).exists()] == []


def container_environment() -> dict[str, str]:
    lines = re.findall(r"^ENV (.*)$", DOCKERFILE.read_text(), re.MULTILINE)
    return dict(pair.split("=", 1) for line in lines for pair in shlex.split(line))


def unit_settings(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def test_the_container_gets_the_parts_of_the_driver_that_are_used() -> None:
    assert set(container_environment()["NVIDIA_DRIVER_CAPABILITIES"].split(",")) == {"compute", "utility", "video"}


def test_what_is_compiled_for_the_machine_is_kept_where_the_user_may_write() -> None:
    container = {name: value for name, value in container_environment().items() if "CACHE" in name}
    assert set(container) == {"XDG_CACHE_HOME", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"}
    owned = re.findall(r"chown watch (.*)$", DOCKERFILE.read_text(), re.MULTILINE)[0].split()
    kept = re.findall(r"^VOLUME (.*)$", DOCKERFILE.read_text(), re.MULTILINE)[0].split()
    assert all(any(Path(value).is_relative_to(folder) for folder in owned) for value in container.values())
    assert set(owned) == set(kept) == {"/data", "/cache"}
    service = dict(pair.split("=", 1) for line in unit_settings("Environment") for pair in shlex.split(line))
    assert set(service) == set(container)
    (folder,) = unit_settings("CacheDirectory")  # which systemd makes for the user, below %C
    places = {
        name: Path(value, *(["msflow-stream"] if name == "XDG_CACHE_HOME" else [])) for name, value in service.items()
    }
    assert all(place.is_relative_to(f"%C/{folder}") for place in places.values())


def test_the_container_for_gpus_has_a_compiler_and_says_what_driver_it_needs() -> None:
    text = DOCKERFILE.read_text()
    (step,) = (
        step for step in re.split(r"^(?=RUN )", text.replace("\\\n", ""), flags=re.MULTILINE) if "apt-get" in step
    )
    assert re.search(r'"\$VARIANT" = cuda \]; then packages="g\+\+"; fi;.* apt-get install [^;]* \$packages', step)
    if torch.version.cuda is None:
        pytest.skip("a PyTorch for CPUs")
    driver = {"13": "580", "12": "525"}[torch.version.cuda.split(".")[0]]  # the oldest, by NVIDIA's table
    assert f"driver {driver} or newer" in text
    assert f"driver {driver} or newer" in UNIT.read_text()


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/msflow-stream/bin/msflow-stream", "/bin/true"))
    checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
    assert UNIT.name not in checked.stderr


def test_the_design_page_names_files_that_are_there() -> None:
    page = (REPOSITORY / "docs" / "design.md").read_text()
    there = [f"/{path.relative_to(REPOSITORY)}" for path in REPOSITORY.glob("*") if not path.name.startswith(".")]
    for room in ("msflow_stream", "pipelines"):
        there += [f"/{path.relative_to(REPOSITORY)}" for path in (REPOSITORY / room).rglob("*")]
    named = re.findall(r"`([a-z_]+(?:/[a-z_]+)*(?:/|\.py))`", page)
    drawn = re.findall(r'\["((?:[a-z_]+/)*[a-z_]+/[a-z_]+)[<,"]', page)
    assert (len(named) > 30, len(drawn) > 15) == (True, True)
    ends = [f"/{name.rstrip('/')}" for name in named] + [f"/{name}" for name in drawn]
    assert [end for end in ends if not any(one.endswith((end, f"{end}.py")) for one in there)] == []
