"""Reviews: who one is, what one may do, and that kubectl understands the answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.access import ANONYMOUS, Identity
from api.access.policy import ALL, RULES
from api.kubernetes.errors import ApiError
from api.kubernetes.protobuf import decode
from api.kubernetes.reviews import GROUPS, SERVED, answer
from api.kubernetes.served import Served
from crds.schemas import schema_of
from crds.workspace import Workspace
from tests.kubectl.binaries import AbsentError, kubectl
from tests.kubernetes.static_server import Asked, run, serving

pytestmark = pytest.mark.anyio

Json = dict[str, Any]

ADMIN = Identity("token:1:ops", "platform-admin")
SUPPORT = Identity("token:2:desk", "support")
OWNER = Identity("user:alice", "account-owner", "alice")
METRICS = Identity("token:3:scraper", "metrics")


def resource(verb: str, what: str, namespace: str = "", name: str = "", **more: str) -> Json:
    """A question about a resource: `workspaces.invoker.dev/status`."""
    rest, _, subresource = what.partition("/")
    plural, _, group = rest.partition(".")
    attributes = {"verb": verb, "group": group, "resource": plural, "namespace": namespace}
    attributes |= {"subresource": subresource, "name": name, **more}
    return {"spec": {"resourceAttributes": attributes}}


def path(verb: str, at: str) -> Json:
    """A question about a path."""
    return {"spec": {"nonResourceAttributes": {"verb": verb, "path": at}}}


WORKSPACES = "workspaces.invoker.dev"


@pytest.mark.parametrize(
    ("identity", "question", "expected"),
    [
        (ADMIN, resource("create", WORKSPACES, "alice"), True),
        (ADMIN, resource("update", f"{WORKSPACES}/status", "alice"), True),
        (ADMIN, resource("get", "accounts.invoker.dev", "default", "alice"), True),
        (ADMIN, resource("list", "events", "alice"), True),
        (ADMIN, resource("list", "events.events.k8s.io", "alice"), True),
        (ADMIN, resource("get", "secrets", "alice"), False),
        (ADMIN, resource("get", "workspaces.apps", "alice"), False),
        (ADMIN, resource("get", "workspaces", "alice"), False),
        (ADMIN, resource("*", "*"), False),
        (SUPPORT, resource("list", WORKSPACES), True),
        (SUPPORT, resource("create", WORKSPACES, "alice"), False),
        (OWNER, resource("delete", WORKSPACES, "alice", "main"), True),
        (OWNER, resource("get", WORKSPACES, "bob", "main"), False),
        (OWNER, resource("list", WORKSPACES), False),
        (OWNER, resource("get", "accounts.invoker.dev", "alice", "alice"), True),
        # A client names its namespace also for what has none.
        (OWNER, resource("get", "accounts.invoker.dev", "alice", "bob"), False),
        (OWNER, resource("get", "namespaces", "alice", "bob"), False),
        (METRICS, resource("list", WORKSPACES), False),
        (ANONYMOUS, resource("create", "selfsubjectreviews.authentication.k8s.io"), False),
        (METRICS, path("get", "/apis/invoker.dev/v1"), True),
        (METRICS, path("get", "/openapi/v3"), True),
        (METRICS, path("get", "/openapis"), False),
        (ADMIN, path("post", "/api"), False),
        (ADMIN, path("get", "/console"), False),
        (ANONYMOUS, path("get", "/api"), False),
    ],
)
async def test_one_is_told_what_one_may_do(
    identity: Identity, question: Json, *, expected: bool
) -> None:
    """The answer is the policy's, by group, namespace, name and subresource."""
    found = await answer("SelfSubjectAccessReview", question, identity)

    assert expected is found["status"]["allowed"]
    assert question["spec"] == found["spec"]
    assert ("reason" in found["status"]) is not expected


@pytest.mark.parametrize("spec", [{}, resource("get", "x")["spec"] | path("get", "/")["spec"]])
async def test_a_question_is_about_one_thing(spec: Json) -> None:
    """Neither nothing nor two things at once can be asked."""
    with pytest.raises(ApiError) as caught:
        await answer("SelfSubjectAccessReview", {"spec": spec}, ADMIN)

    assert 422 == caught.value.code


async def test_an_admin_asks_about_others() -> None:
    """The groups tell the role, and for an account's owner the user or the extra the account."""
    question = resource("get", WORKSPACES, "alice", "main")
    owner = {"user": "user:alice", "groups": ["invoker:account-owner"]}
    by_token = owner | {"user": "token:9:x", "extra": {"invoker.dev/account": ["alice"]}}
    other = owner | {"user": "user:bob"}
    nobody = {"user": "user:alice"}

    allowed = []
    for who in (owner, by_token, other, nobody):
        asked = {"spec": {**question["spec"], **who}}
        found = await answer("SubjectAccessReview", asked, ADMIN)
        allowed.append(found["status"]["allowed"])
    assert [True, True, False, False] == allowed


