"""A server that takes what is pushed to it over RTSP. For the system's python3, which has GStreamer.

    rtsp_sink_server.py PORT FOLDER [METHOD USER PASSWORD]

Prints the port once it listens (0 asks for a free one). What each session pushes to /live is written to FOLDER as raw
H.264, session-0.h264 and so on, each access unit at once. METHOD is basic or digest. Ends with its stdin.
"""

from __future__ import annotations

import sys
import threading
from itertools import count
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

LAUNCH = (
    "( rtph264depay name=depay0 ! h264parse ! video/x-h264,stream-format=byte-stream,alignment=au "
    "! appsink name=sink emit-signals=true sync=false )"
)


def serve(port: str, folder: str, login: list[str]) -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH)
    factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
    if login:
        demand(server, factory, *login)
    # A server that was killed and started again goes on counting.
    numbers = count(len(list(Path(folder).glob("session-*.h264"))))

    def configure(_: object, media: object) -> None:
        file = (Path(folder) / f"session-{next(numbers)}.h264").open("wb", buffering=0)

        def keep(sink: object) -> object:
            buffer = sink.emit("pull-sample").get_buffer()  # type: ignore[attr-defined]
            file.write(buffer.extract_dup(0, buffer.get_size()))
            return Gst.FlowReturn.OK

        media.get_element().get_by_name("sink").connect("new-sample", keep)  # type: ignore[attr-defined]

    factory.connect("media-configure", configure)
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        sys.exit(f"cannot listen on port {port}")
    loop = GLib.MainLoop()

    def watch() -> None:
        sys.stdin.read()
        loop.quit()  # the test has gone

    threading.Thread(target=watch, daemon=True).start()
    print(server.get_bound_port(), flush=True)  # noqa: T201
    loop.run()


def demand(server: object, factory: object, method: str, user: str, password: str) -> None:
    """Lets only this user in."""
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    if method == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)  # type: ignore[attr-defined]
    permissions = GstRtspServer.RTSPPermissions()
    for right in ("access", "construct"):
        permissions.add_permission_for_role("user", f"media.factory.{right}", True)
    factory.set_permissions(permissions)  # type: ignore[attr-defined]


if __name__ == "__main__":
    serve(*sys.argv[1:3], sys.argv[3:])
