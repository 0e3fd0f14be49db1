"""The sound of a source, handed to a writer packet by packet as its frames are written."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Self, TypeAlias

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

logger = logging.getLogger(__name__)

AudioPacket: TypeAlias = "av.Packet[AudioStream]"

MP4_CODECS = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"})
AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000})
# A codec needs a little before its first audible sample, and sources often hold a packet or two past the last frame.
MARGIN = Fraction(1, 4)
# The muxer writes nothing before every stream has a packet: sound that starts later gets a silent lead-in.
LATE = Fraction(1)

# What opening, reading, decoding or muxing a foreign stream raises; none of it may stop the frames.
AUDIO_ERRORS = (av.FFmpegError, OSError, ValueError, ArithmeticError)


class AudioTrack:
    """The first audio stream of a file, shifted so that `origin` (seconds, the first frame) is time zero.

    Packets are copied untouched where MP4 can hold the codec, else the audio becomes AAC (mono or stereo); sound that
    starts over a second after the first frame becomes AAC too. One packet is held ahead, however long the file is.
    After the first error the track logs one warning and falls silent.
    """

    def __init__(self, source: InputContainer, path: Path, origin: Fraction) -> None:
        self._source = source
        self._path = path
        self._origin = origin
        self._stream = source.streams.audio[0]
        self._rate = self._stream.codec_context.sample_rate
        demuxed = self._demuxed()
        self._first = next(demuxed, None)
        self._demux = chain([] if self._first is None else [self._first], demuxed)
        self._packets: Iterator[AudioPacket] = iter(())
        self._next: AudioPacket | None = None

    @classmethod
    def open(cls, path: Path, origin: Fraction) -> Self | None:
        """Returns the audio of `path`, or None where it has none or where it cannot be read (logged)."""
        source: InputContainer | None = None
        try:
            source = av.open(str(path.absolute()))
            if source.streams.audio:
                if source.streams.audio[0].codec_context.sample_rate <= 0:
                    raise ValueError("its sample rate is unknown")
                track = cls(source, path, origin)
                if track._first is not None:
                    return track
        except AUDIO_ERRORS as error:
            logger.warning("no audio is written: that of %s cannot be read (%s)", path.name, error)
        if source is not None:
            source.close()
        return None

    def attach(self, output: OutputContainer) -> None:
        """Adds the track's stream to an output whose header is not written yet; raises what PyAV raises."""
        assert self._first is not None
        self._output = output
        copyable = self._stream.codec_context.codec.canonical_name in MP4_CODECS
        if copyable and _time(self._first) - self._origin <= LATE:
            self._out = output.add_stream_from_template(self._stream)
            self._packets = self._copied()
        else:
            rate = self._rate if self._rate in AAC_RATES else 48000
            layout = "mono" if self._stream.codec_context.channels == 1 else "stereo"
            self._out = output.add_stream("aac", rate=rate, layout=layout)
            self._packets = self._transcoded()

    def copy_until(self, end: Fraction) -> None:
        """Writes the packets that start before `end` (seconds from the first frame) to the output."""
        try:
            while True:
                if self._next is None:
                    self._next = next(self._packets, None)
                if self._next is None or _time(self._next) >= end:
                    return
                packet, self._next = self._next, None
                packet.stream = self._out
                self._output.mux(packet)
        except AUDIO_ERRORS as error:
            logger.warning("the audio of %s ends early: %s", self._path.name, error)
            self.close()

    def close(self) -> None:
        """Lets go of the source; twice is fine."""
        self._next, self._packets = None, iter(())
        self._source.close()

    def _demuxed(self) -> Iterator[AudioPacket]:
        """Yields the source's packets that matter, from just before the first frame."""
        for packet in self._source.demux(self._stream):
            if packet.dts is None or packet.size == 0:
                continue
            length = (packet.duration or 0) * packet.time_base
            if _time(packet) + length > self._origin - MARGIN:
                yield packet

    def _copied(self) -> Iterator[AudioPacket]:
        """Yields the packets as they are, timed in samples from the first frame: MP4 counts audio so."""
        for packet in self._demux:
            start = round((_time(packet) - self._origin) * self._rate)
            duration = round((packet.duration or 0) * packet.time_base * self._rate)
            packet.time_base = Fraction(1, self._rate)
            packet.pts = packet.dts = start
            packet.duration = duration
            yield packet

    def _transcoded(self) -> Iterator[AudioPacket]:
        """Yields the sound encoded again, after a silent lead-in where it starts late."""
        begun = False
        for frame in self._decoded():
            if frame.pts is None or frame.time_base is None:
                continue
            start = frame.pts * frame.time_base - self._origin
            for silence in _silence_like(frame, start) if not begun and start > LATE else ():
                yield from self._out.encode(silence)
            begun = True
            frame.time_base = Fraction(1, frame.sample_rate)
            frame.pts = round(start * frame.sample_rate)
            yield from self._out.encode(frame)
        yield from self._out.encode(None)

    def _decoded(self) -> Iterator[av.AudioFrame]:
        for packet in self._demux:
            try:
                yield from packet.decode()
            except av.InvalidDataError:  # one bad packet is a gap of a few milliseconds
                continue
        yield from self._stream.decode(None)


def _time(packet: AudioPacket) -> Fraction:
    """Returns when the packet starts, in seconds on its own clock."""
    assert packet.dts is not None
    return packet.dts * packet.time_base


def _silence_like(frame: av.AudioFrame, length: Fraction) -> Iterator[av.AudioFrame]:
    """Yields silent frames from time zero to `length` seconds, a second each at most, in the format of `frame`."""
    planar, channels, rate = frame.format.is_planar, frame.layout.nb_channels, frame.sample_rate
    sample = frame.to_ndarray().dtype
    total = round(length * rate)
    for start in range(0, total, rate):
        samples = min(rate, total - start)
        shape = (channels, samples) if planar else (1, channels * samples)
        middle = 128 if sample == np.uint8 else 0  # unsigned samples rest at half scale
        silence = av.AudioFrame.from_ndarray(np.full(shape, middle, sample), frame.format.name, frame.layout.name)
        silence.sample_rate, silence.time_base, silence.pts = rate, Fraction(1, rate), start
        yield silence
