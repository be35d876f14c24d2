"""Whether settings can be taken: before a start, and while a service runs by others."""

import ssl

from service.bootstrap import (
    Secrets,
    build_detectors,
    closed,
    ours_of,
    registry_of,
    rights_of,
    unpacking,
)
from service.decoding.registry import LARGEST_ID
from service.errors import RecordRejected, SettingsError, Unavailable
from service.kafka.options import check_options
from service.kafka.trouble import Trouble
from service.settings.tree import Settings
from service.sinks.history import History, url_of
from service.telemetry.tracing import spans


def check_settings(settings: Settings) -> None:
    """Everything that can be checked without starting: `wakeful validate`."""
    closed(settings)
    _check_certificate(settings)
    spans()
    build_detectors(settings.detectors, settings.limits)
    unpacking(settings)
    check_options(settings.kafka.options)
    if (shared := settings.history.secret()) is not None:
        url_of(shared)


def check_change(before: Settings, held: Secrets, settings: Settings) -> None:
    """SettingsError where brokers, a schema registry, or a database, that were others before do not
    answer: who went on with them could do nothing, and those before still can. `held` is what was
    in files then."""
    now, kafka, earlier = Secrets.of(settings), settings.kafka, before.kafka
    if (kafka.schema_registry, now.registry) != (earlier.schema_registry, held.registry):
        _check_registry(settings)
    if (kafka, now.kafka) != (earlier, held.kafka):
        _check_brokers(settings)
    if now.history is not None and now.history != held.history:
        _check_database(now.history)


def _check_registry(settings: Settings) -> None:
    """That it has no schema of an id is an answer."""
    registry = registry_of(settings)
    if registry is None:
        return
    try:
        registry.schema(LARGEST_ID)
    except RecordRejected:
        pass
    except Unavailable as error:
        raise SettingsError(f"kafka.schema_registry.url: {error}") from None


def _check_brokers(settings: Settings) -> None:
    servers = settings.kafka.bootstrap_servers
    if not servers:
        return
    rights = rights_of(settings, ours_of(settings)[1])
    try:
        Trouble(servers, settings.kafka.options, rights).check()
    except Unavailable as error:
        raise SettingsError(f"kafka.bootstrap_servers: {error}") from None


def _check_database(url: str) -> None:
    history = History(url_of(url))
    try:
        _ = history.made
    except Unavailable as error:
        raise SettingsError(f"history.url: {error}") from None
    finally:
        history.close()


def _check_certificate(settings: Settings) -> None:
    api = settings.api
    if api.tls_cert_file is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                api.tls_cert_file, api.tls_key_file
            )
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"api.tls_cert_file, api.tls_key_file: {error}") from None
