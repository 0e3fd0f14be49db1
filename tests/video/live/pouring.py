"""Coded packets for tests: a file poured into a ring as a camera's reader does it, with times of our choice."""

from __future__ import annotations

from pathlib import Path

import av

from msflow_stream.video.packets.packet_ring import PacketObserver


def pour(ring: PacketObserver, path: Path, *, start: float = 0.0, most: int | None = None) -> list[float]:
    """Shows an observer a file as one connection, up to so many packets; returns the times of the pictures shown."""
    times: list[float] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base = stream.time_base
        assert base is not None
        ring.begin(stream, base)
        for number, packet in enumerate(container.demux(stream)):
            if number == most:
                break
            if packet.size:
                ring.packet(packet)
            for frame in stream.decode(packet):
                stamp = frame.pts if frame.pts is not None else len(times)
                times.append(start + float(stamp * base))
                ring.frame(frame, times[-1])
    return times
