"""A camera: serves coded pictures over RTSP, in real time and for ever. For the system's python3, which has GStreamer.

    rtsp_server.py PORT ENCODING LOSS [USER PASSWORD]

Prints the port once it listens (0 asks for a free one). Each line on stdin names a file of access units, made by
`rtsp.write_units`, and perhaps, behind a tab, the frames per second, and plays it in a loop from now on; the first one
has to come before the first client. Every client gets the same stream, as from a real camera. ENCODING is H264, H265 or
JPEG, with +sound for a camera that hears too; LOSS is the share of RTP packets lost on the way.
"""

from __future__ import annotations

import struct
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

RATE = 25
LAUNCH = (
    "( appsrc name=source is-live=true format=time max-buffers=2 caps={caps},framerate=25/1 "
    "! {codec}parse ! rtp{codec}pay {pay} ! identity name=pay0 drop-probability={loss} {sound})"
)
CODED = {"caps": "video/x-{codec},stream-format=byte-stream,alignment=au", "pay": "pt=96 config-interval=-1"}
STILLS = {"caps": "image/jpeg", "pay": "pt=26"}
SOUND = "audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay1 pt=8 "


class Playlist:
    """The access units of what plays now.

    A server has a stream for each port that its clients name, which proxies make many: each of them has all units.
    """

    def __init__(self) -> None:
        self._units: list[bytes] = []
        self._next: dict[object, tuple[list[bytes], int]] = {}  # for each stream: what it plays, and what comes next
        self._latest = 0  # what a new stream goes on from, as a camera would
        self.rate = RATE
        self.ready = threading.Event()

    def play(self, path: str, rate: int) -> None:
        with open(path, "rb") as file:  # noqa: PTH123
            content = file.read()
        units, place = [], 0
        while place < len(content):
            (size,) = struct.unpack_from(">I", content, place)
            units.append(content[place + 4 : place + 4 + size])
            place += 4 + size
        self._units, self._latest, self.rate = units, 0, rate
        self.ready.set()

    def unit(self, stream: object) -> bytes:
        units, number = self._next.get(stream, (self._units, self._latest))
        if units is not self._units:
            units, number = self._units, 0
        self._next[stream] = units, number + 1
        self._latest = max(self._latest, number + 1)
        return units[number % len(units)]


def serve(port: str, encoding: str, loss: str, login: list[str]) -> None:
    Gst.init(None)
    playlist = Playlist()
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(launch(encoding, loss))
    factory.set_shared(True)
    if login:
        demand(server, factory, *login)

    def configure(_: object, media: object) -> None:
        now = 0

        def push(source: object, _: int) -> None:
            nonlocal now
            buffer = Gst.Buffer.new_wrapped(playlist.unit(media))
            buffer.pts = buffer.dts = now
            buffer.duration = Gst.SECOND // playlist.rate
            now += buffer.duration
            source.emit("push-buffer", buffer)  # type: ignore[attr-defined]

        media.get_element().get_by_name("source").connect("need-data", push)  # type: ignore[attr-defined]

    factory.connect("media-configure", configure)
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        sys.exit(f"cannot listen on port {port}")
    loop = GLib.MainLoop()

    def obey() -> None:
        for line in sys.stdin:
            path, _, rate = line.rstrip("\n").partition("\t")
            playlist.play(path, int(rate or RATE))
        loop.quit()  # the test has gone

    threading.Thread(target=obey, daemon=True).start()
    playlist.ready.wait()
    print(server.get_bound_port(), flush=True)  # noqa: T201
    loop.run()


def launch(encoding: str, loss: str) -> str:
    """Returns what makes the stream of an encoding."""
    codec, _, sound = encoding.lower().partition("+")
    kind = {name: text.format(codec=codec) for name, text in (STILLS if codec == "jpeg" else CODED).items()}
    return LAUNCH.format(codec=codec, loss=loss, sound=SOUND if sound else "", **kind)


def demand(server: object, factory: object, user: str, password: str) -> None:
    """Lets only this user in."""
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)  # type: ignore[attr-defined]
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    factory.set_permissions(permissions)  # type: ignore[attr-defined]


if __name__ == "__main__":
    serve(*sys.argv[1:4], sys.argv[4:])
