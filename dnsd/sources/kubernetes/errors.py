"""The errors of an API server, by the party at fault.

In `sources/kubernetes/` (control plane: the API server as a source). Change here: how a refusal of
the API server is decoded.

* `BadCredentials`: the configuration is wrong. A retry does not help.
* `ApiError`: the server answered, and refused.
* `Unreachable`: the server did not answer. `Silent`: it stopped sending.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

MAX_RETRY_AFTER = 300.0  # seconds; a server that requests a longer pause is wrong
# What msgspec raises for bytes that are not JSON; the second for text that is not UTF-8.
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError)


class KubeError(Exception):
    """An error of an API server. The message is a sentence for the operator."""


class BadCredentials(KubeError):
    """The kubeconfig or the service account cannot be used. The message names the file."""


class Unreachable(KubeError):
    """No answer, or an incomplete one. A retry may help."""


class Silent(Unreachable):
    """The connection is open, but the server sends nothing."""


class ApiError(KubeError):
    """A refusal: `status` as in HTTP, and `retry_after` in seconds or 0.

    `in_stream`: it was an ERROR event of a watch with the HTTP status 200.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        reason: str = "",
        retry_after: float = 0.0,
        in_stream: bool = False,
    ) -> None:
        self.status, self.reason = status, reason
        self.retry_after = min(max(retry_after, 0.0), MAX_RETRY_AFTER)
        self.in_stream = in_stream
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")

    @property
    def expired(self) -> bool:
        """Whether the resourceVersion or the continue token is too old for the server."""
        return self.status == 410


class _Details(Struct, rename="camel"):
    retry_after_seconds: float | None = None


class _Status(Struct):
    message: str | None = None
    reason: str | None = None
    code: int | None = None
    details: _Details | None = None


def api_error(body: bytes | msgspec.Raw, *, http: int = 0, retry_after: float = 0.0) -> ApiError:
    """The error that a Status object (meta/v1), or any other body, stands for.

    `http`: the HTTP status; 0 if the Status was an event of a stream.
    """
    try:
        status = msgspec.json.decode(body, type=_Status)
    except NOT_JSON:
        status = _Status(message=bytes(body)[:200].decode("utf-8", "replace").strip())
    hint = status.details.retry_after_seconds if status.details else None
    return ApiError(
        http or status.code or 500,
        status.message or "without a message",
        reason=status.reason or "",
        retry_after=retry_after or hint or 0.0,
        in_stream=not http,
    )
