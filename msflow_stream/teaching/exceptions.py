"""Soft exceptions of a scene: what is normal at a place although the scene does not know it yet."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from msflow_stream.events.detection.reasons import UNUSUAL
from msflow_stream.files import make_folder, write_json
from msflow_stream.locks import take_lock
from msflow_stream.teaching.exception_place import SeenFrame, ShareBox, place_of, seconds_of, strength_of
from msflow_stream.teaching.layout import exceptions_file
from msflow_stream.types import Event, UserError

log = logging.getLogger(__name__)

LASTS = timedelta(days=14)  # unless the scene learns it before
ROOM, LINGER = 1.5, 2.0  # times as long as the event, and so many seconds more, may it last: a cart is not parked
MOST = 50  # of a scene
TOO_MANY = f"there are {MOST} exceptions already: have the scene learn them, or remove some"
LOCK = ".exceptions.lock"

Kind = Literal["appearance", "motion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftException:
    """An exception: at a place, so much of what looks or moves unusually is normal, for so long at a time.

    Attributes:
        id: fit for an address.
        event: the id of the event that it was made of.
        camera: only there does it count.
        boxes: the place, as shares of the view; they do not overlap.
        kind: the part that the event was triggered by.
        appearance, motion: the most that the event said of each, in powers of ten; 0: that part was normal.
        peaks: the highest of each kind of score in the event.
        seconds: it counts for so long at a time.
        unseen: for so many seconds in a row the event moved unusually and hardly looked so.
        by, at: who made it, and when.
        expires: it counts until then.
        decision: the number of the decision that it is a part of; None where there is none.
    """

    id: str
    event: str
    camera: str
    boxes: tuple[ShareBox, ...]
    kind: Kind
    appearance: float
    motion: float
    peaks: Mapping[str, float]
    seconds: float
    by: str
    at: datetime
    expires: datetime
    decision: int | None = None
    unseen: float = 0.0

    @property
    def offset(self) -> float:
        """What is taken off the part that the event was triggered by."""
        return self.motion if self.kind == "motion" else self.appearance

    @property
    def share(self) -> float:
        """The share of the view that its place is."""
        return sum(width * height for _, _, width, height in self.boxes)


_STORED = TypeAdapter(SoftException)


class Exceptions:
    """The soft exceptions of a scene, in its file; several programs may change them.

    Args:
        scene: the scene's folder.
    """

    def __init__(self, scene: Path) -> None:
        self.path = exceptions_file(scene)

    @property
    def entries(self) -> tuple[SoftException, ...]:
        """Those that count now, the oldest first."""
        return self.at(datetime.now(UTC))

    def at(self, now: datetime) -> tuple[SoftException, ...]:
        """Returns those that count at a moment, the oldest first."""
        return tuple(one for one in self._read() if now < one.expires)

    def add_from(
        self,
        event: Event,
        *,
        size: tuple[int, int],
        by: str,
        seen: Sequence[SeenFrame] = (),
        decision: int | None = None,
        now: datetime | None = None,
        lasts: timedelta = LASTS,
    ) -> SoftException:
        """Adds what an event was, and returns it; where there is one of this event already, that one.

        Args:
            event: the event; of its scene.
            size: width and height of its source's frames.
            by: the name of who says so.
            seen: its frames as they were recorded, which tell more of its place and strength.
            decision: the number of the decision that it is a part of.
            now: the moment of now.
            lasts: for so long it counts.

        Raises:
            UserError: there can be none of this event.
        """
        now = now or datetime.now(UTC)
        made = exception_of(event, size=size, by=by, seen=seen, decision=decision, now=now, lasts=lasts)
        with self._changing() as entries:
            standing = [one for one in entries if now < one.expires]
            known = next((one for one in standing if one.event == event.id), None)
            if known is not None:
                return known
            if len(standing) >= MOST:
                raise UserError(TOO_MANY)
            entries[:] = [*standing, made]
        return made

    def check(self, event: Event, *, size: tuple[int, int], seen: Sequence[SeenFrame] = ()) -> None:
        """Checks that there can be one of an event.

        Raises:
            UserError: there can be none.
        """
        exception_of(event, size=size, by="", seen=seen, now=datetime.now(UTC))
        if len(self.entries) >= MOST:
            raise UserError(TOO_MANY)

    def remove(self, id: str) -> SoftException | None:
        """Removes one, and returns it; None where there is none of this id."""
        return next(iter(self._drop(lambda one: one.id == id)), None)

    def forget(self, events: Collection[str]) -> tuple[SoftException, ...]:
        """Removes those of these events, and returns them: the scene has learnt them, or they are not normal."""
        return self._drop(lambda one: one.event in events) if events else ()

    def forget_decision(self, number: int, events: Collection[str]) -> tuple[SoftException, ...]:
        """Removes those that a decision about these events made, and returns them: it was taken back."""
        return self._drop(lambda one: one.decision == number and one.event in events)

    def _drop(self, goes: Callable[[SoftException], bool]) -> tuple[SoftException, ...]:
        if not any(map(goes, self._read())):
            return ()
        with self._changing() as entries:
            gone = tuple(one for one in entries if goes(one))
            entries[:] = [one for one in entries if not goes(one)]
        return gone

    @contextmanager
    def _changing(self) -> Iterator[list[SoftException]]:
        """Yields the entries, to be changed while nobody else does."""
        make_folder(self.path.parent)
        with (self.path.parent / LOCK).open("ab") as lock:
            take_lock(lock)
            entries = list(self._read())
            before = list(entries)
            yield entries
            if entries != before:
                write_json(self.path, {"exceptions": [_STORED.dump_python(one, mode="json") for one in entries]})

    def _read(self) -> tuple[SoftException, ...]:
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))["exceptions"]
            return tuple(_STORED.validate_python(one) for one in stored)
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            log.warning("%s cannot be read (%s): no exception counts", self.path, type(error).__name__)
            return ()


def exception_of(
    event: Event,
    *,
    size: tuple[int, int],
    by: str,
    seen: Sequence[SeenFrame] = (),
    decision: int | None = None,
    now: datetime,
    lasts: timedelta = LASTS,
) -> SoftException:
    """Returns the exception that an event makes, as `Exceptions.add_from` does; nothing is kept.

    Raises:
        UserError: there can be none of this event.
    """
    if "view" in event.triggers:
        raise UserError(
            "this event is about the whole view (covered, moved or dark?): an exception would hide everything; "
            "label it normal, and the next fit learns it"
        )
    boxes, (appearance, motion, peaks, unseen) = place_of(event, size, seen), strength_of(event, seen)
    return SoftException(
        id=hashlib.sha256(event.id.encode(errors="surrogateescape")).hexdigest()[:12],
        event=event.id,
        camera=event.source,
        boxes=boxes,
        kind="motion" if event.triggers[0] == "motion" else "appearance",
        appearance=appearance if appearance >= UNUSUAL else 0.0,
        motion=motion if motion >= UNUSUAL else 0.0,
        peaks=peaks,
        seconds=ROOM * seconds_of(event) + LINGER,
        by=by,
        at=now,
        expires=now + lasts,
        decision=decision,
        unseen=unseen,
    )
