"""A refusal of the API server becomes an ApiError, whatever its body is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.sources.kubernetes.errors import MAX_RETRY_AFTER, api_error


def test_a_status_in_a_stream_keeps_its_code() -> None:
    error = api_error(b'{"code":410,"reason":"Expired","message":"too old"}')
    assert (error.status, error.in_stream, error.expired) == (410, True, True)
    assert str(error) == "410 Expired: too old"


def test_retry_after_may_be_in_the_details() -> None:
    body = b'{"code":429,"details":{"retryAfterSeconds":7}}'
    assert api_error(body, http=429).retry_after == 7.0


def test_retry_after_is_bounded() -> None:
    assert api_error(b"{}", http=503, retry_after=1e9).retry_after == MAX_RETRY_AFTER


def test_a_body_that_is_not_a_status_is_quoted_in_part() -> None:
    error = api_error(b"404 page not found\n", http=404)
    assert str(error) == "404: 404 page not found"
    assert len(str(api_error(b"x" * 10_000, http=502))) < 300


@settings(deadline=None, max_examples=100)
@given(body=st.binary(max_size=60))
def test_any_body_is_an_error_with_the_http_status(body: bytes) -> None:
    assert api_error(body, http=500).status == 500
