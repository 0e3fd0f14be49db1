"""An address that a person types is tried: what is wrong is told apart, and nothing of this machine is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from msflow_stream.watch.trial import Obstacle, Shown, checked, try_camera
from tests.support.httpd import Pages
from tests.support.rtsp import RtspCamera, need_server, write_units
from tests.support.videos import read_code, write_video


@pytest.mark.parametrize(
    "address",
    [
        "",
        "gate",
        "0",
        "/etc/passwd",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "concat:rtsp://a/b",
        "subfile,,start,0,end,9,,:///etc/passwd",
        "udp://0.0.0.0:9",
        "tcp://0.0.0.0:9?listen=1",
        "unix:///run/a",
        "rtsp://",
        "rtsp://a b/c",
        "rtsp://a/\nb",
        'rtsp://a/"b',
        "rtsp://host:99999/",
        "rtsp://" + "a" * 3000,
    ],
)
def test_what_is_no_camera_in_the_network_is_not_opened(address: str) -> None:
    found = checked(address, "", "")
    assert isinstance(found, Obstacle)
    assert (found.kind, found.field) == ("address", "address")


def test_user_and_password_have_fields_of_their_own_and_are_written_so_that_they_are_read_again() -> None:
    assert checked(" RTSP://192.0.2.1:554/a?b=1 ", "", "") == "rtsp://192.0.2.1:554/a?b=1"
    assert checked("rtsp://192.0.2.1/a", "a@n", "p:/$ {}") == "rtsp://a%40n:p%3A%2F%24%20%7B%7D@192.0.2.1/a"
    assert checked("rtsp://192.0.2.1/${HOME}", "", "") == "rtsp://192.0.2.1/%24{HOME}"
    for given in (("rtsp://ann:x@192.0.2.1/a", "", ""), ("rtsp://192.0.2.1/a", "", "secret")):
        found = checked(*given)
        assert isinstance(found, Obstacle)
        assert "secret" not in repr(found)


def test_user_path_port_and_host_of_an_rtsp_camera_are_told_apart(tmp_path: Path) -> None:
    need_server()
    units = write_units(write_video(tmp_path / "a.mp4", 50), tmp_path / "a.units")
    with RtspCamera(units, login=("admin", "right")) as camera:
        port = camera.port

        def tried(host: str, path: str = "live", user: str = "admin", password: str = "right") -> Shown | Obstacle:
            url = checked(f"rtsp://{host}/{path}", user, password)
            assert isinstance(url, str)
            return try_camera(url)

        found = tried(f"127.0.0.1:{port}")
        assert isinstance(found, Shown)
        assert (found.codec, found.image.shape) == ("h264", (48, 64, 3))
        assert read_code(found.image) is not None, "the first frame is a whole one"
        cases = {
            "credentials": tried(f"127.0.0.1:{port}", password="wrong-one"),
            "not_found": tried(f"127.0.0.1:{port}", "other"),
            "host": tried("no-such-host.invalid"),
        }
        asked = tried(f"127.0.0.1:{port}", user="", password="")
    cases["refused"] = tried(f"127.0.0.1:{port}")
    assert {kind: getattr(one, "kind", None) for kind, one in cases.items()} == {kind: kind for kind in cases}
    assert isinstance(asked, Obstacle)
    assert "asks for a user" in asked.text
    assert not [one for one in cases.values() if "wrong-one" in repr(one) or str(port) in repr(one)]
    fields = [one.field for one in cases.values() if isinstance(one, Obstacle)]
    assert fields == ["user", "address", "address", "address"]


def test_a_web_page_is_no_video_and_a_coding_that_nobody_reads_is_said(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>no camera</html>")
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{tmp_path}/a.mp4\n")
    write_video(tmp_path / "a.mp4", 10)
    with Pages(tmp_path) as pages:
        page, playlist = (try_camera(pages.url(name)) for name in ("page.html", "list.m3u8"))
    assert isinstance(page, Obstacle)
    assert page.kind == "garbled"
    assert isinstance(playlist, Obstacle), "a list from elsewhere opens no file of this machine"
