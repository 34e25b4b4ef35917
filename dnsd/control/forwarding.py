"""What the settings say of names that are not ours, as the upstream room takes it.

The system's resolv.conf is read here, in the control process; workers get addresses. All
that can be wrong is found here too, so that it is said at the start and by `dnsd check`.
"""

from __future__ import annotations

import structlog

from dnsd.settings.kinds import DOMAIN, BadValue
from dnsd.settings.schema import Settings, SettingsError
from dnsd.upstream.config import BadUpstream, UpstreamConfig, check, parse_servers, read_resolv_conf

log = structlog.get_logger(__name__)

RESOLV_CONF = "/etc/resolv.conf"


def upstream_config(settings: Settings) -> UpstreamConfig | None:
    """What workers do with names that are not ours; None: they refuse them.

    Raises SettingsError when it cannot work.
    """
    try:
        return _config(settings)
    except BadUpstream as error:
        raise SettingsError(str(error)) from error


def _config(settings: Settings) -> UpstreamConfig | None:
    if settings.search_completion and settings.pods != "verified":
        who = settings.named("search_completion")
        raise SettingsError(f"{who}: needs pods: verified, or nobody knows who asks")
    least, most = settings.cache_min_ttl, settings.cache_max_ttl
    if least > most:
        who = settings.named("cache_min_ttl")
        raise SettingsError(f"{who}: {least} is more than cache_max_ttl, which is {most}")
    servers = _servers(settings)
    forward = {
        suffix: _resolved(texts, f"{settings.named('forward')}: {suffix}") or ("none",)
        for suffix, texts in settings.forward
    }
    if not (servers or forward or settings.hosts or settings.hosts_files):
        return None
    config = UpstreamConfig(
        servers=servers,
        forward=forward,
        policy=settings.upstream_policy,
        timeout=settings.upstream_timeout,
        attempt_timeout=settings.upstream_attempt_timeout,
        max_in_flight=settings.max_in_flight,
        tls_ca=settings.upstream_tls_ca,
        cache_entries=settings.cache_entries,
        cache_bytes=settings.cache_size,
        min_ttl=settings.cache_min_ttl,
        max_ttl=settings.cache_max_ttl,
        max_negative_ttl=settings.cache_max_negative_ttl,
        prefetch=settings.prefetch,
        stale_for=int(settings.serve_stale),
        never_leave=settings.never_leave,
        hosts=dict(settings.hosts),
        hosts_files=settings.hosts_files,
        hosts_override=settings.hosts_override,
        search_completion=settings.search_completion,
        search_zones=settings.zone,
        search_domains=_domains(settings),
    )
    _try(config, settings)
    return config


def _domains(settings: Settings) -> tuple[str, ...]:
    """What nodes add to the search list of pods: as said, else what this host's list has.

    Where dnsd gets its node's resolv.conf (dnsPolicy: Default), that is the very list.
    """
    if settings.search_domains or not settings.search_completion:
        return settings.search_domains
    try:
        return tuple(str(DOMAIN.parse(one)) for one in read_resolv_conf(RESOLV_CONF)[1])
    except (BadUpstream, BadValue):
        return ()


def _servers(settings: Settings) -> tuple[str, ...]:
    where = settings.named("upstream")
    if settings.upstream:
        return _resolved(settings.upstream, where)
    if not settings.kubernetes:
        return ()
    try:
        return _resolved(("resolv.conf",), where)
    except BadUpstream as error:  # nobody asked for it, so it is no reason not to serve
        log.warning("names that are not ours are refused", problem=str(error))
        return ()


def _resolved(texts: tuple[str, ...], where: str) -> tuple[str, ...]:
    return tuple(str(spec) for spec in parse_servers(texts, where, RESOLV_CONF))


def _try(config: UpstreamConfig, settings: Settings) -> None:
    """Finds out what a worker would trip over."""
    from dnsd.upstream.hosts import load, read_file  # only for who has upstreams or hosts
    from dnsd.upstream.stream import tls_context

    check(config)
    load(config.hosts, (), config.hosts_ttl)
    for path in config.hosts_files:
        for problem in read_file(path)[1]:
            log.warning("a line of pinned names is left out", problem=problem)
    if config.tls_ca:
        try:
            tls_context(config.tls_ca)
        except BadUpstream as error:
            raise SettingsError(f"{settings.named('upstream_tls_ca')}: {error}") from error
