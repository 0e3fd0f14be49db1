"""The thread that delivers the messages of a queue to their receiver."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from random import Random
from time import monotonic

from msflow_stream.config.cameras import Backoff
from msflow_stream.events.alerts.queue import DeliveryQueue
from msflow_stream.events.alerts.queue_file import QueuedMessage
from msflow_stream.events.alerts.sinks.base import AlertMessage, Delivery, GiveUp, Retry
from msflow_stream.logs import Outage, Redactor
from msflow_stream.types import EventMessage, UserError

logger = logging.getLogger(__name__)

DAY = 86_400.0
CHECK_EVERY = 60.0  # seconds, for messages on a disk that could not be read for a while
BUG_ATTEMPTS = 3  # of a delivery that fails by a mistake of ours


@dataclass(frozen=True, slots=True)
class AlertReport:
    """The figures of an alert since the start.

    Attributes:
        delivered: messages that the receiver has.
        retried: failed attempts that were or will be repeated.
        given_up: messages that are among the dead letters.
        waiting: messages that wait at this moment.
        last_error: the reason of the last failed attempt, without secrets; None if none has failed.
        dead: letters in the file of dead letters, of earlier runs too.
        sink: the kind of the receiver, such as webhook.
    """

    delivered: int
    retried: int
    given_up: int
    waiting: int
    last_error: str | None
    dead: int = 0
    sink: str = ""


class DeliveryWorker:
    """A thread that delivers the messages of a queue, in its order, each at least once. To be closed.

    A delivery that raises Retry is repeated, with growing waits, until it works or the message is too old; meanwhile
    the next ones wait. One that raises GiveUp is not repeated. After a kill the message that was being delivered is
    delivered again.
    """

    def __init__(
        self,
        queue: DeliveryQueue,
        write: Delivery,
        *,
        random: Random,
        try_out: Delivery | None = None,
        close: Callable[[], None] = lambda: None,
        backoff: Backoff | None = None,
        attempts: int | None = None,
        give_up_after: float = DAY,
        redactor: Redactor | None = None,
        sink: str = "",
    ) -> None:
        """Starts the thread.

        Args:
            queue: the messages; closed with the worker.
            write: delivers one.
            random: draws the jitter of the waits.
            try_out: delivers one about an event that is a test; None: `write` does.
            close: called in the thread, after the last delivery.
            backoff: the waits after failures.
            attempts: failed ones after which a message is given up; None: any number.
            give_up_after: seconds from when a message was added; then its next failed attempt is the last.
            redactor: takes secrets out of a text; None hides the credentials in URLs.
            sink: what reports call the receiver.
        """
        self.name = queue.name
        self._queue, self._write, self._try_out, self._close, self._sink = queue, write, try_out or write, close, sink
        self._tries: SimpleQueue[tuple[AlertMessage, Future[None]]] = SimpleQueue()
        self._redactor = redactor or Redactor(any_url=True)
        self._random, self._backoff = random, backoff or Backoff()
        self._attempts, self._give_up_after = attempts, give_up_after
        self._delivered = self._retried = self._failures = 0
        self._last_error: str | None = None
        self._outage, self._refusals = Outage(logger), Outage(logger)
        self._added, self._closing, self._stopped = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"alert-{self.name}", daemon=True)
        self._thread.start()

    def add(self, message: EventMessage) -> None:
        """Adds a message, from any thread, and returns at once."""
        self._queue.add(message)
        self._added.set()

    def report(self) -> AlertReport:
        """Returns the figures; never waits for the receiver."""
        queue = self._queue
        return AlertReport(
            self._delivered, self._retried, queue.given_up, len(queue), self._last_error, queue.dead, self._sink
        )

    def test(self, message: AlertMessage, timeout: float) -> None:
        """Delivers a message about an event that is a test, ahead of those that wait, in one attempt.

        Raises:
            UserError: it failed, or there was no answer within so many seconds.
        """
        done: Future[None] = Future()
        self._tries.put((message, done))
        self._added.set()
        try:
            done.result(timeout)
        except TimeoutError:
            done.cancel()
            raise UserError(f"no answer within {timeout:g} s") from None

    def retry_dead(self) -> int:
        """Puts the dead letters into the queue again and returns their number.

        Raises:
            UserError: as `DeliveryQueue.retry_dead`.
        """
        queued = self._queue.retry_dead()
        self._added.set()
        return queued

    def adopt(self, folder: Path, name: str) -> bool:
        """Takes over what another queue of this name left in a folder, as `DeliveryQueue.adopt`."""
        adopted = self._queue.adopt(folder, name)
        self._added.set()
        return adopted

    def ask_to_close(self) -> None:
        """Asks for an end after a last attempt to deliver what waits, and returns at once."""
        self._closing.set()
        self._added.set()

    def close(self, timeout: float = 5.0) -> None:
        """Delivers what can be delivered at once, for so many seconds; the rest stays for the next run. Twice is fine.

        A delivery that needs longer is left behind with its thread, and will be repeated by the next run.
        """
        self.ask_to_close()
        self._thread.join(timeout)
        self._stopped.set()
        if self._thread.is_alive():
            logger.warning("alert %s does not end within %g s and is left behind", self.name, timeout)
        if waiting := len(self._queue):
            logger.info("alert %s: %d messages wait for the next start", self.name, waiting)
        self._queue.close()

    def _run(self) -> None:
        """Delivers until the end, as the thread."""
        while not self._stopped.is_set():
            self._added.clear()
            self._make_tries()
            queued = self._queue.first()
            if queued is not None:
                self._deliver(queued)
            elif self._closing.is_set():
                break
            else:
                self._added.wait(CHECK_EVERY)
        try:
            self._close()
        except Exception as error:
            self._log_bug(error)

    def _deliver(self, queued: QueuedMessage) -> None:
        """Makes one attempt."""
        try:
            message = queued.message
        except ValueError as error:
            return self._give_up(queued, str(error))
        try:
            self._write(message)
        except GiveUp as error:
            self._give_up(queued, self._redactor(str(error)))
        except Retry as error:
            self._note_failure(queued, self._redactor(str(error)), self._attempts, error.slow)
        except Exception as error:
            self._log_bug(error)
            self._note_failure(queued, _bug(error), BUG_ATTEMPTS, slow=False)
        else:
            self._delivered += 1
            self._failures = 0
            self._queue.remove(queued)
            self._outage.end(f"alert {self.name} works again; {len(self._queue)} messages wait")
            self._refusals.end(f"alert {self.name}: messages are delivered again")

    def _note_failure(self, queued: QueuedMessage, reason: str, attempts: int | None, slow: bool) -> None:
        """Gives up, or waits for the next attempt."""
        self._failures += 1
        queued.attempts += 1
        tried_enough = attempts is not None and queued.attempts >= attempts
        if tried_enough or self._queue.age(queued) >= self._give_up_after:
            self._give_up(queued, reason)
        else:
            self._retried += 1
            self._last_error = reason
            self._outage.begin(f"alert {self.name}: {reason}; messages wait until it works", reason)
            if self._closing.is_set():
                self._stopped.set()
            else:
                self._pause(self._backoff.delay(self._failures, self._random, slow))

    def _pause(self, seconds: float) -> None:
        """Waits for so long, or for the end; what somebody wants tried is tried meanwhile."""
        end = monotonic() + seconds
        while not self._closing.is_set() and (left := end - monotonic()) > 0:
            self._added.wait(left)
            self._added.clear()
            self._make_tries()

    def _make_tries(self) -> None:
        with suppress(Empty):
            while True:
                message, done = self._tries.get_nowait()
                if not done.set_running_or_notify_cancel():
                    continue
                try:
                    self._try_out(message)
                except (GiveUp, Retry) as error:
                    done.set_exception(UserError(self._redactor(str(error))))
                except Exception as error:
                    self._log_bug(error)
                    done.set_exception(UserError(_bug(error)))
                else:
                    done.set_result(None)

    def _give_up(self, queued: QueuedMessage, reason: str) -> None:
        self._last_error = reason
        self._refusals.begin(f"alert {self.name}: {reason}; given up, and kept among its dead letters", reason)
        self._queue.give_up(queued, reason)

    def _log_bug(self, error: Exception) -> None:
        trace = "".join(self._redactor(line) for line in traceback.format_exception(error))
        self._outage.begin(f"alert {self.name} has failed:\n{trace}", _bug(error))


def _bug(error: Exception) -> str:
    return f"internal error ({type(error).__name__})"
