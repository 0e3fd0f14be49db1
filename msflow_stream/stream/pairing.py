"""Every frame of a source with the newest score, in order and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from msflow_stream.types import Frame, FrameScore

WAITING_BYTES = 256 * 2**20  # of pictures that wait for their batch: a 4K video makes smaller batches instead


def with_scores(
    frames: Iterable[Frame], score: Callable[[Sequence[Frame]], list[FrameScore]], every: int, batch: int
) -> Iterator[tuple[Frame, FrameScore | None]]:
    """Yields each frame with the newest score at that moment: its own if it is sampled, else the last one before.

    Args:
        frames: in the order of their source; those with `index % every == 0` are scored.
        score: scores of one batch, in order.
        every: the sampling step.
        batch: sampled frames per call of `score`, fewer where the pictures are very large.
    """
    newest: FrameScore | None = None
    for waiting in _chunks(frames, every, batch):
        sampled = [frame for frame in waiting if frame.index % every == 0]
        scores = {result.index: result for result in score(sampled)} if sampled else {}
        for frame in waiting:
            newest = scores.get(frame.index, newest)
            yield frame, newest


def _chunks(frames: Iterable[Frame], every: int, batch: int) -> Iterator[list[Frame]]:
    waiting: list[Frame] = []
    sampled = held = 0
    for frame in frames:
        waiting.append(frame)
        sampled += frame.index % every == 0
        held += frame.image.nbytes
        if sampled in (0, batch) or held >= WAITING_BYTES:  # 0: nothing to wait for
            yield waiting
            waiting, sampled, held = [], 0, 0
    if waiting:
        yield waiting
