"""Expand a name by the search list of a Pod, as its resolver does.

In `explain/` (control plane: pure). Change here: search list and ndots rules.

Kubernetes writes `search NS.svc.Z svc.Z Z` and `options ndots:5` to the resolv.conf of a Pod with
dnsPolicy ClusterFirst. A resolver (resolv.conf(5)) tries a name with fewer than five dots with each
domain appended, and then the name itself. It tries a name with more dots the other way around, and
a name with a trailing dot only as it is. It stops at the first answer. After NODATA, glibc tries
the next name, and musl stops.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from dnsd.cluster.objects import Pod
from dnsd.cluster.state import State
from dnsd.dns.names import BadName, Name, name_from_text, text_of
from dnsd.explain.lookup import lookup
from dnsd.zone.zone import Zone

NDOTS = 5


class Candidate(Struct, frozen=True):
    """One query of the resolver. `outcome`: `Found.kind`, or "too long".

    `used`: the resolver stops here.
    """

    name: str
    outcome: str
    used: bool


def domains(zone: Zone, namespace: str, pod: Pod | None = None) -> list[str]:
    """The search domains of a Pod in a namespace, those of its dnsConfig.searches last."""
    primary = text_of(zone.config.zones[0])
    found = [f"{namespace}.svc.{primary}", f"svc.{primary}", primary]
    if pod is not None and pod.dns_policy in ("None", "Default"):
        found = []  # "Default" uses the resolv.conf of the node, which dnsd does not see
    return found + [one.rstrip(".") + "." for one in (pod.searches if pod else ())]


def candidates(text: str, searches: Sequence[str]) -> list[str]:
    """The absolute names that the resolver queries for `text`, in order."""
    if text.endswith("."):
        return [text]
    appended = [f"{text}.{domain}" for domain in searches]
    if text.count(".") >= NDOTS:
        return [f"{text}.", *appended]
    return [*appended, f"{text}."]


def expand(zone: Zone, text: str, type_: int, searches: Sequence[str]) -> list[Candidate]:
    """All candidates for `text` with their outcomes, also those after the resolver stops."""
    out: list[Candidate] = []
    stopped = False
    for candidate in candidates(text, searches):
        name = name_or_none(candidate)
        outcome = lookup(zone, name, type_).kind if name else "too long"
        used = not stopped and outcome in ("answer", "alias")
        out.append(Candidate(candidate, outcome, used))
        stopped = stopped or used
    return out


def name_or_none(text: str) -> Name | None:
    """The name in lowercase; None if the text is not a domain name."""
    try:
        return name_from_text(text)
    except BadName:
        return None


def pod_of(state: State, client: bytes) -> Pod | None:
    """The running Pod at this address; None if there is not exactly one."""
    pods = [pod for pod in state.pods_with(client) if pod.running and not pod.host_network]
    return pods[0] if len(pods) == 1 else None
