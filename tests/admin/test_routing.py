"""Routing: bodies and names of requests, and errors as problems (RFC 9457)."""

from __future__ import annotations

from typing import cast

import msgspec
import pytest
from aiohttp import web

from dnsd.admin.context import Context
from dnsd.admin.routing import PROBLEM, Parameters, Problem, Request, domain_name
from dnsd.dns.names import name_from_text


class Body(Parameters, frozen=True):
    """A body with one number."""

    number: int = 0


def request(body: bytes) -> Request:
    return Request(cast(web.Request, None), cast(Context, None), Parameters(), body, "me")


def test_a_problem_is_a_response_with_its_members() -> None:
    response = Problem(409, "it is taken", owners=["a"]).response()
    assert (response.status, response.content_type) == (409, PROBLEM)
    assert isinstance(response.body, bytes)
    assert msgspec.json.decode(response.body) == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "it is taken",
        "owners": ["a"],
    }


def test_only_a_401_response_requests_a_token() -> None:
    assert Problem(401, "a token").response().headers["WWW-Authenticate"] == "Bearer"
    assert "WWW-Authenticate" not in Problem(403, "not allowed").response().headers


def test_an_empty_body_is_an_empty_object() -> None:
    assert request(b"").json(Body) == Body()
    assert request(b'{"number": 7}').json(Body) == Body(7)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[" * 50_000, 422), (b'{"number": "x"}', 422), (b'{"other": 1}', 422)],
)
def test_a_body_of_another_type_is_a_problem(body: bytes, status: int) -> None:
    with pytest.raises(Problem) as caught:
        request(body).json(Body)
    assert caught.value.status == status


def test_a_name_may_have_a_trailing_dot() -> None:
    assert domain_name("Web.Prod") == domain_name("web.prod.") == name_from_text("web.prod.")


@pytest.mark.parametrize("text", ["a..b", "x" * 64, "a." * 200])
def test_text_that_is_not_a_name_is_a_bad_request(text: str) -> None:
    with pytest.raises(Problem, match="is not a domain name") as caught:
        domain_name(text)
    assert caught.value.status == 400
