"""Carries messages from an outbox to their receiver, in a thread of its own."""

from __future__ import annotations

import json
import logging
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from msflow_stream.config.cameras import Backoff
from msflow_stream.events.alerts.queue import DeliveryQueue
from msflow_stream.events.alerts.queue_file import QueuedMessage
from msflow_stream.events.alerts.sinks.base import Delivery, GiveUp, Retry
from msflow_stream.events.serialization import from_json
from msflow_stream.logs import Outage, Redactor
from msflow_stream.types import EventMessage

logger = logging.getLogger(__name__)

DAY = 86_400.0
LOOK_AGAIN = 60.0  # seconds, for messages on a disk that could not be read for a while
BUG_ATTEMPTS = 3  # of a delivery that fails by a mistake of ours


@dataclass(frozen=True, slots=True)
class AlertReport:
    """How an alert has fared since the start.

    Attributes:
        delivered, retried, given_up: messages, failed attempts that were or will be repeated, messages.
        waiting: messages, at this moment.
        last_error: what the last failed attempt failed by, without secrets; None if none has failed.
    """

    delivered: int
    retried: int
    given_up: int
    waiting: int
    last_error: str | None


class DeliveryWorker:
    """Delivers what is put in an outbox, in its order, each message at least once.

    A delivery that raises Retry is repeated, with growing waits, until it works or the message is too old; meanwhile
    the next ones wait. One that raises GiveUp is not repeated. After a kill the message that was being delivered is
    delivered again.
    """

    def __init__(
        self,
        outbox: DeliveryQueue,
        deliver: Delivery,
        *,
        random: Random,
        end: Callable[[], None] = lambda: None,
        backoff: Backoff | None = None,
        attempts: int | None = None,
        give_up_after: float = DAY,
        hide: Redactor | None = None,
    ) -> None:
        """Starts the thread.

        Args:
            random: for the jitter of the waits.
            end: called in the thread, after the last delivery.
            attempts: failed ones after which a message is given up; None: any number.
            give_up_after: seconds from when a message was put in; then its next failed attempt is the last.
            hide: takes secrets out of a text; None hides the credentials in URLs.
        """
        self.name = outbox.name
        self._outbox, self._deliver, self._end = outbox, deliver, end
        self._hide = hide or Redactor(any_url=True)
        self._random, self._backoff = random, backoff or Backoff()
        self._attempts, self._give_up_after = attempts, give_up_after
        self._delivered = self._retried = self._failures = 0
        self._last_error: str | None = None
        self._trouble, self._hopeless = Outage(logger), Outage(logger)
        self._news, self._closing, self._halted = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"alert-{self.name}", daemon=True)
        self._thread.start()

    def put(self, message: EventMessage) -> None:
        """Adds a message, from any thread, and returns at once."""
        self._outbox.put(message)
        self._news.set()

    def report(self) -> AlertReport:
        """Never waits for the receiver."""
        box = self._outbox
        return AlertReport(self._delivered, self._retried, box.given_up, len(box), self._last_error)

    def ask_to_close(self) -> None:
        """Asks for an end after a last attempt to deliver what waits, and returns at once."""
        self._closing.set()
        self._news.set()

    def close(self, timeout: float = 5.0) -> None:
        """Delivers what can be delivered at once, for so many seconds; the rest stays for the next run. Twice is fine.

        A delivery that needs longer is left behind with its thread, and will be repeated by the next run.
        """
        self.ask_to_close()
        self._thread.join(timeout)
        self._halted.set()
        if self._thread.is_alive():
            logger.warning("alert %s does not end within %g s and is left behind", self.name, timeout)
        if waiting := len(self._outbox):
            logger.info("alert %s: %d messages wait for the next start", self.name, waiting)
        self._outbox.close()

    def _run(self) -> None:
        """The thread."""
        while not self._halted.is_set():
            self._news.clear()
            letter = self._outbox.first()
            if letter is not None:
                self._carry(letter)
            elif self._closing.is_set():
                break
            else:
                self._news.wait(LOOK_AGAIN)
        try:
            self._end()
        except Exception as error:
            self._say_bug(error)

    def _carry(self, letter: QueuedMessage) -> None:
        """One attempt to deliver."""
        try:
            message = from_json(json.loads(letter.body))
        except ValueError as error:
            return self._give_up(letter, str(error))
        try:
            self._deliver(message)
        except GiveUp as error:
            self._give_up(letter, self._hide(str(error)))
        except Retry as error:
            self._failed(letter, self._hide(str(error)), self._attempts, error.patient)
        except Exception as error:
            self._say_bug(error)
            self._failed(letter, _bug(error), BUG_ATTEMPTS, False)
        else:
            self._delivered += 1
            self._failures = 0
            self._outbox.remove(letter)
            self._trouble.end(f"alert {self.name} works again; {len(self._outbox)} messages wait")
            self._hopeless.end(f"alert {self.name}: messages are delivered again")

    def _failed(self, letter: QueuedMessage, reason: str, attempts: int | None, patient: bool) -> None:
        """Gives up, or waits for the next attempt."""
        self._failures += 1
        letter.attempts += 1
        tried_enough = attempts is not None and letter.attempts >= attempts
        if tried_enough or self._outbox.age(letter) >= self._give_up_after:
            self._give_up(letter, reason)
        else:
            self._retried += 1
            self._last_error = reason
            self._trouble.begin(f"alert {self.name}: {reason}; messages wait until it works", reason)
            if self._closing.is_set():
                self._halted.set()
            else:
                self._closing.wait(self._backoff.delay(self._failures, self._random, patient))

    def _give_up(self, letter: QueuedMessage, reason: str) -> None:
        self._last_error = reason
        self._hopeless.begin(f"alert {self.name}: {reason}; given up, and kept among its dead letters", reason)
        self._outbox.give_up(letter, reason)

    def _say_bug(self, error: Exception) -> None:
        trace = "".join(self._hide(line) for line in traceback.format_exception(error))
        self._trouble.begin(f"alert {self.name} has failed:\n{trace}", _bug(error))


def _bug(error: Exception) -> str:
    return f"internal error ({type(error).__name__})"
