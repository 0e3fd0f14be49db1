"""The facts of the footage that a scene learnt from, which its folder keeps: what came since is compared with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from msflow_stream.files import write_json
from msflow_stream.types import Frame
from msflow_stream.video.coverage import Coverage
from msflow_stream.video.privacy import PrivacyAreas
from msflow_stream.video.view_signature import View, ViewCollector

FILE = "footage.json"  # in the scene's folder
VIEW_EVERY = 5.0  # seconds between two frames that the view is made of


@dataclass(slots=True)
class FootageFacts:
    """The facts of some footage.

    Attributes:
        coverage: what it covers.
        view: the signature of the view, as JSON; None where it is not known.
        privacy: what is black in the view.
    """

    coverage: Coverage = field(default_factory=Coverage)
    view: dict[str, Any] | None = None
    privacy: PrivacyAreas | None = field(default=None, repr=False, compare=False)
    _views: ViewCollector = field(default_factory=lambda: ViewCollector(VIEW_EVERY), repr=False, compare=False)

    def add(self, frame: Frame) -> None:
        """Takes a frame of the footage, in the order of its source."""
        self.coverage.add(frame)
        if self._views.is_due(frame.time):
            shown = frame if self.privacy is None else self.privacy.shown(frame)
            self._views.add(frame.time, shown.pixels)

    def watching(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Hands frames on, and takes each of them."""
        for frame in frames:
            self.add(frame)
            yield frame

    def write(self, folder: Path) -> None:
        """Writes them into a scene's folder."""
        if (view := self._views.view()) is not None:
            self.view = view.to_json()
        write_json(folder / FILE, {"coverage": self.coverage.to_json(), "view": self.view})

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Returns those of a scene's folder; None where there are none that can be read, as in old scenes."""
        try:
            content = json.loads((folder / FILE).read_text(encoding="utf-8"))
            return cls(Coverage.from_json(content["coverage"]), content.get("view"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


def hide_in_view(folder: Path, privacy: PrivacyAreas) -> None:
    """Makes privacy areas black in the view that a scene's folder keeps: they may have been drawn since.

    Raises:
        OSError: it cannot be written.
    """
    facts = FootageFacts.read(folder)
    view = None if facts is None else View.from_json(facts.view)
    if facts is None or view is None:
        return
    image = view.image.copy()
    if privacy.hide(image):
        facts.view = View(image).to_json()
        facts.write(folder)
