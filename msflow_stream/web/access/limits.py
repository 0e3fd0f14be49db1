"""Limits on attempts to sign in: after some failures each further one has to wait longer, but never for ever."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv6Address, ip_address
from threading import Lock

MOST_WAIT = 900.0  # seconds
FORGOTTEN = 3600.0  # seconds without an attempt
MOST_KEYS = 10_000
FREE_BY_NAME, FREE_BY_ADDRESS = 5, 20  # failures before waits begin


@dataclass(slots=True)
class Failures:
    """Failures so far, and when the last one was."""

    count: int
    last: datetime


class SignInLimits:
    """Counts attempts by account and by address; in memory, for any number of threads.

    An attempt counts as a failure from its beginning, so that many at once gain nothing; one that has to wait does
    not count. An address from which the account was used before is counted apart: who fails elsewhere on purpose
    locks nobody out.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, Failures] = OrderedDict()
        self._lock = Lock()

    def begin(self, name: str, address: str, known: bool) -> float:
        """Returns the seconds to wait before the attempt may be made; 0: it may be made now, and counts.

        Args:
            name, address: the account and where the attempt comes from.
            known: the account was used from there before.
        """
        with self._lock:
            now, free = self._clock(), self._keys(name, address, known)
            self._forget(now)
            wait = max(self._wait(key, allowed, now) for key, allowed in free.items())
            if wait > 0:
                return wait
            for key in free:
                before = self._failures.pop(key, None)
                self._failures[key] = Failures(1 if before is None else before.count + 1, now)
            return 0.0

    def succeeded(self, name: str, address: str, known: bool) -> None:
        """Takes an attempt back that was right; the account's failures from there are forgotten."""
        with self._lock:
            account, place = self._keys(name, address, known)
            self._failures.pop(account, None)
            if place in self._failures:
                self._failures[place].count -= 1

    def _keys(self, name: str, address: str, known: bool) -> Mapping[str, int]:
        place = network(address)
        account = f"name {name} {place if known else ''}"
        return {account: FREE_BY_NAME, f"from {place}": FREE_BY_ADDRESS}

    def _wait(self, key: str, free: int, now: datetime) -> float:
        found = self._failures.get(key)
        if found is None or found.count < free:
            return 0.0
        wait = min(2.0 ** min(found.count - free, 30), MOST_WAIT)
        return max(0.0, wait - (now - found.last).total_seconds())

    def _forget(self, now: datetime) -> None:
        while self._failures:
            oldest = next(iter(self._failures.values()))
            if len(self._failures) <= MOST_KEYS and (now - oldest.last).total_seconds() < FORGOTTEN:
                return
            self._failures.popitem(last=False)


def network(address: str) -> str:
    """Returns what belongs to one household: an IPv4 address, the first half of an IPv6 address."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
    return str(found)
