"""`oc-trio doctor` on what surrounds the gateway: its clock, its unit of systemd, and the certificate of the server."""

import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import trio

from oc_trio.config.accounts import Account
from oc_trio.config.paths import expanded
from oc_trio.mattermost.transport import MattermostServer
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.operator.findings import Finding, Level
from oc_trio.runtime.policies import net_policy

# For one handshake with the server; an operator waits for it.
_SECONDS = 10.0
# Half of the minute that the gateway allows for (`second_gateway.SKEW_MS`): to be told of before it matters.
_MOST_DRIFT = 30.0  # seconds
# What renews certificates does so 30 days before they end, as a rule.
_FEW_DAYS = 14.0
UNIT = "oc-trio.service"
# After the drain: marks on interrupted drafts (10 s), callers in flight (3 s), and closing.
STOP_RESERVE_SECONDS = 15.0
# DefaultTimeoutStopSec, unless the machine's system.conf has another one.
_DEFAULT_STOP_SECONDS = 90.0
_UNIT_FOLDERS = (
    Path("/etc/systemd/system"),
    Path("/run/systemd/system"),
    Path("/usr/local/lib/systemd/system"),
    Path("/usr/lib/systemd/system"),
    Path("~/.config/systemd/user"),
)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "": 1.0}
# OpenSSL's codes for what is wrong with a chain.
_EXPIRED, _NOT_YET, _SELF_SIGNED, _NO_ISSUER, _OTHER_NAME = (10,), (9,), (18, 19), (2, 20, 21), (62, 64)


async def check_clock(server: MattermostServer, subject: str) -> Finding | None:
    """The finding about the difference of the two clocks, by the `Date` of an answer; None where there is none."""
    before = time.time()
    try:
        with trio.fail_after(_SECONDS):
            response = await server.http.handle_async_request(server.request("GET", "/system/ping", headers={}))
            await response.aclose()
    except (httpx.HTTPError, OSError, trio.TooSlowError):
        return None
    # The server wrote its time in between: the middle is wrong by half of the way there and back at most.
    return clock_finding(response.headers.get("date", ""), (before + time.time()) / 2, subject)


def clock_finding(date: str, now: float, subject: str) -> Finding | None:
    """`date` is the header, whole seconds; `now` is when the answer was made by this machine's clock."""
    try:
        # The header cuts the fraction off: on average it is half a second more.
        drift = now - (parsedate_to_datetime(date).timestamp() + 0.5)
    except (ValueError, TypeError, OverflowError):
        return None
    if abs(drift) < _MOST_DRIFT:
        return Finding(Level.OK, subject, "this machine's clock agrees with Mattermost's", "clock.ok")
    which = "ahead of" if drift > 0 else "behind"
    text = f"this machine's clock is {abs(drift):.0f} s {which} Mattermost's"
    return Finding(Level.WARNING, subject, text, "clock.off", "timedatectl set-ntp true, on the machine that is wrong")


async def check_certificate(account: Account, dependencies: Dependencies) -> Finding | None:
    """The finding about the server's certificate; None without TLS, and where there is no connection at all."""
    parts = urlsplit(account.base_url)
    context = dependencies.ssl_context
    if parts.scheme != "https" or context is None:
        return None
    subject, host = f"certificate of {account.id}", parts.hostname or ""
    try:
        with trio.fail_after(_SECONDS):
            stream = await dependencies.stream_opener(net_policy(account))(host, parts.port or 443, context)
            try:
                fields = stream.getpeercert() if isinstance(stream, trio.SSLStream) else None
            finally:
                # The handshake has shown all; a close in good order would wait for the server.
                await trio.aclose_forcefully(stream)
    except (OSError, trio.BrokenResourceError, trio.TooSlowError) as problem:
        refused = _verification_error(problem)
        if refused is None:
            return None
        text = f"{host}: certificate verify failed: {refused.verify_message}"
        return Finding(Level.FAILED, subject, text, "tls.failed", _certificate_fix(refused.verify_code, host))
    return certificate_finding(subject, host, str((fields or {}).get("notAfter", "")), time.time())


