"""Applying a position of the dial: a scene's calibration is replaced in one step, and can be put back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msflow_stream.events.detection.triggers import default_triggers
from msflow_stream.files import replaced, write_json
from msflow_stream.results.wording import calibration_wording
from msflow_stream.scenes.calibration import Calibration
from msflow_stream.scenes.exchange import scene_changing
from msflow_stream.scenes.folder import FORMAT, RECORD, read_record, stored_settings
from msflow_stream.scenes.recalibration import Recalibrated, kept_scores, recalibrated
from msflow_stream.types import SCORE_KINDS, ScoreKind, UserError

HISTORY = "calibration-history.json"  # beside scene.json: what was replaced, the oldest first
MOST = 20  # of them that are kept


def previewed(folder: Path, rate: float) -> Sequence[str]:
    """Returns what thresholds for so many false alarms per hour rest on and promise, in sentences.

    Raises:
        UserError: no such scene, or it holds no normal scores.
    """
    return _worded(folder, _found(folder, rate, triggering(folder)))


def apply(folder: Path, rate: float, by: str) -> Sequence[str]:
    """Calibrates a scene for so many false alarms per hour, as `calibrate` does; returns what that promises.

    Args:
        folder: the scene's.
        rate: false alarms per hour.
        by: name of the person, which is kept with the calibration.

    Raises:
        UserError: no such scene, or it holds no normal scores.
    """
    with scene_changing(folder):
        found, record = _found(folder, rate), read_record(folder)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        made = found.calibration.model_dump(mode="json")
        replacement = {"by": by, "at": now, "rate": rate}
        entry = {"before": record["calibration"], "applied": record.get("applied"), "made": made, **replacement}
        write_json(folder / HISTORY, {"replaced": [*_history(folder), entry][-MOST:]})
        _save(folder, made, replacement)
    return _worded(folder, found)


def undo(folder: Path) -> None:
    """Puts back the calibration before the last one that was applied.

    Raises:
        UserError: there is none, or the scene was calibrated or fitted in another way since.
    """
    with scene_changing(folder):
        history = _history(folder)
        if last_applied(folder) is None:
            raise UserError(
                "there is nothing to undo: the thresholds were not set here, or were changed elsewhere since"
            )
        last = history.pop()
        _save(folder, last["before"], last["applied"])
        write_json(folder / HISTORY, {"replaced": history})


def last_applied(folder: Path) -> dict[str, Any] | None:
    """Returns by whom ("by"), when ("at") and for which "rate" the calibration of now was applied; None if it was not.

    Raises:
        UserError: no such scene.
    """
    history, record = _history(folder), read_record(folder)
    if not history or history[-1]["made"] != record["calibration"]:
        return None
    return {name: history[-1][name] for name in ("by", "at", "rate")}


def triggering(folder: Path) -> Sequence[ScoreKind]:
    """Returns the kinds of score that trigger a scene's events."""
    settings = stored_settings(read_record(folder))
    return settings.event.triggers or default_triggers(settings.score.kind)


def _found(folder: Path, rate: float, kinds: Sequence[ScoreKind] = SCORE_KINDS) -> Recalibrated:
    scores, before = kept_scores(folder)
    return recalibrated(scores, before, rate, stored_settings(read_record(folder)), kinds=kinds)


def _worded(folder: Path, found: Recalibrated) -> Sequence[str]:
    """Returns what the kinds of score that trigger events promise."""
    kinds = triggering(folder)
    told = {kind: one for kind, one in found.found.items() if kind in kinds}
    return calibration_wording(found.calibration, told, kinds[0])


def _save(folder: Path, calibration: dict[str, Any] | None, applied: dict[str, Any] | None) -> None:
    content = read_record(folder) | {"format": FORMAT, "calibration": calibration, "applied": applied}
    if calibration is not None:
        Calibration.model_validate(calibration)
    with replaced(folder / RECORD) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _history(folder: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads((folder / HISTORY).read_text(encoding="utf-8"))["replaced"])
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{folder / HISTORY} is damaged: remove it; only the undo of what was applied is lost"
        ) from None
