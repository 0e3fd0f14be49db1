"""Addresses and credentials, against the examples of the standards."""

from __future__ import annotations

import pytest

from msflow_stream.types import UserError
from msflow_stream.watch.outputs import rtsp_login
from msflow_stream.watch.outputs.rtsp_login import Address, authorization

RFC_2069 = (
    'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
    'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)
RFC_7616 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
RFC_7616_CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
RFC_7616_ANSWERS = {
    "MD5": "8ca523f5e9506fed4657c9700eebdbec",
    "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
}


def test_digest_as_in_rfc_2069_which_rtsp_servers_still_speak() -> None:
    answer = authorization([RFC_2069], "GET", "/dir/index.html", "Mufasa", "CircleOfLife")
    assert answer is not None
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in answer
    assert 'opaque="5ccc069c403ebaf9f0171e9517f40e41"' in answer


@pytest.mark.parametrize("algorithm", RFC_7616_ANSWERS)
def test_digest_as_in_rfc_7616(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp_login.secrets, "token_hex", lambda _: RFC_7616_CNONCE)
    challenge = RFC_7616.format(algorithm)
    answer = authorization([challenge], "GET", "/dir/index.html", "Mufasa", "Circle of Life")
    assert answer is not None
    assert f'response="{RFC_7616_ANSWERS[algorithm]}"' in answer
    assert f"algorithm={algorithm}, qop=auth, nc=00000001" in answer


def test_basic_as_in_rfc_7617_but_digest_is_preferred() -> None:
    basic = 'Basic realm="WallyWorld"'
    assert authorization([basic], "GET", "/", "Aladdin", "open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert (authorization([basic, RFC_2069], "GET", "/", "Aladdin", "x") or "").startswith("Digest")
    assert authorization(["Negotiate"], "GET", "/", "Aladdin", "x") is None


def test_an_address_is_taken_apart_and_shows_no_secret() -> None:
    address = Address.parse("rtsp://me:p%40ss%2Fword@[::1]:8554/live?token=abc")
    assert (address.host, address.port, address.tls) == ("::1", 8554, False)
    assert (address.user, address.password) == ("me", "p@ss/word")
    assert address.url == "rtsp://[::1]:8554/live?token=abc"
    assert not {"p@ss", "p%40ss", "abc"} & set(repr(address))
    assert "ss" not in repr(address).replace("Address", "")
    assert (Address.parse("rtsps://host/x").port, Address.parse("rtsp://host/x").port) == (322, 554)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host/live",
        "http://me:hunter2@host/live",
        "rtsp:///live",
        "rtsp://me:hunter2/x@host/live",
        "rtsp://a:b@h\r\nX/",
    ],
)
def test_what_is_no_address_is_told_without_its_secret(url: str) -> None:
    with pytest.raises(UserError, match="cannot push to") as caught:
        Address.parse(url)
    assert "hunter2" not in str(caught.value)