def certificate_finding(subject: str, host: str, not_after: str, now: float) -> Finding | None:
    """`not_after` as OpenSSL writes it."""
    try:
        days = (ssl.cert_time_to_seconds(not_after) - now) / 86_400
    except ValueError:
        return None
    text = f"{host} has a valid certificate, with {days:.0f} days left"
    if days < _FEW_DAYS:
        fix = "renew it: what renews it by itself does so a month before, as a rule, and has failed"
        return Finding(Level.WARNING, subject, text, "tls.soon", fix)
    return Finding(Level.OK, subject, text, "tls.ok")


def _verification_error(problem: BaseException) -> ssl.SSLCertVerificationError | None:
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _certificate_fix(code: int, host: str) -> str:
    if code in _EXPIRED:
        return f"renew the certificate of {host}"
    if code in _NOT_YET:
        return "it is not valid yet: is this machine's clock right?"
    if code in _OTHER_NAME:
        return f"the certificate is for other names: write one of them in baseUrl, or get one for {host}"
    if code in _SELF_SIGNED or code in _NO_ISSUER:
        return (
            "if it is of your own CA, add that to this machine's trust store (update-ca-certificates), or name it in "
            f"SSL_CERT_FILE; else let {host} send the whole chain (fullchain.pem)"
        )
    return f"`openssl s_client -connect {host}:443 -servername {host}` shows the chain"


async def check_unit(drain: float, folders: Sequence[Path] = _UNIT_FOLDERS) -> Finding | None:
    """The finding about the drain and the time that systemd gives a stop; None where no unit is found."""
    # systemd first: it knows of defaults and drop-ins that are in none of these folders.
    found = await _asked_of_systemd() or await trio.to_thread.run_sync(_read_unit, folders)
    if found is None:
        return None
    stop, where = found
    needed = drain + STOP_RESERVE_SECONDS
    if stop >= needed:
        return Finding(Level.OK, "unit", f"{where} gives a stop {stop:g} s, the drain takes {drain:g} s", "unit.ok")
    level = Level.FAILED if stop <= drain else Level.WARNING
    text = f"{where} gives a stop {stop:g} s, and a drain of {drain:g} s needs {needed:g} s"
    fix = f"TimeoutStopSec={needed:.0f} (`oc-trio systemd print` writes it), or gateway.drainSeconds below {stop:g}"
    return Finding(level, "unit", text, "unit.stop", fix)


async def _asked_of_systemd() -> tuple[float, str] | None:
    program = shutil.which("systemctl")
    if program is None:
        return None
    command = [program, "show", "--property=LoadState", "--property=TimeoutStopUSec", UNIT]
    with trio.move_on_after(_SECONDS):
        try:
            ended = await trio.run_process(
                command, capture_stdout=True, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=False
            )
        except OSError:
            return None
        fields: dict[str, str] = {}
        for line in ended.stdout.decode("utf-8", "replace").splitlines():
            name, _, value = line.partition("=")
            fields[name] = value
        seconds = duration(fields.get("TimeoutStopUSec", ""))
        if fields.get("LoadState") == "loaded" and seconds is not None:
            return seconds, UNIT
    return None


def _read_unit(folders: Sequence[Path]) -> tuple[float, str] | None:
    """From the unit's file and its drop-ins, where systemd is not to be asked."""
    for folder in folders:
        path = expanded(folder) / UNIT
        try:
            texts = [path.read_text()]
            texts += [each.read_text() for each in sorted(path.with_name(f"{UNIT}.d").glob("*.conf"))]
        except (OSError, UnicodeDecodeError):
            continue
        values = [value for text in texts for value in re.findall(r"^TimeoutStopSec=(.*)$", text, re.MULTILINE)]
        seconds = duration(values[-1]) if values else _DEFAULT_STOP_SECONDS
        return None if seconds is None else (seconds, str(path))
    return None


def duration(text: str) -> float | None:
    """Seconds of a time span as systemd writes it: `55s`, `1min 30s`, `90`; infinity for no end; None if unreadable."""
    stripped = text.strip()
    # systemd takes 0 for no end as well.
    if stripped in ("infinity", "0"):
        return float("inf")
    parts = re.findall(r"([0-9.]+)\s*([a-z]*)", stripped)
    if not parts or re.sub(r"[0-9.]+\s*[a-z]*", "", stripped).strip():
        return None
    try:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    except (KeyError, ValueError):
        return None
