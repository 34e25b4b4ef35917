"""Resolves the section of forwarding: servers of resolv.conf, search domains, and files.

In `control/` (control process). Change here: what is checked before workers start to forward.

The control process reads the resolv.conf of the system, and the workers receive addresses. It also
checks what a worker would fail on, so that the start and `dnsd check` report it.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from msgspec.structs import replace

from dnsd.control.settings import Settings
from dnsd.dns.names import Name, text_of
from dnsd.settings.kinds import NAME, BadValue
from dnsd.settings.schema import BadSetting
from dnsd.upstream.settings import UpstreamConfig
from dnsd.upstream.spec import BadUpstream, parse_servers, read_resolv_conf

log = structlog.get_logger(__name__)


def upstream_config(settings: Settings) -> UpstreamConfig | None:
    """The section with all that depends on this host; None: workers refuse external names.

    Raises SettingsError if it cannot be used.
    """
    with settings.naming():
        return _config(settings)


def _config(settings: Settings) -> UpstreamConfig | None:
    config = settings.upstream
    if config.search_completion and settings.schema.pods != "verified":
        raise BadSetting("search_completion", "needs pods: verified, to find the pod of a client")
    least, most = config.min_ttl, config.max_ttl
    if least > most:
        raise BadSetting("cache_min_ttl", f"{least} is more than cache_max_ttl, which is {most}")
    servers = _servers(config, with_cluster=settings.kubernetes.on)
    forward = {
        suffix: _resolved("forward", texts, config, f"{text_of(suffix)}: ") or ("none",)
        for suffix, texts in config.forward.items()
    }
    if not (servers or forward or config.hosts or config.hosts_files):
        return None
    _check_files(config)
    return replace(
        config,
        servers=servers,
        forward=forward,
        search_zones=settings.schema.zones,
        search_domains=_domains(config),
    )


def _domains(config: UpstreamConfig) -> tuple[Name, ...]:
    """What nodes add to the search list of pods: the setting, else the search list of this host.

    With `dnsPolicy: Default`, dnsd has the resolv.conf of its node, which is that list.
    """
    if config.search_domains or not config.search_completion:
        return config.search_domains
    try:
        return tuple(map(NAME.parse, read_resolv_conf(config.resolv_conf)[1]))
    except (BadUpstream, BadValue):
        return ()


def _servers(config: UpstreamConfig, *, with_cluster: bool) -> tuple[str, ...]:
    if config.servers:
        return _resolved("upstream", config.servers, config)
    if not with_cluster:
        return ()
    try:
        return _resolved("upstream", ("resolv.conf",), config)
    except BadSetting as error:  # the setting is not given, so dnsd serves without it
        log.warning("external names are refused", problem=error.problem)
        return ()


def _resolved(
    setting: str, texts: Sequence[str], config: UpstreamConfig, prefix: str = ""
) -> tuple[str, ...]:
    try:
        return tuple(map(str, parse_servers(texts, config.resolv_conf)))
    except BadUpstream as error:
        raise BadSetting(setting, f"{prefix}{error}") from error


def _check_files(config: UpstreamConfig) -> None:
    from dnsd.upstream.hosts import read_file  # not needed without forwarding
    from dnsd.upstream.stream import tls_context

    for path in config.hosts_files:
        try:
            problems = read_file(path)[1]
        except BadUpstream as error:
            raise BadSetting("hosts_files", str(error)) from error
        for problem in problems:
            log.warning("a line of a hosts file is left out", problem=problem)
    if config.tls_ca:
        try:
            tls_context(config.tls_ca)
        except BadUpstream as error:
            raise BadSetting("upstream_tls_ca", str(error)) from error
