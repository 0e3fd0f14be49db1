"""The messages that wait for a receiver: a bounded queue on disk that outlives the program, however it ends."""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from time import time

from msflow_stream.events.alerts.queue_file import DeadLetters, QueuedMessage, QueueFile
from msflow_stream.events.serialization import encode
from msflow_stream.logs import Outage
from msflow_stream.types import EventMessage, UserError

logger = logging.getLogger(__name__)

BATCH = 100  # messages that are saved at once; a disk that stays full is tried with no more than these


class DeliveryQueue:
    """Messages in their order, from any thread, each kept until it was delivered or given up. To be closed.

    What finds no room on the disk waits in memory until it does. When `capacity` messages wait, the oldest one is
    given up for each new one. Nothing here ever raises because of the disk, or waits for a receiver.
    """

    def __init__(self, folder: Path, name: str, capacity: int = 10_000, clock: Callable[[], float] = time) -> None:
        """Goes on with what an earlier run left in `folder`, in NAME.sqlite; NAME.dead.jsonl is for what is given up.

        Args:
            clock: seconds since 1970.
        """
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self.name = name
        self._capacity, self._clock = capacity, clock
        self._file, self._dead = QueueFile(folder / f"{name}.sqlite"), DeadLetters(folder / f"{name}.dead.jsonl")
        self._lock = threading.RLock()
        self._saved, self._followed, self._loaded = 0, set[str](), False
        self._unsaved: deque[QueuedMessage] = deque()  # newer than all that are saved
        self._head: QueuedMessage | None = None
        self._over = set[int]()  # numbers of what was removed, though a full disk may still have it
        self._given_up = 0
        self._closed = False
        self._full = Outage(logger)
        self._save()

    @property
    def given_up(self) -> int:
        """The number of messages that were given up since the start."""
        with self._lock:
            return self._given_up

    @property
    def dead(self) -> int:
        """The number of messages in the file of dead letters."""
        return len(self._dead)

    def __len__(self) -> int:
        """Returns the number of messages that wait."""
        with self._lock:
            return self._saved + len(self._unsaved)

    def age(self, queued: QueuedMessage) -> float:
        """Returns the seconds since a message was added."""
        return self._clock() - queued.added

    def follows(self, event: str) -> bool:
        """Returns whether the event's beginning was added, in this run or an earlier one, and not its end."""
        with self._lock:
            return event in self._followed

    def forget(self, event: str) -> None:
        """Follows an event no longer, as its end is not asked for."""
        with self._lock:
            if event in self._followed and not self._closed:
                self._followed.discard(event)
                self._file.forget(event)

    def add(self, message: EventMessage) -> None:
        """Adds a message, which becomes JSON here and nowhere else."""
        queued = QueuedMessage(encode(message), self._clock(), message.kind, message.event.id)
        with self._lock:
            if self._closed:
                self._add_dead_letter(queued, "the program was ending")
                return
            while len(self) >= self._capacity and (oldest := self.first()) is not None:
                self._full.begin(f"{self.name}: {len(self)} messages wait; the oldest ones are given up")
                self.give_up(oldest, "the queue was full")
            if queued.kind == "open":
                self._followed.add(queued.event)
            elif queued.kind == "close":
                self._followed.discard(queued.event)
            self._unsaved.append(queued)
            self._save()

    def first(self) -> QueuedMessage | None:
        """Returns the oldest message, which stays until it is removed; None if none waits."""
        with self._lock:
            if self._unsaved:
                self._save()
            if self._head is None and not self._closed:
                self._head = self._file.first(self._over)
            if self._head is None and self._unsaved:
                self._head = self._unsaved[0]
            return self._head

    def remove(self, queued: QueuedMessage) -> bool:
        """Removes the first message, as it was delivered; False if it had been given up in the meantime."""
        with self._lock:
            if queued is not self._head:
                return False
            self._head = None
            if queued.number is None:
                self._unsaved.remove(queued)
            else:
                self._over.add(queued.number)
                self._saved -= 1
            self._save()
            if not len(self):
                self._full.end(f"{self.name}: no message waits any more; {self._given_up} were given up so far")
            return True

    def give_up(self, queued: QueuedMessage, reason: str) -> None:
        """Moves the first message to the dead letters, unless it is there already."""
        with self._lock:
            if queued is self._head:
                self._add_dead_letter(queued, reason)
                self.remove(queued)

    def retry_dead(self) -> int:
        """Adds the dead letters again, as many as there is room for; returns how many.

        They leave their file once they are on the disk as messages that wait. An event's beginning or end that comes so
        late changes nothing of what its receiver follows.

        Raises:
            UserError: the disk cannot be read or written, or there is no room; nothing has changed.
        """
        with self._lock:
            self._save()
            if self._closed or self._unsaved or not self._loaded:
                raise UserError(f"{self.name}: its queue cannot be written to the disk; the log says why")
            try:
                lines = self._dead.read()[: max(0, self._capacity - len(self))]
                letters = [QueuedMessage(text, self._clock()) for text in map(_dead_message, lines) if text is not None]
                if len(self._dead) and not lines:
                    raise UserError(f"{self.name}: its queue is full; try again when fewer messages wait")
                if letters and not self._file.save(letters, self._over):
                    raise UserError(f"{self.name}: its queue cannot be written to the disk; the log says why")
                self._saved += len(letters)
                self._over.clear()
                if lines:
                    self._dead.put_aside(len(lines))
            except (OSError, ValueError) as error:
                raise UserError(f"{self.name}: its dead letters cannot be moved: {error}") from None
            return len(letters)

    def adopt(self, folder: Path, name: str) -> bool:
        """Adds what another queue of this name left in a folder, messages and dead letters; False if it cannot be yet.

        Args:
            folder: the folder, in which no program has the queue open.
            name: tells this folder from all others: what was added is not added again.
        """
        path, dead = folder / f"{self.name}.sqlite", folder / f"{self.name}.dead.jsonl"
        with self._lock:
            self._save()
            if self._closed or self._unsaved or not self._loaded:
                return False
            if path.exists():
                found = self._file.adopt(path, name, self._clock())
                if found is None:
                    return False
                self._saved += found[0]
                self._followed |= found[1]
            return self._dead.adopt(dead)

    def close(self) -> None:
        """Closes the file; a message that found no room on the disk is given up, all others stay there."""
        with self._lock:
            if self._closed:
                return
            self._save()
            for queued in self._unsaved:
                self._add_dead_letter(queued, "no room on the disk")
            self._closed = True
            self._file.close()

    def _save(self) -> None:
        """Brings the disk up to date, if it can be read and written."""
        if self._closed or not (self._loaded or self._load()):
            return
        while self._unsaved or self._over:
            batch = list(islice(self._unsaved, BATCH))
            if not self._file.save(batch, self._over):
                return
            self._saved += len(batch)
            self._over.clear()
            for _ in batch:
                self._unsaved.popleft()

    def _load(self) -> bool:
        """Finds what an earlier run left."""
        if (found := self._file.load()) is not None:
            self._loaded = True
            self._saved += found[0]
            self._followed |= found[1]
        return self._loaded

    def _add_dead_letter(self, queued: QueuedMessage, reason: str) -> None:
        self._given_up += 1
        self._dead.add(queued.text, reason)


def _dead_message(line: str) -> str | None:
    """Returns the JSON of the message in a line of dead letters, None where there is none that could be delivered."""
    try:
        message = json.loads(line)["message"]
        return None if isinstance(message, str) else json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, TypeError, KeyError):
        return None
