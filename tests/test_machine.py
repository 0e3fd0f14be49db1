"""What the machine has, and what of it a container or an affinity leaves to the process."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from msflow_stream import machine
from msflow_stream.cores import usable_cores
from msflow_stream.machine import cache_folder, choose_device, has_bf16, tf32, usable_memory
from msflow_stream.types import UserError

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc and affinity are Linux's")


@pytest.fixture
def cores() -> Iterator[list[int]]:
    """The cores of this process, which it has again afterwards."""
    before = os.sched_getaffinity(0)
    yield sorted(before)
    os.sched_setaffinity(0, before)


@pytest.fixture
def threads() -> Iterator[None]:
    """Torch has as many threads afterwards as before."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def limit(monkeypatch: pytest.MonkeyPatch, folder: Path, content: str | None) -> None:
    """A container whose memory.max holds `content`; None: no container."""
    path = folder / "memory.max"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr("msflow_stream.machine.CGROUP_MEMORY", path)


@pytest.mark.parametrize("size", [2**20, 2**28 + 4096])
def test_the_memory_of_a_container_is_its_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int) -> None:
    limit(monkeypatch, tmp_path, f"{size}\n")
    assert usable_memory() == size


@linux
@pytest.mark.parametrize("content", [None, "max\n", "", f"{2**62}\n"], ids=["none", "max", "empty", "beyond it"])
def test_without_a_limit_the_memory_is_that_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    limit(monkeypatch, tmp_path, content)
    total = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    assert total is not None
    assert usable_memory() == pytest.approx(int(total[1]) * 1024, rel=0.01)


def test_the_cpu_never_gets_more_threads_than_it_had(threads: None) -> None:
    torch.set_num_threads(1)
    choose_device("cpu")
    assert torch.get_num_threads() == 1


def test_the_cpu_gets_no_more_threads_than_there_are_cores(threads: None) -> None:
    torch.set_num_threads(usable_cores() + 3)
    choose_device("cpu")
    assert torch.get_num_threads() == usable_cores()


@linux
def test_on_one_core_there_is_one_thread(cores: list[int], threads: None) -> None:
    torch.set_num_threads(4)
    os.sched_setaffinity(0, cores[:1])
    choose_device("cpu")
    assert torch.get_num_threads() == 1


def test_a_device_has_the_name_that_was_given(threads: None) -> None:
    assert choose_device("cpu") == torch.device("cpu")


def test_auto_is_the_gpu_where_there_is_one(threads: None) -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["warp", "", "cuda:99", "cpu and more"])
def test_a_device_that_is_missing_is_said(name: str) -> None:
    with pytest.raises(UserError, match=f"no device '{name}' .*--device auto"):
        choose_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_missing_is_said() -> None:
    with pytest.raises(UserError, match=r"no device 'cuda' .*--device auto"):
        choose_device("cuda")


def test_float32_is_ieees_but_where_tf32_is_asked_for() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        machine._allow_tf32(False)
        assert "tf32" not in _precisions()
        with tf32():
            assert _precisions() == {"tf32"}
        assert "tf32" not in _precisions()
        with pytest.raises(ZeroDivisionError), tf32():
            raise ZeroDivisionError
        assert "tf32" not in _precisions()
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def _precisions() -> set[str]:
    backends = torch.backends
    return {one.fp32_precision for one in (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)}


@pytest.mark.parametrize(("capability", "expected"), [((7, 0), False), ((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_bf16_is_for_gpus_that_compute_in_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: bool
) -> None:
    asked: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: asked.append(device) or capability)
    assert has_bf16(torch.device("cuda:1")) is expected
    assert asked == [torch.device("cuda:1")]
    assert not has_bf16(torch.device("cpu"))


@linux
@pytest.mark.parametrize(("variable", "expected"), [(None, "home/.cache"), ("", "home/.cache"), ("other", "other")])
def test_the_cache_is_in_the_folder_of_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str | None, expected: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if variable is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", variable and str(tmp_path / variable))
    assert cache_folder() == tmp_path / expected / "msflow-stream"
