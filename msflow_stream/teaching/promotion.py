"""The rule by which a candidate is promoted without a person: after its shadow, if that was no worse than the scene."""

from __future__ import annotations

import logging
from pathlib import Path

from msflow_stream.teaching.shadow import Shadow
from msflow_stream.teaching.sync import untried_violations
from msflow_stream.teaching.version_history import Version
from msflow_stream.teaching.versions import Versions

log = logging.getLogger(__name__)

BY = "the rule teaching.promote"


def promote_by_rule(scene: Path, seconds: float) -> Version | None:
    """Promotes a scene's candidate if the rule allows it, and returns it; None where there is none that it allows.

    It was compared with the live scene and passed, without a doubt about a label, on every violation that is known now;
    it was beside that scene for so many seconds of live frames, and raised no more alarms than it by them.

    Args:
        scene: the scene's folder.
        seconds: of the shadow.

    Raises:
        UserError: it cannot be promoted now.
    """
    shadow = Shadow.read(scene)  # which is cheap: there mostly is none
    if shadow is None or not shadow.allows(seconds):
        return None
    versions = Versions(scene)
    candidate = versions.candidate
    if candidate is None or candidate.identity != shadow.candidate:  # it is another one by now
        return None
    said = candidate.comparison
    if not said or said.get("refusals") or said.get("doubts") or untried_violations(scene):
        return None
    promoted = versions.promote(BY)
    live, others = shadow.alarms
    log.info(
        "%s: its candidate is promoted by the rule: %d alarms where the scene had %d, in %.0f min of %d frames",
        *(scene.name, others, live, shadow.seconds / 60, shadow.frames),
    )
    return promoted
