"""`telemetry`: traces and metrics for a collector of OpenTelemetry, and when they are wanted."""

from collections.abc import Mapping
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

from oc_trio.classes import frozen
from oc_trio.config.fields import key, section, table_of
from oc_trio.config.findings import Findings
from oc_trio.config.secrets import Secret, SecretForm

_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
_EXPORTER = "opentelemetry.exporter.otlp.proto.http"


@frozen
class OtelSettings:
    """`telemetry.otel`."""

    enabled: bool | None = key(
        None, "`false` exports nothing, whatever is set; `true` also without an endpoint, to `http://localhost:4318`."
    )
    endpoint: str = key(
        "",
        "Address of a collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; `/v1/traces` and "
        "`/v1/metrics` are appended. Unset: `OTEL_EXPORTER_OTLP_ENDPOINT` and its like.",
    )
    headers: Mapping[str, Secret] = table_of(
        "HTTP headers for the collector, such as `authorization`; each value is text or `{ source = ... }`.",
        secret=SecretForm.HEADER,
    )
    service_name: str = key("", "Name of this gateway there. Unset: `OTEL_SERVICE_NAME`, else `oc-trio`.")
    sample_ratio: float | None = key(
        None, "Share of the turns that are traced. Unset: `OTEL_TRACES_SAMPLER`, else all.", minimum=0, maximum=1
    )


@frozen
class TelemetrySettings:
    """`telemetry`."""

    otel: OtelSettings = section(OtelSettings, "OpenTelemetry; needs the extra `otel`.")


def wants_otel(otel: OtelSettings, environ: Mapping[str, str]) -> bool:
    """Whether traces and metrics are to be exported."""
    if otel.enabled is False or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    return bool(otel.enabled or otel.endpoint or any(environ.get(name) for name in _ENDPOINTS))


def check_otel(otel: OtelSettings, environ: Mapping[str, str], findings: Findings) -> None:
    """The findings of `telemetry.otel` with these environment variables."""
    path = "telemetry.otel"
    if not wants_otel(otel, environ):
        return
    if otel.endpoint and (mistake := _url_mistake(otel.endpoint)):
        findings.error(f"{path}.endpoint", mistake, 'such as "http://127.0.0.1:4318"')
    protocol = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip()
    # gRPC would need another library, with threads of its own.
    if protocol not in ("", "http/protobuf"):
        findings.warning(path, f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol} is not spoken here; OTLP is sent over HTTP")
    if not is_installed():
        variable = next((name for name in _ENDPOINTS if environ.get(name)), "")
        why = "" if otel.enabled or otel.endpoint else f" ({variable} switches it on)"
        hint = "pip install 'oc-trio[otel]', or set telemetry.otel.enabled = false"
        findings.error(path, f"OpenTelemetry is not installed{why}", hint)


def otel_secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The values of headers in the OTEL_* variables, for the log to mask."""
    lists = [value for name, value in environ.items() if name.startswith("OTEL_EXPORTER_OTLP_") and "HEADERS" in name]
    pairs = [(pair.partition("=")[2] or pair).strip() for headers in lists for pair in headers.split(",")]
    # The variables are percent-encoded; a log may quote either form.
    return tuple(form for value in pairs if value for form in (value, unquote(value)))


def is_installed() -> bool:
    """Whether the packages of the extra are there. They are not imported, but for the empty ones around them."""
    try:
        return find_spec(_EXPORTER) is not None
    except ModuleNotFoundError:
        return False


def _url_mistake(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # raises where it is no number
    except ValueError:
        return "is not a valid address"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "must begin with http:// or https:// and name a host"
    # These would end up in logs.
    if parts.username is not None or parts.password is not None:
        return "must not hold a user name or password: they belong in headers"
    return "must not hold ? or #" if parts.query or parts.fragment else ""
