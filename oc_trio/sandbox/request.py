"""An HTTP request and its response as frozen values, independent of the server that received it."""

from typing import Any
from urllib.parse import parse_qsl

from attrs import field

from oc_trio.classes import frozen
from oc_trio.sandbox.compact import dump


@frozen
class SandboxRequest:
    """`path` is percent-decoded, `query` the raw query string, header names are lower case."""

    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    remote: str = ""

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    def args(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))


@frozen
class SandboxResponse:
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> "SandboxResponse":
        return cls(status, (("content-type", "application/json"), *headers), dump(value).encode("utf-8", "replace"))

    @classmethod
    def text(cls, text: str, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> "SandboxResponse":
        return cls(status, (("content-type", "text/plain"), *headers), text.encode())


OK = SandboxResponse.json({"status": "OK"})


def bearer_token(authorization: str) -> str:
    """The token of an Authorization header, after `Bearer` or `Token` in any case; "" without either."""
    kind, _, token = authorization.partition(" ")
    return token.strip() if kind.lower() in {"bearer", "token"} else ""
