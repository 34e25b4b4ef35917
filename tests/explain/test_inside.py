"""Names in the zones of the cluster: each kind of name has its reason."""

from __future__ import annotations

import pytest

from dnsd.dns.types import Type
from dnsd.zone.settings import SchemaConfig
from tests.answer.building import pipeline_of
from tests.cases import cluster
from tests.explain.explaining import explained
from tests.explain.test_lookup import CONFIGS, TYPES, some_names

VERDICTS = {
    ("web.prod.svc.cluster.local", Type.A): (
        "web.prod.svc.cluster.local. A resolves to 10.96.0.10: "
        "it is the ClusterIP of Service prod/web."
    ),
    ("web.prod.svc.cluster.local", Type.AAAA): (
        "web.prod.svc.cluster.local. exists and has no AAAA record (NODATA): it only has A, SRV."
    ),
    ("wbe.prod.svc.cluster.local", Type.A): (
        "wbe.prod.svc.cluster.local. does not exist (NXDOMAIN): namespace prod has no Service wbe."
    ),
    ("web.prd.svc.cluster.local", Type.A): (
        "web.prd.svc.cluster.local. does not exist (NXDOMAIN): namespace prd does not exist."
    ),
    ("_htp._tcp.web.prod.svc.cluster.local", Type.SRV): (
        "_htp._tcp.web.prod.svc.cluster.local. does not exist (NXDOMAIN): Service prod/web has no"
        " port htp/TCP; its ports are http/TCP, dns/UDP, sig/SCTP."
    ),
    ("hollow.prod.svc.cluster.local", Type.A): (
        "hollow.prod.svc.cluster.local. does not exist (NXDOMAIN): headless Service prod/hollow has"
        " no ready endpoint (0 of 1 endpoints are ready)."
    ),
    ("db-2.db.prod.svc.cluster.local", Type.A): (
        "db-2.db.prod.svc.cluster.local. does not exist (NXDOMAIN): "
        "endpoint 10.244.1.3 of Service prod/db is not ready."
    ),
    ("db.prod.svc.cluster.local", Type.A): (
        "db.prod.svc.cluster.local. A resolves to 10.244.1.1, 10.244.1.2: "
        "2 of 3 endpoints of the headless Service prod/db are ready."
    ),
    ("google.prod.svc.cluster.local", Type.A): (
        "google.prod.svc.cluster.local. A is an alias of google.com.: Service prod/google is an"
        " ExternalName for google.com.; forwarding is off: no upstream server is configured."
    ),
    ("literal.prod.svc.cluster.local", Type.A): (
        "literal.prod.svc.cluster.local. exists and has no A record (NODATA): externalName of"
        " Service prod/literal is an address, and a CNAME needs a name."
    ),
    ("ring-a.prod.svc.cluster.local", Type.A): (
        "ring-a.prod.svc.cluster.local. A gets SERVFAIL: "
        "its aliases form a loop, or a chain of more than ten names."
    ),
    ("10.0.96.10.in-addr.arpa", Type.PTR): (
        "10.0.96.10.in-addr.arpa. PTR resolves to web.prod.svc.cluster.local.: "
        "10.96.0.10 is the ClusterIP of Service prod/web."
    ),
    ("9.9.96.10.in-addr.arpa", Type.PTR): (
        "9.9.96.10.in-addr.arpa. does not exist (NXDOMAIN): "
        "no Service and no ready endpoint has the address 10.96.9.9."
    ),
    ("1-2-3-4.prod.pod.cluster.local", Type.A): (
        "1-2-3-4.prod.pod.cluster.local. does not exist (NXDOMAIN): "
        "names of pods are off (pods: disabled)."
    ),
    ("www.example.org", Type.A): (
        "www.example.org. is an external name (REFUSED): "
        "forwarding is off: no upstream server is configured."
    ),
    ("prod.svc.cluster.local", Type.A): (
        "prod.svc.cluster.local. exists and has no A record (NODATA): "
        "it is the namespace prod; its Services lie below it."
    ),
}


@pytest.mark.parametrize(("name", "type_"), list(VERDICTS), ids=[name for name, _ in VERDICTS])
def test_the_verdict_gives_the_reason(name: str, type_: Type) -> None:
    assert explained(name + ".", type_).verdict == VERDICTS[name, type_]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_every_name_and_type_has_a_reason(config: SchemaConfig) -> None:
    pipeline = pipeline_of(cluster.objects(), config)
    for name in some_names(pipeline):
        for type_ in TYPES:
            found = explained(name, type_, pipeline)
            assert found.verdict.startswith(name)
            assert ": " in found.verdict, found.verdict
            assert found.steps
