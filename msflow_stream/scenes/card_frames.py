"""Frames in a graphics card's memory become small there, as the processor makes them small, within a grey level.

A card's decoder works on the CUDA default stream, and writes to the memory of a frame that nobody holds any longer. So
all that reads a frame runs on that stream too: after what decoded it, and before what decodes another into its place.
Streams that take what was made of it wait for it on the card; the host waits for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from av.video.frame import VideoFrame
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from msflow_stream.video.cards import Card, CardError
from msflow_stream.video.pixels import DecodedPixels

KEPT = 64  # matrices of sizes that were used last
CUDA = 2  # kDLCUDA of DLPack


class CardPlanes(NamedTuple):
    """The planes of a small image on a card.

    Attributes:
        values: uint8 3 x h x w, luma and chroma.
        matrix: what makes red, green and blue of them, as `video.pixels.Planes` has it.
        made: the moment at which the values are there; None on the processor.
    """

    values: Tensor
    matrix: npt.NDArray[np.float32]
    made: torch.cuda.Event | None


class CardFrames:
    """A reader of frames in the memory of one device; those of the processor are read where they are."""

    def __init__(self, device: torch.device) -> None:
        self._device = torch.device("cuda", device.index or 0) if device.type == "cuda" else device

    def small(self, pixels: DecodedPixels, size: tuple[int, int]) -> CardPlanes | None:
        """Returns pixels at a height and width, None where the processor has to make them small.

        It has to where the frame is in its memory or another card's, is smaller, of odd sides, turned or mirrored, and
        where the card has no memory left.
        """
        if not pixels.is_shrunk_on_card(size) or _device_of(pixels.frame) != self._device:
            return None
        siting = pixels.siting
        with suppress(torch.OutOfMemoryError), torch.inference_mode(), _decoder_stream(self._device) as stream:
            values = shrink_planes(plane_tensors(pixels.frame), size, siting)
            return CardPlanes(values, pixels.matrix, None if stream is None else stream.record_event())
        return None

    def planes(self, frame: VideoFrame, size: tuple[int, int], siting: tuple[float, float]) -> npt.NDArray[np.uint8]:
        """Returns luma and chroma, uint8 3 x h x w, in the processor's memory."""
        with _reading(frame):
            return shrink_planes(plane_tensors(frame), size, siting).cpu().numpy()

    def sample(self, frame: VideoFrame, step: int) -> npt.NDArray[np.uint8]:
        """Returns every so many pixels of every so many lines of the luma, in the processor's memory."""
        with _reading(frame):
            return plane_tensors(frame)[0][::step, ::step].contiguous().cpu().numpy()


def card_of(device: torch.device) -> Card | None:
    """Returns the card that a device is, as the decoder's; None for the processor."""
    if device.type != "cuda":
        return None
    return Card(device.index or 0, CardFrames(device))


def plane_tensors(frame: VideoFrame) -> list[Tensor]:
    """Returns the planes of a frame where they are, without a copy; H x W, or H x W x 2 with chroma in pairs.

    They hold the frame's memory, and may not outlive the work on the decoder's stream.
    """
    # PyAV refuses to be told a stream, as torch would when it asked by itself; the caller takes the decoder's.
    return [from_dlpack(plane.__dlpack__()) for plane in frame.planes]


def shrink_planes(
    planes: Sequence[Tensor], size: tuple[int, int], siting: tuple[float, float], kind: torch.dtype | None = None
) -> Tensor:
    """Returns uint8 3 x h x w: planes stretched to a height and width, each pixel the mean over its area.

    Chroma that has fewer samples than the result is brought up by linear interpolation, as libswscale does.

    Args:
        planes: luma, and chroma in two planes or as pairs in one; of 8 bits, or of 10 in the highest bits of 16.
        size: height and width; at most those of the luma.
        siting: that of `video.reading.colour.chroma_siting`.
        kind: what is computed in. None: float16 on a card, which holds the values of either exactly and is off by a
            fifth of a grey level at most in the end; else float32.
    """
    kind = kind or (torch.float16 if planes[0].is_cuda else torch.float32)
    luma, chroma = _levels(planes[0], kind)[None], [_levels(plane, kind) for plane in planes[1:]]
    pairs = chroma[0].permute(2, 0, 1) if len(chroma) == 1 else torch.stack(chroma)  # 2 H' W'
    made = [_shrunk(luma, size, (0.0, 0.0)), _shrunk(pairs, size, siting)]
    return torch.cat(made).round_().clamp_(0, 255).to(torch.uint8)  # 3 h w


def _levels(plane: Tensor, kind: torch.dtype) -> Tensor:
    """The values in grey levels of 8 bits."""
    if plane.dtype == torch.uint8:
        return plane.to(kind)
    values = plane.view(torch.int16).int().bitwise_and_(0xFFFF)  # few operations know uint16
    return values.float().div_(256).to(kind)


def _shrunk(planes: Tensor, size: tuple[int, int], siting: tuple[float, float]) -> Tensor:
    height, width = planes.shape[1:]
    down = _weights(size[0], height, siting[1], planes.device, planes.dtype)  # h H
    across = _weights(size[1], width, siting[0], planes.device, planes.dtype)  # w W
    return down @ (planes @ across.T)  # n h w


@lru_cache(KEPT)
def _weights(count: int, samples: int, shift: float, device: torch.device, kind: torch.dtype) -> Tensor:
    """The shares of samples in each of `count` means, count x samples; `shift` is where samples lie, in samples."""
    step = samples / count
    centres = (torch.arange(count, dtype=torch.float64) + 0.5) * step - shift
    places = torch.arange(-2, samples + 2, dtype=torch.float64)  # beyond the edges, these go on
    if step > 1:
        ends = torch.minimum((centres + step / 2)[:, None], places + 1)
        shares = (ends - torch.maximum((centres - step / 2)[:, None], places)).clamp_(min=0)
    else:
        shares = (1 - (places + 0.5 - centres[:, None]).abs()).clamp_(min=0)
    shares /= shares.sum(1, keepdim=True)
    weights = torch.zeros(count, samples, dtype=torch.float64)
    weights.index_add_(1, places.long().clamp_(0, samples - 1), shares)
    return weights.to(device, kind)


def _device_of(frame: VideoFrame) -> torch.device:
    kind, index = frame.planes[0].__dlpack_device__()
    return torch.device("cuda", index) if kind == CUDA else torch.device("cpu")


@contextmanager
def _reading(frame: VideoFrame) -> Iterator[None]:
    try:
        with torch.inference_mode(), _decoder_stream(_device_of(frame)):
            yield
    except torch.OutOfMemoryError as error:
        raise CardError("there is no memory left") from error


@contextmanager
def _decoder_stream(device: torch.device) -> Iterator[torch.cuda.Stream | None]:
    """Has what is done run on the stream that FFmpeg decodes on: the one that every card has by default."""
    if device.type != "cuda":
        yield None
        return
    stream = torch.cuda.default_stream(device)
    with torch.cuda.stream(stream):
        yield stream
