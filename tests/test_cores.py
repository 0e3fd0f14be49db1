"""The cores that affinity and quotas leave, and what libraries are told of them before they are loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from msflow_stream.cores import COUNTS, WAITING, share_cores, usable_cores
from tests.support.data import REPOSITORY

linux = pytest.mark.skipif(sys.platform != "linux", reason="affinity and control groups are Linux's")
CORES = 8  # of the machine that tests of quotas imagine


@pytest.fixture
def cores() -> Iterator[list[int]]:
    """The cores of this process, which it has again afterwards."""
    before = os.sched_getaffinity(0)
    yield sorted(before)
    os.sched_setaffinity(0, before)


class Groups:
    """The control groups of a machine of CORES cores, as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def join(self, membership: str) -> None:
        """The process is in these groups: lines of /proc/self/cgroup."""
        (self._folder / "cgroup").write_text(membership)

    def write(self, path: str, content: object) -> None:
        file = self._folder / "fs" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")

    def limit_version_1(self, group: str, quota: int, period: int = 100_000) -> None:
        self.write(f"cpu/{group}/cpu.cfs_quota_us", quota)
        self.write(f"cpu/{group}/cpu.cfs_period_us", period)


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Groups:
    monkeypatch.setattr("msflow_stream.cores.MEMBERSHIP", tmp_path / "cgroup")
    monkeypatch.setattr("msflow_stream.cores.GROUPS", tmp_path / "fs")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(CORES)))
    return Groups(tmp_path)


def test_a_process_has_a_core_and_no_more_than_the_machine() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@linux
def test_the_usable_cores_are_no_more_than_affinity_allows(cores: list[int]) -> None:
    before = usable_cores()
    for count in range(1, len(cores) + 1):
        os.sched_setaffinity(0, cores[:count])
        assert usable_cores() == min(count, before)


def test_without_control_groups_all_cores_are_usable(groups: Groups) -> None:
    assert usable_cores() == CORES


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000", CORES),
        ("200000 100000", 2),
        ("150000 100000", 2),  # one and a half keep two threads busy
        ("20000 100000", 1),
        ("50000 10000", 5),
        ("6400000 100000", CORES),  # more than there are
        ("", CORES),
    ],
)
def test_the_quota_of_a_container_counts(groups: Groups, limit: str, expected: int) -> None:
    groups.join("0::/\n")
    groups.write("cpu.max", limit)
    assert usable_cores() == expected


def test_the_quota_of_a_service_counts_and_that_of_what_it_is_part_of(groups: Groups) -> None:
    groups.join("0::/system.slice/watch.service\n")
    groups.write("system.slice/watch.service/cpu.max", "300000 100000")
    assert usable_cores() == 3
    groups.write("system.slice/cpu.max", "200000 100000")
    assert usable_cores() == 2
    groups.write("other.slice/cpu.max", "100000 100000")
    assert usable_cores() == 2


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct", "cpuacct,cpu"])
def test_quotas_of_version_1_count(groups: Groups, controllers: str) -> None:
    groups.join(f"5:cpuset:/\n4:{controllers}:/jobs/one\n0::/\n")
    groups.limit_version_1("jobs/one", -1)
    assert usable_cores() == CORES
    groups.limit_version_1("jobs", 300_000)
    assert usable_cores() == 3
    groups.limit_version_1("jobs/one", 50_000, period=25_000)
    assert usable_cores() == 2


def test_a_container_of_version_1_whose_path_is_the_machines_finds_its_quota_at_the_top(groups: Groups) -> None:
    groups.join("4:cpu,cpuacct:/docker/4f2a\n")
    groups.limit_version_1("", 200_000)
    assert usable_cores() == 2


def test_threads_sleep_while_they_wait_and_their_number_is_the_libraries(groups: Groups) -> None:
    environment = {"PATH": "/bin"}
    share_cores(environment)
    assert environment == {"PATH": "/bin", "OMP_WAIT_POLICY": "passive"}


def test_under_a_quota_there_are_no_more_threads_than_it_allows(groups: Groups) -> None:
    groups.join("0::/\n")
    groups.write("cpu.max", "200000 100000")
    environment: dict[str, str] = {}
    share_cores(environment)
    assert {name: environment.get(name) for name in COUNTS} == dict.fromkeys(COUNTS, "2")


@pytest.mark.parametrize("name", [*WAITING, *COUNTS])
@pytest.mark.parametrize("value", ["7", ""])
def test_what_a_person_has_set_stays(groups: Groups, name: str, value: str) -> None:
    groups.join("0::/\n")
    groups.write("cpu.max", "200000 100000")
    environment = {name: value}
    share_cores(environment)
    assert environment[name] == value
    assert sorted(set(WAITING) & set(environment)) == [name if name in WAITING else "OMP_WAIT_POLICY"]


@pytest.mark.skipif(not hasattr(os, "nice"), reason="niceness is Unix's")
@pytest.mark.parametrize(("asked", "then"), [(0, 5), (3, 5), (5, 5), (12, 12), (19, 19)])
def test_others_go_first_and_never_less_than_they_did(asked: int, then: int) -> None:
    code = f"import os; from msflow_stream.cores import stand_back; stand_back({asked}); print(os.nice(0))"
    command = ["nice", "-n", str(5 - os.nice(0)), sys.executable, "-c", code]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert int(done.stdout) == then


def openmp_of(code: str, **variables: str) -> str:
    """What OpenMP says of itself when a program of this code loads it, and the program's own words."""
    environment = {name: value for name, value in os.environ.items() if name not in (*WAITING, *COUNTS)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"OMP_DISPLAY_ENV": "true"} | variables,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


LIBRARY = "import msflow_stream; msflow_stream.Scene"
COMMAND = "import sys, cli; sys.argv[1:] = ['--help']\ntry: cli.main()\nfinally: "


@linux
@pytest.mark.parametrize("code", [LIBRARY, COMMAND + "import torch"], ids=["library", "command line"])
def test_openmp_is_told_before_torch_loads_it(code: str) -> None:
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in openmp_of(code)


@linux
def test_openmp_waits_as_a_person_says() -> None:
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in openmp_of(COMMAND + "import torch", OMP_WAIT_POLICY="active")


def test_a_program_that_has_loaded_torch_is_left_alone() -> None:
    code = f"import torch, os; {LIBRARY}; print('told', 'OMP_WAIT_POLICY' in os.environ)"
    assert "told False" in openmp_of(code)


def test_the_command_line_gives_opencv_one_thread_unless_a_person_gives_it_more() -> None:
    code = COMMAND + "import cv2; print('threads', cv2.getNumThreads())"
    assert "threads 1\n" in openmp_of(code)
    assert "threads 2\n" in openmp_of(code, OPENCV_FOR_THREADS_NUM="2")
