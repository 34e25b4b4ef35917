"""Every setting of dnsd, declared once.

A field of `Settings` is the whole declaration: its name, its type, its default, and in
the `Setting` beside it the kind of value, the group, the help and an example. Flags
(`--tcp-idle-timeout`), environment variables (`DNSD_TCP_IDLE_TIMEOUT`), keys of the YAML
file (`tcp_idle_timeout:`), docs/settings.md and config/dnsd.yaml are all made from it; a
new setting is one new field, and `make docs`.

`dnsd.configuration.load` brings the three together.

`reload=True` marks what a SIGHUP can change in a running dnsd. The rest (sockets, sources,
the number of processes) needs a restart, and a reload that finds it changed says so.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import Annotated, get_args, get_type_hints

import msgspec
from msgspec import Struct

from dnsd.dns.addresses import Address, Endpoint
from dnsd.dns.networks import EVERYONE
from dnsd.settings.kinds import (
    ADDRESS_OR_OFF,
    BOOLEAN,
    CIDR,
    DIRECTORY,
    DOMAIN,
    ENDPOINTS,
    FILE,
    IP,
    NAMESPACE,
    NAMESPACED,
    OWN_DIRECTORY,
    TEXT,
    ZONE_NAME,
    Kind,
    choice,
    duration,
    integer,
    several,
    short_text,
    size,
)
from dnsd.settings.mappings import HOSTS, RULES, UPSTREAM
from dnsd.settings.sections import POLICIES, VIEWS, ZONES, PolicySection, ViewSection, ZoneSection

SOURCES = "Where Services come from"
LISTENING = "Where dnsd listens"
NAMES = "Which names exist"
OUTSIDE = "The view from outside"
SIGHT = "Who sees what"
ANSWERS = "How questions are answered"
OTHERS = "Names that are not ours"
ADMIN = "The admin API"
LIMITS = "Limits"
RUNNING = "Running"
GROUPS = (SOURCES, LISTENING, NAMES, OUTSIDE, SIGHT, ANSWERS, OTHERS, ADMIN, LIMITS, RUNNING)

PREFIX = "DNSD_"

# Loopback, private, link-local, shared address space (RFC 1122, 1918, 3927, 6598, 4193, 4291).
PRIVATE_NETWORKS = (
    *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
    *("100.64.0.0/10", "::1/128", "fc00::/7", "fe80::/10"),
)


class SettingsError(ValueError):
    """The configuration cannot be used. `problems`: one line each, saying who said what."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class Setting(Struct, frozen=True):
    """What a setting is beyond its name, type and default."""

    group: str
    kind: Kind
    help: str  # one or more sentences; the first stands alone in --help
    example: str = ""  # as YAML would write it; "": the default is example enough
    reload: bool = False  # SIGHUP can change it
    in_file: bool = True  # False: a flag or variable only


