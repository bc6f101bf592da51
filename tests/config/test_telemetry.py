"""`telemetry.otel`: when traces are wanted, and what is said where they can't be had."""

import sys

import pytest

from oc_trio.config.telemetry import OtelSettings, otel_secrets, wants_otel
from oc_trio.errors import ConfigError
from tests.config.conftest import ENV, LoadText

MODEL = "[agents.defaults]\nmodel = 'm/x'\n[models.providers.m]\nbaseUrl = 'http://m.test/v1'\n"
ON = MODEL + "[telemetry.otel]\nendpoint = 'http://127.0.0.1:4318'\n"
VARIABLE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("settings", "environ", "expected"),
    [
        (OtelSettings(), {}, False),
        (OtelSettings(endpoint="http://c.test"), {}, True),
        (OtelSettings(enabled=True), {}, True),
        (OtelSettings(), VARIABLE, True),
        (OtelSettings(), {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c.test/v1/metrics"}, True),
        (OtelSettings(enabled=False), VARIABLE, False),
        (OtelSettings(endpoint="http://c.test"), {"OTEL_SDK_DISABLED": "True"}, False),
    ],
)
def test_when_it_is_on(settings: OtelSettings, environ: dict[str, str], expected: bool) -> None:
    """An address switches it on, whichever way it comes; two ways switch it off."""
    assert wants_otel(settings, environ) is expected


@pytest.mark.parametrize(
    ("text", "env", "words"),
    [
        (ON, {}, "telemetry.otel: OpenTelemetry is not installed"),
        (MODEL, VARIABLE, "OpenTelemetry is not installed (OTEL_EXPORTER_OTLP_ENDPOINT switches it on)"),
    ],
)
def test_without_the_extra(
    load_text: LoadText, monkeypatch: pytest.MonkeyPatch, text: str, env: dict[str, str], words: str
) -> None:
    """An error of the configuration that says what to install, or how to do without."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    with pytest.raises(ConfigError) as refused:
        load_text(text, env={**ENV, **env})
    assert words in str(refused.value)
    assert "pip install 'oc-trio[otel]'" in str(refused.value)
    off = text + ("" if text == ON else "[telemetry.otel]\n") + "enabled = false\n"
    assert load_text(off, env={**ENV, **env}).config.telemetry.otel.enabled is False


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("collector:4318", "must begin with http:// or https://"),
        ("http://me:secret@collector:4318", "must not hold a user name or password: they belong in headers"),
        ("http://collector:4318/?token=x", "must not hold ? or #"),
        ("http://collector:port", "is not a valid address"),
    ],
)
def test_addresses_that_can_not_be(load_text: LoadText, url: str, words: str) -> None:
    """Named with the key."""
    with pytest.raises(ConfigError) as refused:
        load_text(MODEL + f"[telemetry.otel]\nendpoint = '{url}'\n")
    assert f"telemetry.otel.endpoint {words}" in str(refused.value).replace(": must", " must").replace(": is", " is")


def test_a_protocol_that_is_not_spoken(load_text: LoadText) -> None:
    """A warning: the collector may not listen there."""
    loaded = load_text(ON, env={**ENV, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in str(loaded.warnings)


def test_headers_of_the_environment_are_secrets() -> None:
    """As they stand there, and as they are sent."""
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20abc123,x-team=blue", "OTHER_HEADERS": "a=b"}
    assert set(otel_secrets(environ)) == {"Basic%20abc123", "Basic abc123", "blue"}
