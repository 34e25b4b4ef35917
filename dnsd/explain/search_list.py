"""What a Pod's resolver asks for a name: the search list with ndots:5.

Kubernetes writes `search NS.svc.Z svc.Z Z` and `options ndots:5` into the resolv.conf of a
Pod with dnsPolicy ClusterFirst. A resolver (resolv.conf(5)) asks a name with fewer dots than
that with each domain appended first, and as it stands last; one with more dots as it stands
first; one that ends with a dot as it stands only. It stops at the first that is not
NXDOMAIN, or, with NODATA, goes on too (glibc does; musl stops).
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


class Asked(Struct, frozen=True):
    """One question of the resolver. `outcome`: of `Found.kind`, or "too long".

    `used`: the resolver stops here.
    """

    name: str
    outcome: str
    used: bool


def domains(zone: Zone, namespace: str, pod: Pod | None = None) -> list[str]:
    """The search domains of a Pod in a namespace, its own dnsConfig.searches behind ours."""
    primary = text_of(zone.config.zones[0])
    found = [f"{namespace}.svc.{primary}", f"svc.{primary}", primary]
    if pod is not None and pod.dns_policy == "None":
        found = []
    if pod is not None and pod.dns_policy == "Default":
        found = []  # the node's resolv.conf, which dnsd does not know
    return found + [one.rstrip(".") + "." for one in (pod.searches if pod else ())]


def candidates(text: str, searches: Sequence[str]) -> list[str]:
    """The absolute names that are asked for `text`, in order."""
    if text.endswith("."):
        return [text]
    appended = [f"{text}.{domain}" for domain in searches]
    if text.count(".") >= NDOTS:
        return [f"{text}.", *appended]
    return [*appended, f"{text}."]


def walk(zone: Zone, text: str, type_: int, searches: Sequence[str]) -> list[Asked]:
    """What is asked for `text`, and what each question gets, the last ones unasked or not."""
    out: list[Asked] = []
    used = False
    for candidate in candidates(text, searches):
        name = name_or_none(candidate)
        outcome = lookup(zone, name, type_).kind if name else "too long"
        here = not used and outcome in ("answer", "alias")
        out.append(Asked(candidate, outcome, here))
        used = used or here
    return out


def name_or_none(text: str) -> Name | None:
    """The name, lower-cased; None when the text is none."""
    try:
        return name_from_text(text)
    except BadName:
        return None


def pod_of(state: State, client: bytes) -> Pod | None:
    """The Pod that asks from this address; None when nobody knows, or several share it."""
    pods = [pod for pod in state.pods_with(client) if pod.running and not pod.host_network]
    return pods[0] if len(pods) == 1 else None
