"""The picture of README, of what the demo leaves: python docs/picture.py demo/run/today 1 8.5 docs/alarm.webp."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from PIL import Image, ImageDraw, ImageFont

RATE = Fraction(8)  # images per second
TIMES, STRIP = 2, 44  # larger than the overlay; pixels below it, for the reason
PAPER, INK = (24, 24, 27), (250, 250, 250)


def write_picture(run: Path, start: float, end: float, to: Path) -> None:
    """Writes the span of seconds of a run's overlay as an animated WebP, with the reasons of its events below."""
    events = json.loads((run / "events.json").read_text(encoding="utf-8"))
    images: list[Image.Image] = []
    with av.open(run / "overlay.mp4") as container:
        for frame in container.decode(video=0):
            time = frame.time or 0.0
            if start + len(images) / RATE <= time < end:
                images.append(_with_reason(frame.to_image(), _reason(events, time)))
    images[0].save(
        to, save_all=True, append_images=images[1:], duration=round(1000 / RATE), loop=0, quality=60, method=6
    )


def _reason(events: Sequence[Mapping[str, Any]], time: float) -> str:
    texts = [event["why"]["text"] for event in events if event["start"] <= time <= event["end"]]
    return str(texts[0]).replace("; ", ";\n", 1) if texts else ""


def _with_reason(image: Image.Image, reason: str) -> Image.Image:
    width, height = TIMES * image.width, TIMES * image.height
    whole = Image.new("RGB", (width, height + STRIP), PAPER)
    whole.paste(image.resize((width, height), Image.Resampling.LANCZOS))
    ImageDraw.Draw(whole).text((10, height + 4), reason, fill=INK, font=ImageFont.load_default(15), spacing=3)
    return whole


if __name__ == "__main__":
    write_picture(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
