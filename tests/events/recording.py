"""A camera that never stops finding events, to be killed."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from random import Random

from msflow_stream.config.settings import EventSettings
from msflow_stream.events.recovery import OpenEventJournal
from msflow_stream.events.serialization import to_json
from msflow_stream.types import EventMessage
from tests.events.detection.detecting import PAPER, START, STEP, SURPRISE, SmoothedDetector, scored


class Sent:
    """What was sent, a line per message; what is in it has arrived, whatever happens to us."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def send(self, message: EventMessage) -> None:
        os.write(self._file, (json.dumps(to_json(message)) + "\n").encode())


def close_what_is_open(journal: OpenEventJournal, sent: Sent) -> None:
    for message in journal.left_open:
        sent.send(message)
        journal.forget(message)


def record(journal: OpenEventJournal, sent: Sent, start: int) -> None:
    """Runs until it is killed; the camera was switched on so many days after the first time."""
    close_what_is_open(journal, sent)
    random = Random(start)
    settings = EventSettings(leave=0.5, cool_down=1.0)
    detector = SmoothedDetector([PAPER, SURPRISE], settings, smoothing=0.0)
    number = 0
    while True:
        paper, surprise = random.choice([0.0, 0.0, 1.5, 3.0, 9.0, 20.0]), random.choice([0.0, 0.0, 30.0])
        for _ in range(random.randint(1, 9)):
            wall = START + timedelta(days=start, seconds=number * STEP)
            score = scored(number, paper, surprise, wall=wall)
            messages = detector.update(score)
            journal.remember(detector.open_event)
            for message in messages:
                sent.send(message)
                journal.forget(message)
            number += 1
