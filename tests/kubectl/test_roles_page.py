"""The page on roles tells what the API really answers, and that is what the policy says."""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from api.access import ANONYMOUS, Attributes, Identity, allows
from crds.access import ROLES_OF_ACCOUNTS
from tests.kubectl.door import Door
from tests.kubectl.roles import ASKERS, OWN, PAGE, Asker, Resource, asked, page

# More than a thousand requests to an API in a process of its own.
pytestmark = pytest.mark.slow

REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


@pytest.fixture
def own_door(database_url: str, tmp_path: Path) -> Iterator[Door]:
    """An API with nothing in it but what is made here."""
    with Door(database_url, tmp_path) as door:
        yield door


def _allowed(asker: Asker, resource: Resource, verb: str) -> bool:
    account = OWN if asker.role in ROLES_OF_ACCOUNTS else ""
    identity = Identity("tests", asker.role, account) if asker.role else ANONYMOUS
    namespace = asker.namespace if resource.namespaced else ""
    whole = verb in {"list", "watch", "create", "deletecollection"}
    name = "" if whole else asker.namespace
    asked_for = Attributes(verb, resource.plural, resource.subresource, namespace, name)
    return allows(identity, asked_for)


def test_every_answer_is_what_the_policy_says_and_what_the_page_tells(own_door: Door) -> None:
    """For every role, resource and verb: 2xx where it is allowed, 401 or 403 where it is not."""
    rows = asked(own_door)
    surprises = [
        (asker.title, verb, resource.title, status)
        for resource, verb, statuses in rows
        for asker, status in zip(ASKERS, statuses, strict=True)
        if (status not in REFUSED) != _allowed(asker, resource, verb)
    ]

    assert [] == surprises
    assert PAGE.read_text() == page(rows)
