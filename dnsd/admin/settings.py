"""The settings of the admin API.

In `admin/` (control plane: HTTP). Change here: where the API listens, and how clients authenticate.
"""

from __future__ import annotations

from typing import Annotated, Protocol

from msgspec import Struct

from dnsd.answer.settings import EngineConfig
from dnsd.dns.addresses import Address
from dnsd.observe.settings import HistoryConfig
from dnsd.settings.kinds import ADDRESS_OR_OFF, BOOLEAN, DOMAIN, integer, several
from dnsd.settings.paths import FILE
from dnsd.settings.schema import Group, Setting
from dnsd.sources.kubernetes.settings import KubernetesConfig
from dnsd.transport.settings import TransportConfig

_PREFIXED = ("tokens", "cluster_tokens", "anonymous_read", "hosts", "tls_cert", "tls_key")
_NAMES = {"listen": "admin", **{name: f"admin_{name}" for name in _PREFIXED}}


class AdminConfig(Struct, frozen=True, kw_only=True, rename=_NAMES):
    """The admin API. `listen` None: off. Without `tokens`, dnsd makes one token."""

    # fmt: off
    listen: Annotated[Address | None, Setting(Group.LISTENING, ADDRESS_OR_OFF,
        'Where dnsd serves the HTTP API, metrics, and the page; "off" for nowhere.',
        )] = Address("127.0.0.1", 8053)
    tokens: Annotated[str, Setting(Group.ADMIN, FILE,
        "File of tokens, one line each: NAME ROLE TOKEN, with the role read or write. dnsd follows"
        " its changes. Default: dnsd makes one token and prints it.", "/etc/dnsd/tokens")] = ""
    cluster_tokens: Annotated[bool, Setting(Group.ADMIN, BOOLEAN,
        "With `kubernetes`: accept tokens of the cluster too. The API server authenticates and"
        ' authorizes them (TokenReview, SubjectAccessReview): "get" and "update" on the path'
        " /dnsd.")] = False
    anonymous_read: Annotated[bool, Setting(Group.ADMIN, BOOLEAN,
        "Let every client read without a token. Writes always need one.")] = False
    hosts: Annotated[tuple[str, ...], Setting(Group.ADMIN, several(DOMAIN),
        "Names in the Host header that the API accepts, besides localhost and addresses; it refuses"
        " other names (DNS rebinding). Empty: no other names.", "[dnsd.example.com]")] = ()
    tls_cert: Annotated[str, Setting(Group.ADMIN, FILE,
        "Certificate chain (PEM) of the API. Default: no TLS.", "/etc/dnsd/tls.crt")] = ""
    tls_key: Annotated[str, Setting(Group.ADMIN, FILE,
        "Its private key (PEM). Default: the key is in the file of the certificate.",
        "/etc/dnsd/tls.key")] = ""
    query_samples: Annotated[int, Setting(Group.ADMIN, integer(0, 1000),
        "Queries per second that each worker samples for the top names and clients; 0: no"
        " samples.")] = 100
    # fmt: on


class Settings(Protocol):
    """The sections that the API reads; `dnsd.control.settings.Settings` has them."""

    @property
    def admin(self) -> AdminConfig: ...
    @property
    def engine(self) -> EngineConfig: ...
    @property
    def history(self) -> HistoryConfig: ...
    @property
    def kubernetes(self) -> KubernetesConfig: ...
    @property
    def transport(self) -> TransportConfig: ...
    @property
    def state_dir(self) -> str: ...
    @property
    def origins(self) -> dict[str, str]: ...
    def named(self, name: str) -> str: ...
    def effective(self) -> dict[str, str]: ...