async def test_nobody_else_asks_about_others() -> None:
    """What others may do is not everybody's to know."""
    for identity in (SUPPORT, OWNER, METRICS, ANONYMOUS):
        with pytest.raises(ApiError) as caught:
            await answer("SubjectAccessReview", resource("get", WORKSPACES), identity)
        assert 403 == caught.value.code


async def test_one_is_told_who_one_is() -> None:
    """Name, role and account, as groups and extra."""
    found = await answer("SelfSubjectReview", {}, OWNER)

    assert {
        "username": "user:alice",
        "groups": ["invoker:account-owner", "system:authenticated"],
        "extra": {"invoker.dev/account": ["alice"]},
    } == found["status"]["userInfo"]


@pytest.mark.parametrize("identity", [ADMIN, SUPPORT, OWNER, METRICS])
async def test_the_list_says_what_single_answers_say(identity: Identity) -> None:
    """Whatever is listed is allowed one by one, and nothing else is."""
    found = await answer("SelfSubjectRulesReview", {"spec": {"namespace": "alice"}}, identity)
    listed = {
        (verb, group, each, name)
        for rule in found["status"]["resourceRules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for each in rule["resources"]
        for name in rule.get("resourceNames", ["some", "alice"])
    }

    verbs = {verb for rules in RULES.values() for rule in rules for verb in rule.verbs}
    for plural, groups in GROUPS.items():
        for group in groups:
            for each in (plural, *([f"{plural}/status"] if plural in ALL else [])):
                for verb in sorted(verbs):
                    for name in ("some", "alice"):
                        what = f"{plural}.{group}" if group else plural
                        what += each.removeprefix(plural)
                        question = resource(verb, what, "alice", name)
                        single = await answer("SelfSubjectAccessReview", question, identity)
                        asked = (verb, group, each, name)
                        assert (asked in listed) is single["status"]["allowed"], asked


def test_every_resource_of_the_policy_has_a_group() -> None:
    """What the policy names can be asked about."""
    named = {each for rules in RULES.values() for rule in rules for each in rule.resources}

    assert set() == named - GROUPS.keys()


async def test_an_owner_is_listed_nothing_elsewhere() -> None:
    """In another's namespace only the owner's own cluster objects and questions are left."""
    found = await answer("SelfSubjectRulesReview", {"spec": {"namespace": "bob"}}, OWNER)

    rules = found["status"]["resourceRules"]
    assert ["accounts", "namespaces"] == sorted(
        each for rule in rules if "resourceNames" in rule for each in rule["resources"]
    )
    assert not any(each.startswith("workspaces") for rule in rules for each in rule["resources"])


async def test_what_no_review_is_cannot_be_asked() -> None:
    """There are four, each served for creation only."""
    with pytest.raises(ApiError):
        await answer("Pod", {}, ADMIN)

    assert {frozenset({"create"})} == {each.verbs for each in SERVED}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["resourceAttributes", "nonResourceAttributes", "groups", "extra", "verb"]
            ),
            inner,
            max_size=3,
        )
    ),
)


@given(
    st.sampled_from([each.kind for each in SERVED]),
    st.dictionaries(st.sampled_from(["spec", "status", "metadata"]), JSON_VALUES),
)
def test_any_question_is_answered_or_refused(kind: str, body: Json) -> None:
    """Whatever is sent, the answer is a review or a refusal of the 400s."""
    try:
        found = asyncio.run(answer(kind, body, ADMIN))
    except ApiError as error:
        assert error.code in (400, 422)  # noqa: PT017 - either outcome is right
    else:
        assert kind == found["kind"]


@pytest.mark.parametrize("version", ["1.32", "1.37"])
def test_kubectl_understands(version: str, tmp_path: Path) -> None:
    """`auth whoami`, `auth can-i` and its list show what was answered."""
    try:
        binary = kubectl(version)
    except AbsentError as error:
        pytest.skip(str(error))

    def reply(asked: Asked) -> tuple[int, Json]:
        body = decode(asked.body)
        return 201, asyncio.run(answer(body["kind"], body, OWNER))

    workspaces = Served(
        group="invoker.dev",
        version="v1",
        kind="Workspace",
        plural="workspaces",
        namespaced=True,
        verbs=frozenset({"list"}),
        schema=schema_of(Workspace),
    )
    with serving([workspaces, *SERVED], reply) as server:

        def said(words: str) -> tuple[int, str]:
            done = run(binary, server, tmp_path, *words.split())
            return done.returncode, done.stdout

        code, text = said("auth whoami")
        assert (0, True, True) == (code, "user:alice" in text, "invoker:account-owner" in text)
        assert (0, "yes\n") == said("auth can-i list workspaces.invoker.dev -n alice")
        assert (1, "no - the role account-owner may not\n") == said(
            "auth can-i list workspaces.invoker.dev -n bob"
        )
        assert (0, "yes\n") == said("auth can-i get /healthz")
        code, text = said("auth can-i --list -n alice")
        assert (0, True, True) == (
            code,
            "workspaces.invoker.dev " in text,
            "/openapi/*" in text,
        )
