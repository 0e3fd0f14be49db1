"""Decoding by graphics cards: whether one can be used, asked once per process, and what decodes a source.

A card decodes in the CUDA context that PyTorch computes in, so that the frames it makes are in the memory of the same
device, and no second context takes a few hundred MiB of it. FFmpeg's own option for that, `primary_ctx`, refuses a
context that is in use already with other flags than FFmpeg's; so the context is made current, and FFmpeg takes that.
"""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal, Protocol

import av
import numpy as np
import numpy.typing as npt
from av.codec import Codec
from av.codec.hwaccel import HWAccel
from av.video.frame import VideoFrame

from msflow_stream.config.cameras import Decode

logger = logging.getLogger(__name__)

Decoder = Literal["cpu", "cuda"]
TRIAL_CODEC = "h264"  # every card that decodes anything decodes this
DRIVER, NVCUVID = ("nvcuda.dll", "nvcuvid.dll") if os.name == "nt" else ("libcuda.so.1", "libnvcuvid.so.1")
CONTEXT = {"primary_ctx": "0", "current_ctx": "1"}  # options of FFmpeg's CUDA devices


class CardReading(Protocol):
    """What reads frames in a card's memory there, so that only what is small goes to the processor.

    Either raises a CardError where the card has no memory left for it.
    """

    def planes(self, frame: VideoFrame, size: tuple[int, int], siting: tuple[float, float]) -> npt.NDArray[np.uint8]:
        """Returns luma and chroma, uint8 3 x h x w, as `FrameConverter.planes` does; `siting` is of `chroma_siting`."""

    def sample(self, frame: VideoFrame, step: int) -> npt.NDArray[np.uint8]:
        """Returns every so many pixels of every so many lines of the luma, which has 8 bits."""


@dataclass(frozen=True, slots=True)
class Card:
    """A graphics card.

    Attributes:
        index: its number, as CUDA counts.
        reading: reads frames in its memory; None: they are fetched from there first.
    """

    index: int = 0
    reading: CardReading | None = None


class CardError(Exception):
    """A card that cannot be used; the text says why."""


class CardContexts:
    """The CUDA contexts that a process computes in, one per card, kept once they were asked for."""

    def __init__(self, load: Callable[[str], Any] = ctypes.CDLL) -> None:
        self._load, self._lock = load, Lock()
        self._contexts: dict[int, ctypes.c_void_p] = {}

    @contextmanager
    def current(self, index: int) -> Iterator[None]:
        """Makes a card's context that of the calling thread, and afterwards the one that was it before.

        Raises:
            CardError: there is no driver, or no such card.
        """
        driver, context = self._retained(index)
        _check(driver.cuCtxPushCurrent_v2(context), "its context")
        try:
            yield
        finally:
            driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))

    def _retained(self, index: int) -> tuple[Any, ctypes.c_void_p]:
        try:
            driver = self._load(DRIVER)
        except OSError:
            raise CardError(f"there is no driver, {DRIVER}") from None
        with self._lock:
            if index not in self._contexts:
                device, context = ctypes.c_int(), ctypes.c_void_p()
                _check(driver.cuInit(0), "the driver")
                _check(driver.cuDeviceGet(ctypes.byref(device), index), f"card {index}")
                _check(driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device), "its context")
                self._contexts[index] = context
            return driver, self._contexts[index]


def _check(code: int, what: str) -> None:
    if code:
        raise CardError(f"CUDA error {code} of {what}")


CONTEXTS = CardContexts()


def acceleration(index: int) -> HWAccel:
    """Returns what FFmpeg is to decode with, while the card's context is current; frames stay in the card's memory."""
    return HWAccel("cuda", device=str(index), allow_software_fallback=True, options={**CONTEXT}, is_hw_owned=True)


def try_card(index: int) -> str | None:
    """Returns why a card cannot decode, None where it can as far as a device that is let go at once tells."""
    try:
        with CONTEXTS.current(index):
            acceleration(index).create(Codec(TRIAL_CODEC, "r"))
    except (CardError, av.FFmpegError, NotImplementedError) as error:
        return str(getattr(error, "strerror", None) or error)
    try:
        ctypes.CDLL(NVCUVID)
    except OSError:
        return f"there is no {NVCUVID}; a container needs NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"
    return None


class CardTrials:
    """The trials of a process's cards: each card is tried once, and once it is said why one is not used."""

    def __init__(self, trial: Callable[[int], str | None] = try_card) -> None:
        self._trial, self._lock = trial, Lock()
        self._faults: dict[int, str | None] = {}
        self._said: set[int] = set()

    def fault(self, index: int) -> str | None:
        """Returns why a card cannot decode, None where it can."""
        with self._lock:
            if index not in self._faults:
                self._faults[index] = self._trial(index)
            return self._faults[index]

    def say(self, index: int, level: int, reason: str) -> None:
        """Logs once that the processor decodes instead of a card."""
        with self._lock:
            new = index not in self._said
            self._said.add(index)
        if new:
            logger.log(level, "the processor decodes (%s)", reason)


TRIALS = CardTrials()


class DecoderChoice:
    """The choice of one source's decoder, each time that it is opened.

    That no card can be used is said once per process; that a card does not decode this source, once per source.

    Attributes:
        reason: why the card is not used, although it may be; None while nothing is known against it.
    """

    def __init__(self, name: str, wish: Decode = "cpu", card: Card | None = None, trials: CardTrials = TRIALS) -> None:
        """Prepares.

        Args:
            name: the source's, for the log.
            wish: cpu or cuda; auto for cuda where the source's scene is on a card.
            card: the card of the scene; None where that is on the processor: for cuda, it is the first one then.
            trials: tells whether the card can be used.
        """
        self.reason: str | None = None
        self._name, self._wish, self._trials = name, wish, trials
        self._card = None if wish == "cpu" else card or (Card() if wish == "cuda" else None)

    @contextmanager
    def opening(self) -> Iterator[HWAccel | None]:
        """Gives what the source is to be opened with, in this thread, within the block; None for the processor."""
        if self._card is None:
            yield None
            return
        fault = self._trials.fault(self._card.index)
        if fault is not None:
            self.reason = f"no CUDA device can be used: {fault}"
            self._trials.say(self._card.index, self._level, self.reason)
            self._card = None
            yield None
            return
        with ExitStack() as stack:
            index = self._card.index
            try:
                stack.enter_context(CONTEXTS.current(index))
            except CardError as error:
                self.give_up(f"the CUDA device fails: {error}")
            yield None if self._card is None else acceleration(index)

    def used(self, frame: VideoFrame, codec: str) -> Decoder:
        """Returns the decoder that a source's first frame came from, of which the codec's name is known."""
        if frame.format.name == "cuda":
            return "cuda"
        if self._card is not None:
            self.give_up(f"the CUDA device does not decode this kind of {codec}")
        return "cpu"

    def give_up(self, reason: str) -> None:
        """Has the processor decode from the next opening on."""
        self._card = None
        if self.reason is None:
            self.reason = reason
            logger.log(self._level, "%s: decodes on the processor (%s)", self._name, reason)

    @property
    def _level(self) -> int:
        return logging.WARNING if self._wish == "cuda" else logging.INFO


def is_fault_of_card(error: av.FFmpegError) -> bool:
    """Returns whether decoding on a card failed by the card, not by what is decoded."""
    return isinstance(error, (av.error.ExternalError, av.error.MemoryError, av.error.UnknownError))
