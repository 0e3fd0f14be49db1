"""The cores that this process may use, and the threads that libraries start on them; without torch."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path

ADJUSTMENT = Path("/proc/self/oom_score_adj")
MEMBERSHIP, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")  # each says how OpenMP's threads wait
COUNTS = ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")  # OpenBLAS takes OpenMP's where it has none of its own


def usable_cores() -> int:
    """CPU cores that affinity and the quotas of control groups leave to this process; part of a core counts as one."""
    return min([_affine_cores(), *(max(1, math.ceil(one)) for one in _quotas())])


def computing_threads() -> int:
    """Threads that computations have: those that the environment names, or one for each core."""
    given = os.environ.get(COUNTS[0], "").split(",")[0]
    return int(given) if given.isdecimal() and int(given) else usable_cores()


def share_cores(environment: MutableMapping[str, str] | None = None) -> None:
    """Sets how the libraries' threads wait, and no more of them than cores: to be called before torch is imported.

    OpenMP's threads wait for their next piece of work by spinning, which costs nothing on an idle machine. On one
    that does anything else, they hold the cores that the others need in order to arrive: two fits side by side took
    six times as long each. So they sleep. Of quotas the libraries know nothing. A variable that is set stays as it is.

    Args:
        environment: what the libraries read when they are loaded; this process's own if None.
    """
    variables = os.environ if environment is None else environment
    if not any(name in variables for name in WAITING):
        variables["OMP_WAIT_POLICY"] = "passive"
    cores = usable_cores()
    if cores < _affine_cores():  # elsewhere they choose better: some know which cores are two halves of one
        for name in COUNTS:
            variables.setdefault(name, str(cores))


def stand_back(niceness: int) -> None:
    """Lets others on the machine go first, at least as much as a niceness from 0 to 19 says.

    Linux compares it within a session of a terminal, a service or a container; those among each other share alike.
    """
    if hasattr(os, "nice"):
        os.nice(max(0, niceness - os.nice(0)))


def stand_back_entirely() -> None:
    """Has this process run on cores that nobody else wants, where the system knows of such a thing; else, go last."""
    stand_back(15)
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def spare_others(share: int) -> None:
    """Has Linux end this process before others where memory runs out, by a share of it from 0 to 1000."""
    with suppress(OSError):
        ADJUSTMENT.write_text(str(share))


def _affine_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas() -> Iterator[float]:
    """Cores that every group of this process, and every group around that, is held to; none where it is not."""
    try:
        lines = MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2; beside version 1, it has no quotas
            top, read = GROUPS, _quota
        elif "cpu" in controllers.split(","):
            top, read = GROUPS / "cpu", _quota_of_version_1
        else:
            continue
        group = Path(path.lstrip("/"))  # as the machine sees it; a container has only what is left of it at the top
        for folder in (group, *group.parents):
            quota = read(top / folder)
            if quota is not None:
                yield quota


def _quota(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # no such group, or "max"
        return None


def _quota_of_version_1(group: Path) -> float | None:
    try:
        quota, period = (int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 else None
