"""Messages as JSON to a web server."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable
from time import time

import httpx

from msflow_stream.config.alerts import WebhookSettings
from msflow_stream.events.alerts.sinks.base import AlertMessage, AlertSink, GiveUp, Retry, SinkContext, tls_context

TIMESTAMP, SIGNATURE = "X-Timestamp", "X-Signature-256"
MOVED = (301, 308)
TRANSIENT = (408, 425, 429)  # a client that is told one of these may try again


class Webhook(AlertSink):
    """A web server that gets each message by POST; any answer 2xx says that it has arrived.

    With a secret there is `X-Timestamp`, in seconds since 1970, and `X-Signature-256`: `sha256=` and the HMAC-SHA256,
    in hexadecimal, of the timestamp, a dot and the body. A receiver that refuses old timestamps cannot be replayed to.
    """

    _settings: WebhookSettings

    def __init__(self, settings: WebhookSettings, context: SinkContext, clock: Callable[[], float] = time) -> None:
        """Opens no connection yet: each message has one of its own.

        Raises:
            UserError: the certificates cannot be read.
        """
        super().__init__(settings, context)
        self._clock = clock
        logging.getLogger("httpx").setLevel(logging.WARNING)  # else it logs the address, which can be a secret
        self._client = httpx.Client(
            timeout=settings.timeout,
            follow_redirects=False,
            trust_env=False,
            verify=tls_context(settings.ca),
            limits=httpx.Limits(max_keepalive_connections=0),  # minutes pass between messages
        )

    def write(self, message: AlertMessage) -> None:
        """Posts the message's JSON."""
        body = message.text.encode()
        headers = {"Content-Type": "application/json"}
        if self._settings.secret is not None:
            stamp = str(int(self._clock()))
            headers |= {TIMESTAMP: stamp, SIGNATURE: _signature(self._settings.secret.get_secret_value(), stamp, body)}
        url = self._settings.url.get_secret_value()
        try:
            with self._client.stream("POST", url, content=body, headers=headers) as response:
                _judge(response.status_code)
        except httpx.HTTPError as error:
            raise Retry(f"{type(error).__name__}: {error}") from None

    def close(self) -> None:
        """Closes the client."""
        self._client.close()


def _signature(secret: str, stamp: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


def _judge(status: int) -> None:
    if 200 <= status < 300:
        return
    if status in MOVED:
        raise GiveUp(f"the server answers {status}: it has moved; give its new address")
    if 400 <= status < 500 and status not in TRANSIENT:
        raise GiveUp(f"the server answers {status}")
    raise Retry(f"the server answers {status}")