class Settings(Struct, frozen=True, kw_only=True):
    """The settings of one run, read and checked. `named` tells who set one."""

    # Where Services come from ----------------------------------------------------------
    manifests: Annotated[
        str,
        Setting(
            SOURCES,
            DIRECTORY,
            "Directory of Kubernetes YAML or JSON, read recursively and followed live.",
            "config/examples/seed",
        ),
    ] = ""
    kubernetes: Annotated[
        bool,
        Setting(
            SOURCES,
            BOOLEAN,
            "Watch an API server: in a cluster with its service account, else by kubeconfig.",
        ),
    ] = False
    kubeconfig: Annotated[
        str,
        Setting(
            SOURCES,
            FILE,
            "The kubeconfig file. Default: the service account in a cluster, then $KUBECONFIG,"
            " then ~/.kube/config.",
            "~/.kube/config",
        ),
    ] = ""
    context: Annotated[
        str,
        Setting(
            SOURCES,
            TEXT,
            "The context of the kubeconfig. Default: its current one.",
            "staging",
        ),
    ] = ""
    namespaces: Annotated[
        tuple[str, ...],
        Setting(
            SOURCES,
            several(NAMESPACE),
            "Follow these namespaces only. Up to 16, a Role in each is enough, beside a ClusterRole"
            " for Namespaces; with more, the whole cluster is watched. Default: all.",
            "[team-a, team-b]",
        ),
    ] = ()
    namespace_selector: Annotated[
        str,
        Setting(
            SOURCES,
            TEXT,
            "Serve only what is in namespaces with these labels.",
            '"dns=public,team in (a, b)"',
        ),
    ] = ""
    service_selector: Annotated[
        str,
        Setting(
            SOURCES,
            TEXT,
            "Serve only Services with these labels.",
            '"dns!=hidden"',
        ),
    ] = ""
    stale_after: Annotated[
        float,
        Setting(
            SOURCES,
            duration(1, 86400),
            "When no watch of the API server has shown a sign of life for so long, answers are"
            " called stale. A quiet cluster gives one a minute.",
        ),
    ] = 300.0
    ready_when_stale: Annotated[
        bool,
        Setting(
            SOURCES,
            BOOLEAN,
            "Stay ready while stale: better old answers than none.",
        ),
    ] = False
    reconcile_every: Annotated[
        float,
        Setting(
            SOURCES,
            duration(0, 86400 * 7),
            "List everything beside the watches so often, and correct what differs; 0s: never.",
        ),
    ] = 3600.0
    page_size: Annotated[
        int,
        Setting(
            SOURCES,
            integer(1, 10_000),
            "Objects asked of the API server at once, where it cannot stream its lists.",
        ),
    ] = 500
    snapshot_every: Annotated[
        float,
        Setting(
            SOURCES,
            duration(0.1, 86400),
            "With state_dir: keep the last good state of the cluster on disk, written so often"
            " when it changed, for a start that answers at once.",
        ),
    ] = 30.0
    snapshot_max_age: Annotated[
        float,
        Setting(
            SOURCES,
            duration(0, 86400 * 365),
            "A snapshot older than this is not served.",
        ),
    ] = 86400.0
    service_cidr: Annotated[
        tuple[str, ...],
        Setting(
            SOURCES,
            several(CIDR, at_least=1),
            "Networks from which Services in manifests get a ClusterIP when they name none."
            " With a cluster they come from its API server.",
        ),
    ] = ("10.96.0.0/12",)

    # Where dnsd listens ----------------------------------------------------------------
    listen: Annotated[
        tuple[Endpoint, ...],
        Setting(
            LISTENING,
            ENDPOINTS,
            "Where to answer DNS: ADDRESS:PORT for UDP and TCP both, udp://ADDRESS:PORT or"
            " tcp://ADDRESS:PORT for one of them. IPv6 addresses go in brackets; with port 0"
            " the system chooses a free port.",
            '["0.0.0.0:53", "tcp://[::]:53"]',
        ),
    ] = (Endpoint(Address("127.0.0.1", 1053)),)
    admin: Annotated[
        Address | None,
        Setting(
            LISTENING,
            ADDRESS_OR_OFF,
            'Where to serve the HTTP API, metrics and the page; "off" for none.',
        ),
    ] = Address("127.0.0.1", 8053)

    # Which names exist -----------------------------------------------------------------
    zone: Annotated[
        tuple[str, ...],
        Setting(
            NAMES,
            several(ZONE_NAME, at_least=1),
            "The cluster domain. With several, all carry the same names, and PTR records point"
            " into the first.",
            "[cluster.local, cluster.example]",
            reload=True,
        ),
    ] = ("cluster.local",)
    ttl: Annotated[
        int,
        Setting(
            NAMES,
            integer(0, 3600),
            "Seconds for which resolvers may keep an answer, and a denial.",
            reload=True,
        ),
    ] = 5
    pods: Annotated[
        str,
        Setting(
            NAMES,
            choice("disabled", "verified", "insecure"),
            "Names of pods (1-2-3-4.ns.pod.ZONE): none, those of running pods, or any address"
            " in a namespace that exists.",
            reload=True,
        ),
    ] = "disabled"
    endpoint_names: Annotated[
        str,
        Setting(
            NAMES,
            choice("address", "pod"),
            "How an endpoint without a hostname is called: by its address with dashes, or by"
            " its pod's name.",
            reload=True,
        ),
    ] = "address"
    endpoint_records: Annotated[
        bool,
        Setting(
            NAMES,
            BOOLEAN,
            "Give the endpoints of Services that have a ClusterIP names and PTR records too,"
            " as CoreDNS does.",
            reload=True,
        ),
    ] = True
    empty_services: Annotated[
        str,
        Setting(
            NAMES,
            choice("answer", "nxdomain"),
            "What a Service with a ClusterIP but no ready endpoint is: its ClusterIP, or no"
            " name at all.",
            reload=True,
        ),
    ] = "answer"
    ns_addresses: Annotated[
        tuple[str, ...],
        Setting(
            NAMES,
            several(IP),
            "Addresses of ns.dns.ZONE, the server the zone's NS record names. Default: those of"
            " ns_service, else those dnsd listens on; for a wildcard, the address this machine"
            " sends from.",
            '["10.96.0.10"]',
            reload=True,
        ),
    ] = ()
    ns_service: Annotated[
        str,
        Setting(
            NAMES,
            NAMESPACED,
            "The Service through which dnsd is reached: its ClusterIPs are the addresses of"
            " ns.dns.ZONE, if it is among those that dnsd follows and ns_addresses are not given.",
            "kube-system/dnsd",
            reload=True,
        ),
    ] = ""
    reverse_zones: Annotated[
        tuple[str, ...],
        Setting(
            NAMES,
            several(CIDR),
            "Networks whose reverse names (PTR) are ours, missing addresses included. Default:"
            " private networks, as far as Services and endpoints are in them.",
            '["10.96.0.0/12", "10.244.0.0/16"]',
            reload=True,
        ),
    ] = ()

    # The view from outside -------------------------------------------------------------
    outside_zones: Annotated[
        tuple[ZoneSection, ...],
        Setting(
            OUTSIDE,
            ZONES,
            "Zones with what is reached from outside the cluster: load balancers, node ports,"
            " external addresses. `ns` names their name servers, with addresses.",
            "[{name: k8s.example.com, ns: {ns1.k8s.example.com: [192.0.2.53]}}]",
        ),
    ] = ()
    outside_names: Annotated[
        tuple[str, ...],
        Setting(
            OUTSIDE,
            several(choice("nodes", "ingresses", "routes", "dnsendpoints")),
            "What has names in the outside zones besides Services: nodes (NODE.nodes.ZONE),"
            " hosts of Ingresses, hosts of Gateway API routes, records of DNSEndpoints.",
            "[nodes, ingresses]",
        ),
    ] = ()
    outside_node_addresses: Annotated[
        str,
        Setting(
            OUTSIDE,
            choice("external", "internal"),
            "Which addresses of a node are answered outside: its ExternalIPs, else its"
            " InternalIPs; or the other way round.",
            reload=True,
        ),
    ] = "external"
    outside_node_pointers: Annotated[
        bool,
        Setting(
            OUTSIDE,
            BOOLEAN,
            "Give the nodes' addresses PTR records in our reverse zones, if they have names.",
            reload=True,
        ),
    ] = False
    outside_balancer_ports: Annotated[
        str,
        Setting(
            OUTSIDE,
            choice("never", "pending", "always"),
            "When Services of type LoadBalancer are shown by their node ports: never, while"
            " nothing is assigned to them, or always.",
            reload=True,
        ),
    ] = "never"

    # Who sees what ---------------------------------------------------------------------
    views: Annotated[
        tuple[ViewSection, ...],
        Setting(
            SIGHT,
            VIEWS,
            "Which zones clients see, by network: inside, outside or both. The most specific"
            " network decides; who is in none sees both.",
            '[{networks: ["0.0.0.0/0", "::/0"], see: outside},'
            ' {networks: ["10.0.0.0/8"], see: both}]',
        ),
    ] = ()
    policies: Annotated[
        tuple[PolicySection, ...],
        Setting(
            SIGHT,
            POLICIES,
            "Which namespaces' names clients see: pods of namespaces, hosts of networks. Who is"
            " in several sees what any of them lets it see; who is in none sees all.",
            '[{namespaces: ["*"], see: [own, shared]}, {networks: ["10.244.0.0/16"], see: []}]',
        ),
    ] = ()

    unknown_pods: Annotated[
        str,
        Setting(
            SIGHT,
            choice("auto", "network", "narrowest", "nothing"),
            "What dnsd answers a client that may be a pod whose event has not arrived yet."
            " network: names by the policies of its network, or all names without one."
            " narrowest: only names that it sees in whichever namespace it is. nothing: no name"
            " of any namespace. auto: narrowest if a policy has namespaces, else network. Every"
            " client may be such a pod, except pods that dnsd holds and addresses of nodes.",
        ),
    ] = "auto"

    # How questions are answered --------------------------------------------------------
    allow_query: Annotated[
        tuple[str, ...],
        Setting(
            ANSWERS,
            several(CIDR),
            "Networks whose queries dnsd answers; it refuses all others. Default: all networks."
            " An empty list matches no client.",
            '["10.0.0.0/8", "fd00::/8"]',
            reload=True,
        ),
    ] = EVERYONE
    udp_size: Annotated[
        int,
        Setting(
            ANSWERS,
            integer(512, 4096),
            "Largest reply over UDP, in octets; what is longer is asked again over TCP."
            " 1232 passes every network unfragmented.",
            reload=True,
        ),
    ] = 1232
    nsid: Annotated[
        str,
        Setting(
            ANSWERS,
            short_text(255),
            'Name of this server, for clients that ask for it (RFC 5001): "hostname", a text,'
            ' or "" for none.',
            reload=True,
        ),
    ] = "hostname"
    version_text: Annotated[
        str,
        Setting(
            ANSWERS,
            short_text(255),
            'Reply to version.bind and version.server (class CH); "" refuses.',
            '"dnsd"',
            reload=True,
        ),
    ] = ""
    id_text: Annotated[
        str,
        Setting(
            ANSWERS,
            short_text(255),
            'Reply to id.server and hostname.bind (class CH); "" refuses.',
            '"node-7"',
            reload=True,
        ),
    ] = ""

    # Names that are not ours -------------------------------------------------------------
    upstream: Annotated[
        tuple[str, ...],
        Setting(
            OTHERS,
            several(UPSTREAM),
            "Servers that are asked for names that are not ours: udp://, tcp:// or"
            " tls://ADDRESS[:PORT][#NAME]; resolv.conf takes the system's, none asks nobody."
            " Default: none with manifests, resolv.conf with a cluster.",
            '["udp://192.0.2.53", "tls://192.0.2.54#dns.example"]',
            reload=True,
        ),
    ] = ()
    upstream_policy: Annotated[
        str,
        Setting(
            OTHERS,
            choice("sequential", "random", "fastest"),
            "Which upstream is asked first: as listed, any, or the one with the least smoothed"
            " latency. The others follow when it fails or is late.",
            reload=True,
        ),
    ] = "sequential"
    upstream_timeout: Annotated[
        float,
        Setting(
            OTHERS,
            duration(0.05, 60),
            "How long a client waits for upstreams in all.",
            reload=True,
        ),
    ] = 4.0
    upstream_attempt_timeout: Annotated[
        float,
        Setting(
            OTHERS,
            duration(0.01, 60),
            "When the next upstream is asked too, at the latest.",
            reload=True,
        ),
    ] = 1.0
    upstream_tls_ca: Annotated[
        str,
        Setting(
            OTHERS,
            FILE,
            "Certificate authorities for tls:// upstreams (PEM). Default: the system's.",
            "/etc/ssl/certs/ca-certificates.crt",
            reload=True,
        ),
    ] = ""
    forward: Annotated[
        tuple[tuple[str, tuple[str, ...]], ...],
        Setting(
            OTHERS,
            RULES,
            "Other upstreams for names below a suffix; the longest suffix wins. none keeps"
            " them here, as NXDOMAIN.",
            '{corp.example: ["udp://192.0.2.55"], ads.example: none}',
            reload=True,
        ),
    ] = ()
    never_leave: Annotated[
        tuple[str, ...],
        Setting(
            OTHERS,
            several(DOMAIN),
            "Names whose questions no upstream gets to see, besides localhost, invalid, onion,"
            " local, home.arpa, private reverse zones and single labels.",
            "[secret.example]",
            reload=True,
        ),
    ] = ()
    allow_recursion: Annotated[
        tuple[str, ...],
        Setting(
            OTHERS,
            several(CIDR),
            "Networks whose questions for other names are answered; the rest is refused."
            ' "0.0.0.0/0" and "::/0" match every client. An empty list matches no client.'
            " Default: private and loopback networks.",
            '["10.244.0.0/16", "127.0.0.0/8"]',
            reload=True,
        ),
    ] = PRIVATE_NETWORKS
    hosts: Annotated[
        tuple[tuple[str, tuple[str, ...]], ...],
        Setting(
            OTHERS,
            HOSTS,
            "Names pinned to addresses. They win over upstream, not over a Service.",
            '{db.corp.example: ["10.1.2.3", "fd00::3"]}',
            reload=True,
        ),
    ] = ()
    hosts_files: Annotated[
        tuple[str, ...],
        Setting(
            OTHERS,
            several(FILE),
            "Files of pinned names in the form of /etc/hosts, followed live.",
            "[/etc/hosts]",
            reload=True,
        ),
    ] = ()
    hosts_override: Annotated[
        bool,
        Setting(
            OTHERS,
            BOOLEAN,
            "Names of the setting hosts win over a Service's names too.",
            reload=True,
        ),
    ] = False
    search_completion: Annotated[
        bool,
        Setting(
            OTHERS,
            BOOLEAN,
            "Walk a pod's search list for it: five questions become one. Needs pods: verified.",
            reload=True,
        ),
    ] = False
    search_domains: Annotated[
        tuple[str, ...],
        Setting(
            OTHERS,
            several(DOMAIN),
            "What nodes add to the search list of pods. Default: the search list of"
            " /etc/resolv.conf here.",
            "[ec2.internal]",
            reload=True,
        ),
    ] = ()
    cache_entries: Annotated[
        int,
        Setting(
            OTHERS,
            integer(0, 100_000_000),
            "Replies of upstreams that a worker keeps at most; 0: none.",
            reload=True,
        ),
    ] = 20_000
    cache_size: Annotated[
        int,
        Setting(
            OTHERS,
            size(0, 1 << 40),
            "Memory for them in each worker.",
            reload=True,
        ),
    ] = 16 << 20
    cache_min_ttl: Annotated[
        int,
        Setting(
            OTHERS,
            integer(0, 3600),
            "Shortest time in seconds for which they are kept.",
            reload=True,
        ),
    ] = 0
    cache_max_ttl: Annotated[
        int,
        Setting(
            OTHERS,
            integer(1, 604_800),
            "Longest time in seconds for which they are kept.",
            reload=True,
        ),
    ] = 86_400
    cache_max_negative_ttl: Annotated[
        int,
        Setting(
            OTHERS,
            integer(0, 86_400),
            "Longest time in seconds for which a denial is kept.",
            reload=True,
        ),
    ] = 3_600
    prefetch: Annotated[
        bool,
        Setting(
            OTHERS,
            BOOLEAN,
            "Ask again for popular replies shortly before their time is over.",
            reload=True,
        ),
    ] = True
    serve_stale: Annotated[
        float,
        Setting(
            OTHERS,
            duration(0, 604_800),
            "How long after its time a reply may still be used when upstreams fail; 0s: never.",
            reload=True,
        ),
    ] = 86_400.0
    max_in_flight: Annotated[
        int,
        Setting(
            OTHERS,
            integer(1, 100_000),
            "Questions of a worker that wait for upstreams; what is beyond is refused at once.",
            reload=True,
        ),
    ] = 1_000

    # The admin API -----------------------------------------------------------------------
    admin_tokens: Annotated[
        str,
        Setting(
            ADMIN,
            FILE,
            "File of tokens, a line each: NAME ROLE TOKEN, the role read or write. Followed"
            " live. Default: dnsd makes one token, and prints it.",
            "/etc/dnsd/tokens",
        ),
    ] = ""
    admin_cluster_tokens: Annotated[
        bool,
        Setting(
            ADMIN,
            BOOLEAN,
            "With `kubernetes`: take tokens of the cluster too. Whose they are and what they"
            ' allow is asked of the API server (TokenReview, SubjectAccessReview): "get" and'
            ' "update" on the path /dnsd.',
        ),
    ] = False
    admin_anonymous_read: Annotated[
        bool,
        Setting(ADMIN, BOOLEAN, "Let everybody read without a token. Writes always need one."),
    ] = False
    admin_hosts: Annotated[
        tuple[str, ...],
        Setting(
            ADMIN,
            several(DOMAIN),
            "Names under which the API may be asked, besides localhost and addresses; other"
            " names in a Host header are refused (DNS rebinding).",
            "[dnsd.example.com]",
        ),
    ] = ()
    admin_tls_cert: Annotated[
        str,
        Setting(
            ADMIN,
            FILE,
            "Certificate chain (PEM) of the API. Default: no TLS.",
            "/etc/dnsd/tls.crt",
        ),
    ] = ""
    admin_tls_key: Annotated[
        str,
        Setting(
            ADMIN,
            FILE,
            "Its private key (PEM). Default: it is in the file of the certificate.",
            "/etc/dnsd/tls.key",
        ),
    ] = ""
    query_samples: Annotated[
        int,
        Setting(
            ADMIN,
            integer(0, 1000),
            "Queries a second that each worker samples for the top names and clients; 0: none.",
        ),
    ] = 100
    history_max_age: Annotated[
        float,
        Setting(
            ADMIN,
            duration(60, 3650 * 86400),
            "How long changes of names are remembered, in the state directory if there is one.",
        ),
    ] = 30 * 86400.0
    history_max_size: Annotated[
        int,
        Setting(
            ADMIN,
            size(1 << 20, 1 << 40),
            "Size of what is remembered; the oldest changes go first.",
        ),
    ] = 64 << 20

    # Limits ----------------------------------------------------------------------------
    tcp_max_connections: Annotated[
        int,
        Setting(
            LIMITS,
            integer(1, 100_000),
            "TCP connections a worker holds; beyond it the one idle longest is closed.",
            reload=True,
        ),
    ] = 2000
    tcp_max_per_client: Annotated[
        int,
        Setting(
            LIMITS,
            integer(1, 100_000),
            "TCP connections one client address may hold in a worker.",
            reload=True,
        ),
    ] = 100
    tcp_idle_timeout: Annotated[
        float,
        Setting(
            LIMITS,
            duration(0.1, 3600),
            "A TCP connection on which nothing is asked for so long is closed. A message has 5 s"
            " from its first octet to its last, whatever this says.",
            reload=True,
        ),
    ] = 30.0
    journal_size: Annotated[
        int,
        Setting(
            LIMITS,
            size(64 << 10, 4 << 30),
            "Memory for the changes of the zone that are remembered.",
        ),
    ] = 16 << 20
    journal_changes: Annotated[
        int,
        Setting(
            LIMITS,
            integer(1, 1_000_000),
            "Changes of the zone that are remembered for those who follow it.",
        ),
    ] = 10_000

    # Running ---------------------------------------------------------------------------
    config: Annotated[
        str,
        Setting(
            RUNNING,
            FILE,
            "A YAML file with any of these settings; see config/dnsd.yaml.",
            in_file=False,
        ),
    ] = ""
    workers: Annotated[
        int,
        Setting(
            RUNNING,
            integer(1, 256),
            "Processes that answer. One serves about as much as a core can.",
        ),
    ] = 1
    state_dir: Annotated[
        str,
        Setting(
            RUNNING,
            OWN_DIRECTORY,
            "Directory for what must outlive a restart, the zone's serial first.",
            "/var/lib/dnsd",
        ),
    ] = ""
    drain_quiet: Annotated[
        float,
        Setting(
            RUNNING,
            duration(0, 600),
            "When asked to stop, go on answering until no question came for so long.",
            reload=True,
        ),
    ] = 1.0
    drain_limit: Annotated[
        float,
        Setting(
            RUNNING,
            duration(0, 3600),
            "When asked to stop, stop after so long even if questions still come.",
            reload=True,
        ),
    ] = 10.0
    uvloop: Annotated[
        str,
        Setting(
            RUNNING,
            choice("auto", "on", "off"),
            "Run on uvloop: if it is installed, always, never.",
        ),
    ] = "auto"
    log_level: Annotated[
        str,
        Setting(
            RUNNING,
            choice("debug", "info", "warning", "error"),
            "The least important messages to log.",
            reload=True,
        ),
    ] = "info"
    log_format: Annotated[
        str,
        Setting(
            RUNNING,
            choice("auto", "json", "text"),
            "Form of the log on stderr: JSON lines, text, or text on a terminal only.",
            reload=True,
        ),
    ] = "auto"

    # Who set what: "--listen", "DNSD_LISTEN", "listen (dnsd.yaml:3)". Not a setting.
    origins: dict[str, str] = {}

    def named(self, name: str) -> str:
        """Who gave setting `name`, as an error message says it; its flag when defaulted."""
        return self.origins.get(name, flag_of(name))


