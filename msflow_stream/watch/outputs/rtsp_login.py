"""The address of an RTSP server and the login there, by Basic or Digest."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import parse_http_list, parse_keqv_list

from msflow_stream.logs import redact
from msflow_stream.types import UserError

PORTS = {"rtsp": 554, "rtsps": 322}
DIGESTS = {"MD5": "md5", "SHA-256": "sha256"}


@dataclass(frozen=True, slots=True)
class Address:
    """An address, from a URL.

    Attributes:
        url: as requests name it, without user and password.
        tls: whether the connection is encrypted.
    """

    url: str = field(repr=False)  # a query may hold a token
    host: str
    port: int
    tls: bool
    user: str | None = field(repr=False)
    password: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Address:
        """Returns the address in a URL.

        Raises:
            UserError: not an RTSP address; what is secret in it is not said.
        """
        parts = None
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
        except ValueError:
            scheme, host, port = "", None, None
        if parts is None or scheme not in PORTS or not host or any(ord(c) <= 32 or ord(c) > 126 for c in url):
            shown = redact(url)
            raise UserError(f"cannot push to {shown!r}: give a URL like rtsp://user:password@host:8554/name")
        place = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        user = None if parts.username is None else unquote(parts.username)
        return cls(place, host, port or PORTS[scheme], scheme == "rtsps", user, unquote(parts.password or ""))


def authorization(challenges: Sequence[str], method: str, uri: str, user: str, password: str) -> str | None:
    """Returns the Authorization header that answers WWW-Authenticate headers (RFC 7616, 7617), None if none can be.

    Digest goes before Basic, which shows the password.
    """
    basic = None
    for challenge in challenges:
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "digest":
            answer = _digest(parse_keqv_list(parse_http_list(rest)), method, uri, user, password)
            if answer is not None:
                return answer
        elif scheme.lower() == "basic":
            basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return basic


def _digest(given: dict[str, str], method: str, uri: str, user: str, password: str) -> str | None:
    name = DIGESTS.get(given.get("algorithm", "MD5").upper())
    if name is None or "nonce" not in given:
        return None

    def hashed(*parts: str) -> str:
        return hashlib.new(name, ":".join(parts).encode()).hexdigest()

    realm, nonce = given.get("realm", ""), given["nonce"]
    first, second = hashed(user, realm, password), hashed(method, uri)
    answer = {"username": user, "realm": realm, "nonce": nonce, "uri": uri}
    quality = ""
    if "auth" in given.get("qop", "").replace(" ", "").split(","):
        answer["cnonce"] = secrets.token_hex(8)
        answer["response"] = hashed(first, nonce, "00000001", answer["cnonce"], "auth", second)
        quality = ", qop=auth, nc=00000001"
    else:
        answer["response"] = hashed(first, nonce, second)
    answer |= {key: given[key] for key in ("opaque",) if key in given}
    algorithm = f", algorithm={given['algorithm']}" if "algorithm" in given else ""
    return "Digest " + ", ".join(f'{key}="{value}"' for key, value in answer.items()) + algorithm + quality
