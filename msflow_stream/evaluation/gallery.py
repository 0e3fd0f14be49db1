"""The gallery of telling cases: the most and the least anomalous ones, false alarms, and typical ones."""

from __future__ import annotations

import heapq
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.evaluation.cases import EvaluationCase
from msflow_stream.video.drawing.jpeg import to_jpeg

EACH = 3  # examples of every group
DRAWN = 48  # anomalous cases that are drawn from for the typical ones
HEIGHT = 160  # pixels of an example
QUALITY = 85  # of the JPEG, 0 to 100
OUTLINE = (0, 255, 0)

GROUPS = {
    "best": "anomalous, highest scores",
    "typical": "anomalous, scores near their median",
    "worst": "anomalous, lowest scores",
    "false": "normal, highest scores",
}


@dataclass(frozen=True, slots=True)
class Example:
    """A case as it is shown: image with the outline of its mask beside its heat map."""

    name: str
    kind: str
    score: float
    jpeg: bytes


class Gallery:
    """Keeps a few examples of the cases that come by, in bounded memory.

    Args:
        heat: map values at which the heat begins and is full.
        seed: seeds the draw that the typical cases come from.
    """

    def __init__(self, heat: tuple[float, float], seed: int = 0) -> None:
        self._heat = heat
        self._rng = np.random.default_rng(seed)
        self._heaps: dict[str, list[tuple[float, int, Example]]] = {"best": [], "worst": [], "false": []}
        self._drawn: list[Example] = []
        self._scores: list[float] = []
        self._seen = 0

    def add(self, name: str, case: EvaluationCase, score: float, anomaly_map: npt.NDArray[np.floating]) -> None:
        """Adds one case; it is drawn only where it is among the kept."""
        self._seen += 1
        groups = {"best": score, "worst": -score} if case.anomalous else {"false": score}
        wanted = [group for group, rank in groups.items() if self._enters(group, rank)]
        place = self._place() if case.anomalous else None
        if case.anomalous:
            self._scores.append(score)
        if not wanted and place is None:
            return
        example = Example(name, case.kind, score, draw(case, anomaly_map, self._heat))
        for group in wanted:
            heap = self._heaps[group]
            heapq.heappush(heap, (groups[group], self._seen, example))
            if len(heap) > EACH:
                heapq.heappop(heap)
        if place is not None:
            self._drawn[place : place + 1] = [example]

    def save(self, folder: Path) -> None:
        """Writes the examples and gallery.json, which says what they are."""
        folder.mkdir(parents=True, exist_ok=True)
        content = []
        for group in GROUPS:
            for number, example in enumerate(self._group(group)):
                file = f"{group}-{number}.jpg"
                (folder / file).write_bytes(example.jpeg)
                facts = {key: value for key, value in asdict(example).items() if key != "jpeg"}
                content.append({"group": group, "file": file} | facts)
        (folder / "gallery.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def _group(self, group: str) -> list[Example]:
        if group != "typical":
            return [example for _, _, example in sorted(self._heaps[group], reverse=True)]
        if not self._scores:
            return []
        median = float(np.median(self._scores))
        return sorted(self._drawn, key=lambda example: abs(example.score - median))[:EACH]

    def _enters(self, group: str, rank: float) -> bool:
        heap = self._heaps[group]
        return len(heap) < EACH or rank > heap[0][0]

    def _place(self) -> int | None:
        """The place in the draw that the next anomalous case takes (reservoir sampling), None if none."""
        if len(self._drawn) < DRAWN:
            return len(self._drawn)
        place = int(self._rng.integers(0, len(self._scores) + 1))
        return place if place < DRAWN else None


def draw(case: EvaluationCase, anomaly_map: npt.NDArray[np.floating], heat: tuple[float, float]) -> bytes:
    """Returns a JPEG: the image with its mask's outline, beside the image under its heat map."""
    height, width = case.frame.shape[:2]
    size = (max(1, round(width * HEIGHT / height)), HEIGHT)
    image = cv2.resize(case.frame.image, size, interpolation=cv2.INTER_AREA)[:, :, ::-1]  # BGR, as OpenCV writes
    low, high = heat
    scaled = np.clip((anomaly_map.astype(np.float32) - low) / max(high - low, 1e-6), 0, 1)
    levels = (cv2.resize(scaled, size, interpolation=cv2.INTER_LINEAR) * 255).astype(np.uint8)
    heated = cv2.addWeighted(image, 0.45, cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), 0.55, 0)
    outlined = image.copy()
    if case.mask is not None:
        mask = cv2.resize(case.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(outlined, contours, -1, OUTLINE, 1)
    return to_jpeg(np.hstack([outlined, heated])[:, :, ::-1], QUALITY)
