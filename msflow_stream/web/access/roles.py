"""The roles of people, and one person as a request knows them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a person may do; each role may all that those before it may.

    A viewer looks. An operator labels, keeps, tunes and draws. An admin also manages people and alerts.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """Returns whether this role may do what needs another one."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class User:
    """A person who is signed in.

    Attributes:
        name: as it is written into the audit log.
        cameras: the names of those that they may see; None: all.
    """

    name: str
    role: Role
    cameras: frozenset[str] | None = None

    def sees(self, camera: str) -> bool:
        """Returns whether they may see a camera, and its events."""
        return self.cameras is None or camera in self.cameras


LOCAL = User("local", Role.ADMIN)  # whoever sits at this machine, where access is off
