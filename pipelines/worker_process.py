"""The child process that does a long piece of work of a scene: begun, stopped for a while, gone on with, ended."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import IO

from .console_process import COMMANDS, TOP, logged_line
from .work_job import WorkJob

log = logging.getLogger(__name__)

END_SECONDS = 3.0


class WorkerProcess:
    """The child that does one job. To be ended; it may be killed at any moment, as the job can be gone on with.

    It has its own process group, so that Ctrl-C reaches the watch alone, and ends with the thread that began it.

    Attributes:
        job: what it does.
        paused: whether it stands still.
    """

    def __init__(self, job: WorkJob) -> None:
        """Begins it.

        Raises:
            OSError: it cannot be begun.
        """
        self.job, self.paused = job, False
        command = ["work", job.kind, job.scene.name, "--scenes", str(job.scene.parent), "--device", job.device]
        paths = [str(TOP), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", COMMANDS, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            process_group=0,
        )
        assert self._process.stderr is not None
        Thread(target=_pass_on, args=(self._process.stderr,), name="worker log", daemon=True).start()

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    @property
    def cpu_seconds(self) -> float:
        """The time that cores have worked for it; 0 where that is not known."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return 0.0

    def lift(self) -> None:
        """Has it get a little time even where others want all cores; from then on it is only the politest of them."""
        if not hasattr(os, "SCHED_OTHER"):
            return
        for thread in Path(f"/proc/{self._process.pid}/task").glob("*"):
            with suppress(OSError, ValueError):
                os.sched_setscheduler(int(thread.name), os.SCHED_OTHER, os.sched_param(0))

    def pause(self) -> None:
        """Has it stand still."""
        if not self.paused:
            self.paused = True
            self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Has it go on."""
        if self.paused:
            self.paused = False
            self._signal(signal.SIGCONT)

    def end(self) -> None:
        """Ends it at once, wherever it is."""
        self._signal(signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def _signal(self, number: int) -> None:
        with suppress(OSError):  # it has ended
            self._process.send_signal(number)


def _pass_on(lines: IO[bytes]) -> None:
    with lines:
        for line in lines:
            if text := line.decode(errors="replace").rstrip():
                level, said = logged_line(text) if text.startswith("{") else (logging.INFO, text)
                log.log(level, "worker: %s", said)
