"""The keeper of a node's leases: renews them, and says in time which cameras the node must stop to watch."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from msflow_stream.events.store.connection import StoreUnavailable
from msflow_stream.events.store.leases import Lease, Leases
from msflow_stream.logs import Outage
from msflow_stream.types import LeaseMark

log = logging.getLogger(__name__)

RENEW, STOP, END = 1 / 3, 2 / 3, 0.99  # of a lease since the last answer was asked for; clocks run differently fast
AGAIN, LOOK, PAUSED = (
    1 / 20,
    1 / 40,
    1 / 10,
)  # of a lease: between tries, between looks, and what no look may be late by


def uptime() -> float:
    """Returns seconds that go on whatever becomes of the time of day, of this process, and of a sleeping machine."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def end_at_once() -> None:
    """Ends this process as SIGKILL does, before it writes anything more."""
    log.critical("this process stood still for longer than its leases: it ends at once, and may be started again")
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(slots=True)
class _Held:
    """A lease that this node has: when it was asked for last, when the answer came, and until when it then was.

    `lost`: what is open of its camera is to be closed; `over`: the database says that it has ended already.
    """

    fence: int
    asked: float
    answered: float
    until: datetime
    lost: bool = False
    over: bool = False


class LeaseKeeper:
    """The leases that this process has. A context manager, whose threads renew them and look at the clock.

    A camera may be watched from `take` until `lost` was told of it, or `drop`. When the database has not answered for
    two thirds of a lease, a camera is lost: a third is left to close what is open of it, and nothing of it must be
    written later, which `holds` says before each frame and `mark` before each message. A process that stood still until
    its leases had run out has had no such time: it ends at once, as whatever it would go on with is another node's.

    Args:
        leases: the leases in the database.
        lost: told of cameras that were lost, in a thread of its own; each is then to be dropped once it is closed.
        clock: seconds, monotonic.
        overrun: ends the process.
    """

    def __init__(
        self,
        leases: Leases,
        lost: Callable[[Collection[str]], object],
        *,
        clock: Callable[[], float] = uptime,
        overrun: Callable[[], object] = end_at_once,
    ) -> None:
        self._leases, self._lost, self._clock, self._overrun = leases, lost, clock, overrun
        self._ttl = leases.ttl
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._looked = clock()
        self._away = Outage(log)
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._renew_always, name="leases", daemon=True),
            threading.Thread(target=self._look_always, name="lease clock", daemon=True),
        ]

    @property
    def cameras(self) -> frozenset[str]:
        """The cameras that are held, and not lost."""
        with self._lock:
            return frozenset(camera for camera, held in self._held.items() if not held.lost)

    @property
    def away(self) -> bool:
        """Whether the database did not answer the last time that something was to be renewed."""
        return self._away.lasts

    def take(self, camera: str) -> Lease | None:
        """Takes the lease of a camera; None while another process has it.

        Raises:
            StoreUnavailable: the database is away; it is not taken.
        """
        asked = self._clock()
        lease = self._leases.acquire(camera)
        answered = self._clock()
        if lease is None:
            return None
        if answered - asked > RENEW * self._ttl:  # too little is left of it
            self._release({camera: lease.fence})
            return None
        with self._lock:
            self._held[camera] = _Held(lease.fence, asked, answered, lease.until)
        return lease

    def drop(self, camera: str) -> None:
        """Gives a camera back once nothing of it is written any more; where that fails, its lease runs out."""
        with self._lock:
            held = self._held.pop(camera, None)
        if held is not None:
            self._release({camera: held.fence})

    def holds(self, camera: str) -> bool:
        """Returns whether something of the camera may be written now; never waits."""
        return self.mark(camera) is not None

    def mark(self, camera: str) -> LeaseMark | None:
        """Returns the mark of what is made of the camera now; None where nothing may be made of it any more."""
        now = self._clock()
        with self._lock:
            held = self._held.get(camera)
            if held is None or held.over or now >= held.asked + END * self._ttl:
                return None
            # The database's clock was no later when it answered; so the mark is never later than the moment.
            asked = held.until - timedelta(seconds=self._ttl)
            return LeaseMark(held.fence, asked + timedelta(seconds=now - held.answered))

    def renew(self) -> bool:
        """Renews what is held; False while the database is away."""
        with self._lock:
            fences = {camera: held.fence for camera, held in self._held.items() if not held.lost}
        if not fences:
            return True
        asked = self._clock()
        try:
            renewed = self._leases.renew(fences)
        except StoreUnavailable as error:
            self._away.begin(f"the leases of {len(fences)} cameras cannot be renewed: {error}", str(error))
            return False
        answered = self._clock()
        self._away.end("leases are renewed again")
        gone = []
        with self._lock:
            for camera, fence in fences.items():
                held = self._held.get(camera)
                if held is None or held.lost or held.fence != fence:
                    continue
                if camera in renewed:
                    held.asked, held.answered, held.until = asked, answered, renewed[camera]
                else:
                    held.lost = held.over = True
                    gone.append(camera)
        self._tell(gone, "the database says so")
        return True

    def look(self) -> None:
        """Looks at the clock: tells of cameras that are lost, and ends a process that stood still for too long."""
        now = self._clock()
        with self._lock:
            still = now - self._looked > PAUSED * self._ttl
            self._looked = now
            if still and any(now >= held.asked + END * self._ttl and not held.over for held in self._held.values()):
                self._overrun()
            due = [
                camera for camera, held in self._held.items() if not held.lost and now >= held.asked + STOP * self._ttl
            ]
            for camera in due:
                self._held[camera].lost = True
        self._tell(due, "the database has not answered in time")

    def _tell(self, cameras: list[str], why: str) -> None:
        if cameras:
            log.warning("leases lost, as %s: %s", why, ", ".join(sorted(cameras)))
            threading.Thread(target=self._lost, args=(cameras,), name="leases lost", daemon=True).start()

    def _release(self, fences: Mapping[str, int]) -> None:
        try:
            self._leases.release(fences)
        except StoreUnavailable as error:
            log.warning("leases run out, as they cannot be given back: %s: %s", ", ".join(sorted(fences)), error)

    def _renew_always(self) -> None:
        pause = RENEW
        while not self._ending.wait(pause * self._ttl):
            began = self._clock()
            try:
                renewed = self.renew()
            except Exception:  # then leases run out, which the clock tells of
                log.exception("leases cannot be renewed")
                renewed = False
            pause = max(AGAIN, RENEW - (self._clock() - began) / self._ttl) if renewed else AGAIN

    def _look_always(self) -> None:
        while not self._ending.wait(LOOK * self._ttl):
            self.look()

    def __enter__(self) -> LeaseKeeper:
        self._looked = self._clock()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Gives back what is held still: whatever is written of these cameras must have ended."""
        self._ending.set()
        with self._lock:
            fences = {camera: held.fence for camera, held in self._held.items()}
            self._held.clear()
        if fences:
            self._release(fences)
        for thread in self._threads:
            thread.join(2 * self._leases.patience)
