"""Prepares a gateway from a loaded configuration: logging, state directory, TLS, dependencies."""

from collections.abc import Mapping

from oc_trio.config.gateway import LogFormat
from oc_trio.config.known_secrets import secrets_of
from oc_trio.config.load import Loaded
from oc_trio.config.telemetry import otel_secrets, wants_otel
from oc_trio.errors import ConfigError, Problem
from oc_trio.network.tls import client_tls
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.process.gateway import Gateway
from oc_trio.runtime.process.locations import journal_location
from oc_trio.telemetry.log import Redactor, configure, get_logger
from oc_trio.telemetry.log_tail import LogTail
from oc_trio.telemetry.tracing import NO_TRACER, Tracer


def prepare(loaded: Loaded, environ: Mapping[str, str]) -> Gateway:
    """Raises StoreError where the state directory can't be made, ConfigError where it or a variable is not fit."""
    redactor = Redactor((*secrets_of(loaded), *otel_secrets(environ)))
    log_format, tail = loaded.config.logging.format, LogTail()
    configure(
        level=loaded.config.logging.level.value,
        json=None if log_format is LogFormat.AUTO else log_format is LogFormat.JSON,
        redactor=redactor,
        child_stderr=loaded.config.logging.child_stderr,
        tail=tail,
    )
    log = get_logger(part="start")
    for warning in loaded.warnings:
        log.warning(str(warning))
    # Loading the CA store blocks for a fifth of a second: once, before the event loop, and only if anyone uses TLS.
    urls = [account.base_url for account in loaded.accounts.values()]
    urls += [provider.base_url for provider in loaded.config.models.providers.values()]
    needs_tls = any(not url.startswith("http://") for url in urls)
    context = client_tls() if needs_tls else None
    dependencies = Dependencies(ssl_context=context, environ=environ, tracer=_tracer(loaded, environ))
    return Gateway(
        loaded,
        journal_location(loaded),
        dependencies,
        environ=environ,
        redactor=redactor,
        has_admin=True,
        tail=tail,
    )


def _tracer(loaded: Loaded, environ: Mapping[str, str]) -> Tracer:
    """What makes traces, where they are wanted. Raises ConfigError."""
    settings = loaded.config.telemetry.otel
    if not wants_otel(settings, environ):
        return NO_TRACER
    # Imported here only: it takes a fifth of a second and some MiB.
    from oc_trio.telemetry.otel import open_tracer

    try:
        return open_tracer(
            endpoint=settings.endpoint.strip(),
            headers={name: value.reveal() for name, value in settings.headers.items()},
            service_name=settings.service_name,
            sample_ratio=settings.sample_ratio,
            environ=environ,
            now_ms=Clock().now_ms,
        )
    except ValueError as problem:
        # The SDK reads more variables than are known here; of some it refuses the value.
        raise ConfigError(Problem("telemetry.otel", str(problem), "mend or unset that variable")) from problem
