"""run.json: how a source was scored."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from msflow_stream.files import write_json
from msflow_stream.logs import redact
from msflow_stream.results.run_folder import RUN, versions
from msflow_stream.results.source_results import Scored, SourceOutputs
from msflow_stream.scenes.calibration import Calibration
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.video.reading.source_info import SourceInfo
from pipelines.score_job import ScoreJob


def write_record(
    folder: Path, spec: str, info: SourceInfo, scorer: Scorer, job: ScoreJob, outputs: SourceOutputs, result: Scored
) -> None:
    """Writes it; no credentials are in it."""
    write_json(
        folder / RUN,
        {
            "source": redact(spec) if info.live else str(Path(spec).resolve()),
            "scene": scorer.scene.name,
            "settings": scorer.settings.model_dump(mode="json"),
            "event": job.event.model_dump(mode="json"),
            "triggers": {trigger.kind: trigger.threshold for trigger in outputs.triggers},
            "calibration": _basis(scorer.scene.calibration),
            "overlay": asdict(outputs.style),
            "size": [info.width, info.height],
            "rate": str(info.rate),
            "frames": result.frames,
            "scored_frames": len(result.rows),
            "reused_scores": result.reused,
            "damaged_packets": result.damaged,
            "events": len(result.events),
            "evidence_lost": dict(result.lost),
            "interrupted": result.interrupted,
            "seconds": round(result.seconds, 2),
            "frames_per_second": round(result.frames / result.seconds, 1),
            "device": str(scorer.scene.device),
            "versions": versions(),
        },
    )


def _basis(calibration: Calibration | None) -> dict[str, Any] | None:
    """What the thresholds rest on, where they are for a number of false alarms."""
    if calibration is None or calibration.basis is None:
        return None
    rates = {kind: limit.rate for kind, limit in calibration.limits.items()}
    return {**calibration.basis.model_dump(mode="json", exclude={"sources"}), "false_alarms_per_hour": rates}
