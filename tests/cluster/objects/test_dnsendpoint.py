"""A DNSEndpoint is stripped to its DNS fields and checked."""

from __future__ import annotations

import pytest

from dnsd.cluster.objects import BadObject, DNSEndpoint, StatedRecords
from tests.cluster.objects.decoding import strip


def test_records_are_kept_as_written() -> None:
    records = [
        {"dnsName": "a.example", "recordType": "A", "recordTTL": 60, "targets": ["192.0.2.1"]},
        {"dnsName": "b.example", "targets": ["192.0.2.2"]},
    ]
    found = strip("DNSEndpoint", spec={"endpoints": records})
    assert isinstance(found, DNSEndpoint)
    assert found.records == (
        StatedRecords("a.example", "A", ("192.0.2.1",), 60),
        StatedRecords("b.example", "A", ("192.0.2.2",)),
    )


def test_a_ttl_out_of_range_is_refused() -> None:
    with pytest.raises(BadObject, match="recordTTL"):
        strip("DNSEndpoint", spec={"endpoints": [{"dnsName": "a", "recordTTL": -1}]})
