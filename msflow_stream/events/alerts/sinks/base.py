"""What delivers messages to one place: the contract, and the two ways in which a delivery fails."""

from __future__ import annotations

import json
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from pathlib import Path

from msflow_stream.events.serialization import to_json
from msflow_stream.types import EventMessage, UserError


class Retry(Exception):  # noqa: N818 (it says what to do, and is no error of the program)
    """A delivery failed, and may work later.

    Attributes:
        patient: the next attempt should be a while off, as after a wrong password, which gets accounts locked.
    """

    def __init__(self, reason: str, patient: bool = False) -> None:
        super().__init__(reason)
        self.patient = patient


class GiveUp(Exception):  # noqa: N818 (likewise)
    """A delivery failed, and would fail again."""


# Returns when the receiver has the message; raises Retry or GiveUp, each with a reason in a line. It may be called
# again with a message that the receiver has already: receivers know it by id and version.
Delivery = Callable[[EventMessage], None]


def retrying(save: Delivery, *away: type[Exception]) -> Delivery:
    """A delivery from a function that raises one of `away` while its receiver is away."""

    def deliver(message: EventMessage) -> None:
        try:
            save(message)
        except away as error:
            raise Retry(f"{type(error).__name__}: {error}") from None

    return deliver


class AlertSink(ABC):
    """A place that messages go to, used by one thread."""

    @abstractmethod
    def deliver(self, message: EventMessage) -> None:
        """A `Delivery`."""

    def announce(self, cameras: Collection[str]) -> None:
        """Says which cameras there will be messages of, at the start and after a change. From any thread."""
        return

    def close(self) -> None:
        """Lets go of the place."""
        return


def encode(message: EventMessage) -> str:
    """The message as JSON in one line."""
    return json.dumps(to_json(message), ensure_ascii=False, separators=(",", ":"))


def tls_context(ca: Path | None) -> ssl.SSLContext:
    """Trusts the certificates of a file, or the system's.

    Raises:
        UserError: the file cannot be read, or is none of certificates.
    """
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise UserError(f"cannot read certificates from {ca}: {error.strerror or 'they are not PEM'}") from None
