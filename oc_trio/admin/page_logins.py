"""Who may see and do everything on the status page: the token of this process, and who has logged in with it.

A token is made at the start of the gateway and never leaves the machine's own user but by `oc-trio status --page`. A
browser that was given it gets a cookie; the cookie alone changes nothing, since a value of the page goes with every
action (against forged requests).
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable

from attrs import field

from oc_trio.classes import define

# A working day.
LOGIN_SECONDS = 12 * 3600
# Each browser that has logged in; whoever has the token could otherwise fill the memory.
MAX_LOGINS = 32


@define(eq=False)
class Login:
    """A browser that has logged in. `notice` is what its last action came to, until a page has shown it."""

    csrf: str = field(repr=False)
    until_ms: int
    notice: str = ""
    tone: str = ""

    def is_csrf(self, text: str) -> bool:
        return hmac.compare_digest(text.encode("utf-8", "replace"), self.csrf.encode())


@define(eq=False)
class PageLogins:
    """At most `MAX_LOGINS`; the oldest gives way."""

    now_ms: Callable[[], int]
    token: str = field(repr=False, factory=lambda: secrets.token_urlsafe(32))
    _logins: OrderedDict[str, Login] = field(init=False, factory=OrderedDict, repr=False)

    @property
    def cookie_name(self) -> str:
        """Its own for each gateway: browsers send the cookies of one port of a machine to all others."""
        return f"oc_trio_{hashlib.sha256(self.token.encode()).hexdigest()[:8]}"

    def is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode("utf-8", "replace"), self.token.encode())

    def log_in(self, token: str) -> str:
        """The value of a new cookie; empty where the token is wrong."""
        if not self.is_token(token):
            return ""
        cookie = secrets.token_urlsafe(32)
        self._logins[cookie] = Login(secrets.token_urlsafe(32), self.now_ms() + LOGIN_SECONDS * 1000)
        while len(self._logins) > MAX_LOGINS:
            self._logins.popitem(last=False)
        return cookie

    def find(self, cookie: str) -> Login | None:
        """The login of a cookie that has not expired."""
        login = self._logins.get(cookie)
        if login is not None and login.until_ms <= self.now_ms():
            del self._logins[cookie]
            return None
        return login

    def log_out(self, cookie: str) -> None:
        self._logins.pop(cookie, None)