@functools.cache
def declared() -> dict[str, Setting]:
    """Every setting by name, in the order of declaration."""
    hints = get_type_hints(Settings, include_extras=True)
    found = {}
    for name in Settings.__struct_fields__:
        extra = [item for item in get_args(hints[name])[1:] if isinstance(item, Setting)]
        if extra:
            found[name] = extra[0]
    return found


@functools.cache
def defaults() -> Settings:
    """The settings of a dnsd that nobody told anything."""
    return Settings()


def flag_of(name: str) -> str:
    """The command line's spelling: `--tcp-idle-timeout`."""
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """The environment's spelling: `DNSD_TCP_IDLE_TIMEOUT`."""
    return PREFIX + name.upper()


def changed(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """The settings that differ: those a reload can change, and those it cannot."""
    differ = [name for name in declared() if getattr(old, name) != getattr(new, name)]
    now = [name for name in differ if declared()[name].reload]
    return now, [name for name in differ if name not in now and name != "config"]


def keep(old: Settings, new: Settings, names: Sequence[str]) -> Settings:
    """`new`, with the settings `names` as they are in `old`."""
    return msgspec.structs.replace(new, **{name: getattr(old, name) for name in names})


def effective(settings: Settings) -> dict[str, str]:
    """Setting name -> its value as YAML writes it, for `check` and the admin API."""
    return {name: item.kind.show(getattr(settings, name)) for name, item in declared().items()}


if __name__ == "__main__":
    from dnsd.settings.docs import main

    sys.exit(main(sys.argv[1:]))
