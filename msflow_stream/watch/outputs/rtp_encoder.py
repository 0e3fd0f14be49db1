"""The encoder of an RTSP session: frames in, H.264 as RTP packets out, with its description."""

from __future__ import annotations

import base64
from fractions import Fraction

import av
from av.codec.context import Flags
from av.video.frame import PictureType, VideoFrame

from msflow_stream.video.writing.encoder_frames import EncoderFrames
from msflow_stream.video.writing.encoders import threads_for

CLOCK = 90_000  # ticks a second: H.264's in RTP (RFC 6184)
PAYLOAD = 96
KEYFRAME_SECONDS = 2  # the longest that a viewer who comes later waits for a frame
PACKET_BYTES = 1400  # fits into a packet of the network wherever the server passes it on
QUANTISER = 23  # a constant one; see `encoders`
OPTIONS = {
    "preset": "ultrafast",
    "tune": "zerolatency",
    "qp": str(QUANTISER),
    "forced-idr": "1",
    "x264-params": "repeat-headers=1",
}


class RtpEncoder:
    """An encoder for planar frames (see `planar_copy`), each at once. To be closed."""

    def __init__(self, first: VideoFrame, rate: Fraction) -> None:
        """Opens the encoder.

        Args:
            first: a frame of the size and the colours that all are sent with.
            rate: about how many frames a second come.
        """
        self._packets = _PacketList()
        self._converter = EncoderFrames(first.width, first.height)
        self._step = max(1, round(CLOCK / rate))
        self._origin: float | None = None  # the time of tick 0, in seconds
        self._last = self._next_keyframe = 0
        self._output = av.open(self._packets, "w", format="rtp", container_options={"packetsize": str(PACKET_BYTES)})
        self._stream = self._output.add_stream("libx264", rate=rate, options=OPTIONS)
        codec = self._stream.codec_context
        self._converter.describe(codec, self._converter.convert(first))
        self._stream.time_base = codec.time_base = Fraction(1, CLOCK)
        codec.thread_count = threads_for(live=True)
        codec.gop_size = 1_000_000  # keyframes are asked for by time
        codec.flags |= Flags.global_header  # so that the parameter sets are known before the first frame
        self._output.start_encoding()

    def describe(self) -> str:
        """Returns the stream in the words of SDP (RFC 8866)."""
        units = parameter_sets(self._stream.codec_context.extradata or b"")
        sets = ",".join(base64.b64encode(unit).decode() for unit in units)
        lines = [
            "v=0",
            "o=- 0 0 IN IP4 0.0.0.0",
            "s=msflow-stream",
            "c=IN IP4 0.0.0.0",
            "t=0 0",
            f"m=video 0 RTP/AVP {PAYLOAD}",
            f"a=rtpmap:{PAYLOAD} H264/{CLOCK}",
            f"a=fmtp:{PAYLOAD} packetization-mode=1;sprop-parameter-sets={sets}",
            "a=control:streamid=0",
        ]
        return "".join(f"{line}\r\n" for line in lines)

    def encode(self, frame: VideoFrame, time: float) -> list[bytes]:
        """Returns the packets, RTP and RTCP, of a frame shown from `time` seconds on; only its time is changed."""
        frame = self._converter.convert(frame)
        frame.time_base, frame.pts = Fraction(1, CLOCK), self._tick(time)
        if frame.pts >= self._next_keyframe:
            frame.pict_type = PictureType.I
            self._next_keyframe = frame.pts + KEYFRAME_SECONDS * CLOCK
        for packet in self._stream.encode(frame):
            self._output.mux(packet)
        return self._packets.emptied()

    def close(self) -> None:
        """Lets go of the encoder; twice is fine."""
        self._output.close()

    def _tick(self, time: float) -> int:
        """Returns the time in ticks, which always go on; where it steps back, as the next frame's."""
        if self._origin is None:
            self._origin = time
            return 0
        tick = round((time - self._origin) * CLOCK)
        if tick <= self._last:
            tick = self._last + self._step
            self._origin = time - tick / CLOCK
        self._last = tick
        return tick


class _PacketList:
    """A file for FFmpeg's muxer, which is written packet by packet."""

    def __init__(self) -> None:
        self._packets: list[bytes] = []

    def write(self, packet: bytes) -> int:
        self._packets.append(bytes(packet))
        return len(packet)

    def emptied(self) -> list[bytes]:
        packets, self._packets = self._packets, []
        return packets


def parameter_sets(extradata: bytes) -> list[bytes]:
    """Returns the SPS and PPS among the units of an encoder's Annex B header."""
    units = (unit.rstrip(b"\0") for unit in extradata.split(b"\0\0\1"))
    return [unit for unit in units if unit and unit[0] & 31 in (7, 8)]
