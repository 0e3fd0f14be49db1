"""The contract of alert sinks: a message, its delivery, and the two ways in which a delivery fails."""

from __future__ import annotations

import json
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msflow_stream.events.serialization import from_json
from msflow_stream.logs import Redactor
from msflow_stream.types import Event, EventMessage, UserError

Snapshot = Callable[[Event], Path | None]  # the path of an event's snapshot, which may not be there yet


class Retry(Exception):  # noqa: N818 (it says what to do, and is no error of the program)
    """A delivery that failed, and may work later.

    Attributes:
        slow: the next attempt should be a while off, as after a wrong password, which gets accounts locked.
    """

    def __init__(self, reason: str, slow: bool = False) -> None:
        """Keeps the reason, one line without secrets."""
        super().__init__(reason)
        self.slow = slow


class GiveUp(Exception):  # noqa: N818 (likewise)
    """A delivery that failed, and would fail again."""


@dataclass(frozen=True, slots=True)
class AlertMessage(EventMessage):
    """An event message with its JSON, which is made once, when the message is queued, and then used as it is.

    Attributes:
        values: the JSON object, as `to_json` makes it.
        text: the same on one line.
    """

    values: dict[str, Any] = field(compare=False, repr=False, kw_only=True)
    text: str = field(compare=False, repr=False, kw_only=True)

    @classmethod
    def read(cls, text: str) -> AlertMessage:
        """Returns the message that `encode` wrote.

        Raises:
            ValueError: the text is no message, in one line that says why.
        """
        values = json.loads(text)
        message = from_json(values)
        return cls(message.kind, message.event, message.lease, values=values, text=text)


# Returns when the receiver has the message; raises Retry or GiveUp, each with a reason in a line. It may be called
# again with a message that the receiver has already: receivers know it by id and version.
Delivery = Callable[[AlertMessage], None]


def retrying(save: Callable[[EventMessage], object], *away: type[Exception]) -> Delivery:
    """Returns a delivery from a function that raises one of `away` while its receiver is away."""

    def write(message: AlertMessage) -> None:
        try:
            save(message)
        except away as error:
            raise Retry(f"{type(error).__name__}: {error}") from None

    return write


@dataclass(frozen=True, slots=True)
class SinkContext:
    """The surroundings of a sink: all that it may need beside its settings.

    Attributes:
        cameras: the cameras whose events go to it at the start.
        redactor: hides the alert's secrets in a text.
        snapshot: gives the path of an event's snapshot; None where no snapshots are made.
        node: the name of this program, where several have the same alerts; "" where it is the only one.
    """

    cameras: Collection[str] = ()
    redactor: Redactor = field(default_factory=lambda: Redactor(any_url=True))
    snapshot: Snapshot | None = None
    node: str = ""


class AlertSink(ABC):
    """A place that messages go to, used by one thread. The settings' class names it in `sink`.

    Attributes:
        attempts: failed ones after which a message is given up; None: any number, until it is too old.
    """

    attempts: int | None = None

    def __init__(self, settings: Any, context: SinkContext) -> None:
        """Begins; a receiver that is away is no error yet.

        Raises:
            UserError: the sink cannot begin, and a person can mend it.
        """
        self._settings, self._context = settings, context

    @abstractmethod
    def write(self, message: AlertMessage) -> None:
        """Delivers a message: a `Delivery`."""

    def try_out(self, message: AlertMessage) -> None:
        """Delivers a message about an event that is a test: a `Delivery`."""
        self.write(message)

    def announce(self, cameras: Collection[str]) -> None:
        """Names the cameras that there will be messages of, after a change. From any thread."""
        return

    def close(self) -> None:
        """Lets go of the place."""
        return


def tls_context(ca: Path | None) -> ssl.SSLContext:
    """Returns a context that trusts the certificates of a file, or the system's.

    Raises:
        UserError: the file cannot be read, or is none of certificates.
    """
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise UserError(f"cannot read certificates from {ca}: {error.strerror or 'they are not PEM'}") from None
