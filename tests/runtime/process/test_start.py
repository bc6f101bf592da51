"""From a configuration to a gateway: secrets known to the logs, a state directory, TLS only where it is spoken."""

import json
import logging
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import structlog

from oc_trio.config.document import Document
from oc_trio.config.known_secrets import secrets_of
from oc_trio.config.load import Loaded, build
from oc_trio.errors import ConfigError, StoreError
from oc_trio.runtime.process.locations import JOURNAL, journal_location
from oc_trio.runtime.process.start import prepare
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.otel import OtelTracer
from oc_trio.telemetry.tracing import NO_TRACER


@pytest.fixture(autouse=True)
def restored() -> Generator[None, None, None]:
    """Each test leaves the process's logging as it found it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def loaded(tmp_path: Path, *, url: str = "http://mm.test", **tables: Any) -> Loaded:
    """A configuration with one account, as `build` makes it."""
    values: dict[str, Any] = {
        "channels": {"mattermost": {"baseUrl": url, "botToken": "bot-token-value"}},
        "agents": {"defaults": {"model": {"primary": "m/one"}}},
        "models": {
            "providers": {
                "m": {
                    "api": "openai-completions",
                    "baseUrl": "http://models.test/v1",
                    "apiKey": "api-key-value",
                    "headers": {"X-Gate": "header-value"},
                    "models": ["one"],
                }
            }
        },
        **tables,
    }
    return build(Document(values), {"STATE_DIRECTORY": str(tmp_path / "state")})


def test_every_secret_of_the_configuration_is_known(tmp_path: Path) -> None:
    """Tokens, keys, headers, and the journal's password by itself, decoded too."""
    config = loaded(
        tmp_path,
        store={"url": "postgresql://oc:p%40ssword@db.test/journal"},
        hooks={"enabled": True, "token": "hook-token-value"},
    )
    found = set(secrets_of(config))
    assert {"bot-token-value", "api-key-value", "header-value", "hook-token-value"} <= found
    assert {"postgresql://oc:p%40ssword@db.test/journal", "p%40ssword", "p@ssword"} <= found


def test_the_logs_cut_out_what_the_configuration_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the first line on, and for tokens that come later too."""
    gateway = prepare(loaded(tmp_path, logging={"format": "json", "level": "warning"}), {"A": "b"})
    gateway.redactor.add("token-read-again")
    get_logger().warning("told", text="bot-token-value and token-read-again")
    get_logger().info("too quiet to be written")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["text"] for line in lines if line["event"] == "told"] == ["[redacted] and [redacted]"]
    assert not any("quiet" in line["event"] for line in lines)
    assert gateway.environ == {"A": "b"}


def test_warnings_of_the_configuration_are_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `config check` would say is said at the start."""
    config = loaded(tmp_path, logging={"format": "json"}, gateway={"drainSeconds": 900})
    assert config.warnings
    prepare(config, {})
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert set(map(str, config.warnings)) <= set(events)


@pytest.mark.parametrize(
    ("url", "has_tls"),
    [pytest.param("http://mm.test", False, id="plain"), pytest.param("https://mm.test", True, id="tls")],
)
def test_certificates_are_loaded_only_where_tls_is_spoken(tmp_path: Path, url: str, has_tls: bool) -> None:
    """Loading them costs a fifth of a second."""
    assert (prepare(loaded(tmp_path, url=url), {}).dependencies.ssl_context is not None) is has_tls


@pytest.mark.parametrize("wanted", ["auto", "text", "json"])
def test_the_form_of_the_logs_is_as_configured(tmp_path: Path, wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`auto` writes JSON where nobody looks."""
    prepare(loaded(tmp_path, logging={"format": wanted}), {})
    get_logger().warning("hello")
    assert capsys.readouterr().err.splitlines()[-1].startswith("{") is (wanted != "text")


def test_traces_are_made_where_a_collector_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only there; and what it is told by headers is a secret, also one that a variable has."""
    assert prepare(loaded(tmp_path), {}).dependencies.tracer is NO_TRACER
    headers = {"authorization": "Bearer of-the-file"}
    config = loaded(
        tmp_path,
        telemetry={"otel": {"endpoint": "http://127.0.0.1:4318", "headers": headers, "sampleRatio": 0.5}},
        logging={"format": "json"},
    )
    gateway = prepare(config, {"OTEL_EXPORTER_OTLP_HEADERS": "x-key=of-the-environment"})
    assert isinstance(gateway.dependencies.tracer, OtelTracer)
    get_logger().warning("told", text="Bearer of-the-file, of-the-environment")
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["text"] == "[redacted], [redacted]"


def test_a_variable_that_the_sdk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error of the configuration, in words."""
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")
    config = loaded(tmp_path, telemetry={"otel": {"enabled": True}})
    with pytest.raises(ConfigError, match=r"telemetry\.otel.*OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"):
        prepare(config, {})


def test_the_journal_lies_in_the_state_directory(tmp_path: Path) -> None:
    """The state directory is made if need be, for its owner only."""
    config = loaded(tmp_path)
    assert journal_location(config, create=False) == str(tmp_path / "state" / JOURNAL)
    assert not (tmp_path / "state").exists()
    assert journal_location(config) == str(tmp_path / "state" / JOURNAL)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_a_database_is_used_where_one_is_named(tmp_path: Path) -> None:
    """With `store.url` no state directory is made."""
    config = loaded(tmp_path, store={"url": "postgresql://oc@db.test/journal"})
    assert journal_location(config) == "postgresql://oc@db.test/journal"
    assert not (tmp_path / "state").exists()


def test_a_state_directory_that_can_not_be_made_is_told_in_words(tmp_path: Path) -> None:
    """A file in its place is the operator's to move."""
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(StoreError, match="state can't be made: File exists"):
        prepare(loaded(tmp_path), {})
