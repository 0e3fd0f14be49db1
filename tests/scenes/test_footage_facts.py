"""The view that a scene keeps of its footage is black where nobody may look, whenever that was said."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from msflow_stream.scenes.footage_facts import FILE, FootageFacts, hide_in_view
from msflow_stream.types import Frame
from msflow_stream.video.privacy import PrivacyAreas
from msflow_stream.video.view_signature import View

LEFT = PrivacyAreas((((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)),))


def written(folder: Path, privacy: PrivacyAreas | None = None) -> None:
    facts = FootageFacts(privacy=privacy)
    pixels = np.random.default_rng(0).integers(100, 256, (144, 256, 3), np.uint8)
    for number in range(6):
        facts.add(Frame("gate", number, None, 10.0 * number, None, pixels))
    folder.mkdir()
    facts.write(folder)


def halves(folder: Path) -> tuple[int, int]:
    """How bright the left half of the view is at most, and the right one on average."""
    facts = FootageFacts.read(folder)
    assert facts is not None
    view = View.from_json(facts.view)
    assert view is not None
    return int(view.image[:, :92].max()), int(view.image[:, 100:].mean())


def test_what_is_private_is_black_from_the_first(tmp_path: Path) -> None:
    written(tmp_path / "gate", LEFT)
    left, right = halves(tmp_path / "gate")
    assert left < 32
    assert right > 100


def test_what_is_private_since_is_made_black_once(tmp_path: Path) -> None:
    written(tmp_path / "gate")
    hide_in_view(tmp_path / "gate", LEFT)
    left, right = halves(tmp_path / "gate")
    assert left < 32
    assert right > 100
    before = (tmp_path / "gate" / FILE).stat().st_mtime_ns
    hide_in_view(tmp_path / "gate", LEFT)
    assert (tmp_path / "gate" / FILE).stat().st_mtime_ns == before
    hide_in_view(tmp_path / "nowhere", LEFT)
