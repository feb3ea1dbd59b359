"""Who is let in, and what each role may do."""

from datetime import timedelta

import pytest

from api.access import ANONYMOUS, Attributes, Identity, allows
from crds.access import ROLES, ROLES_OF_ACCOUNTS, AccessTokens, Role
from tests.kubernetes.doors import ACCOUNTS, WORKSPACES, Door, workspace

pytestmark = pytest.mark.anyio

OWN, OTHER = WORKSPACES.format("alice"), WORKSPACES.format("bob")


async def test_nobody_sees_anything_but_health_and_version(door: Door) -> None:
    """Without credentials there is 401 for everything that says something of the installation."""
    answers = {
        path: (await door.client.get(path)).status_code
        for path in ("/version", "/livez", "/readyz", "/api", "/openapi/v3", ACCOUNTS, "/nothing")
    }

    assert {
        "/version": 200,
        "/livez": 200,
        "/readyz": 200,
        "/api": 401,
        "/openapi/v3": 401,
        ACCOUNTS: 401,
        "/nothing": 401,
    } == answers


@pytest.mark.parametrize("header", ["Bearer inv_x_y", "Bearer x.y.z", "Basic YTpi", "Bearer é"])
async def test_credentials_that_prove_nothing_are_refused(door: Door, header: str) -> None:
    """A bad token is 401 with a Status, and is not repeated."""
    headers = [(b"Authorization", header.encode())]
    answer = await door.client.get(ACCOUNTS, headers=headers)

    assert (401, "Unauthorized") == (answer.status_code, answer.json()["reason"])
    assert header.split()[1] not in answer.text


async def test_impersonation_is_refused_not_ignored(door: Door) -> None:
    """Who asks as somebody else must not be answered as themselves."""
    answer = await door.ask("GET", ACCOUNTS, headers={"Impersonate-User": "alice"})

    assert answer.status_code == 403


async def test_an_owner_lives_in_one_namespace(door: Door) -> None:
    """An account's owner reads and writes their own workspaces, and nothing beside them."""
    await door.workspace("alice")
    await door.workspace("bob")
    owner = await door.token("account-owner", "alice")
    stopped = await door.patch(f"{OWN}/main", {"spec": {"power": "Stopped"}}, token=owner)
    codes = [
        (await door.ask("GET", OWN, token=owner)).status_code,
        (await door.ask("GET", OTHER, token=owner)).status_code,
        (await door.ask("GET", "/apis/invoker.dev/v1/workspaces", token=owner)).status_code,
        (await door.ask("DELETE", f"{OTHER}/main", token=owner)).status_code,
        (await door.ask("GET", ACCOUNTS, token=owner)).status_code,
    ]

    assert stopped.json()["spec"]["power"] == "Stopped"
    assert [200, 403, 403, 403, 403] == codes


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"image": "mine:latest"}},
        {"spec": {"size": {"cpus": 2, "memoryMb": 512}}},
        {"metadata": {"annotations": {"invoker.dev/paused": "true"}}},
        {"metadata": {"finalizers": ["example.com/hold"]}},
    ],
)
async def test_an_owner_changes_only_what_is_theirs(door: Door, change: dict[str, object]) -> None:
    """Size, image, finalizers and what steers reconcilers are not an owner's to set."""
    await door.workspace("alice")
    owner = await door.token("account-owner", "alice")
    answer = await door.patch(f"{OWN}/main", change, token=owner)

    assert (403, "Forbidden") == (answer.status_code, answer.json()["reason"])


async def test_support_reads_all_and_restarts(door: Door) -> None:
    """Support sees everything, may restart and wake, and nothing else."""
    await door.workspace("alice")
    support = await door.token("support")
    moment = "2026-01-01T00:00:00Z"
    restart = await door.patch(f"{OWN}/main", {"spec": {"restartAt": moment}}, token=support)
    codes = [
        (await door.ask("GET", ACCOUNTS, token=support)).status_code,
        (
            await door.patch(f"{OWN}/main", {"spec": {"power": "Stopped"}}, token=support)
        ).status_code,
        (await door.ask("DELETE", f"{OWN}/main", token=support)).status_code,
        (await door.ask("POST", OWN, workspace("second"), token=support)).status_code,
        (
            await door.patch(
                f"{OWN}/new?fieldManager=x", workspace("new"), "apply-patch+yaml", token=support
            )
        ).status_code,
    ]

    assert restart.json()["spec"]["restartAt"] == moment
    assert [200, 403, 403, 403, 403] == codes


async def test_secrets_are_read_by_nobody(door: Door) -> None:
    """There is no way to a secret through this door, not even for the administrator."""
    answer = await door.ask("GET", "/api/v1/namespaces/alice/secrets")

    assert answer.status_code == 404
    for role in ROLES:
        identity = Identity("x", role, "alice" if role in ROLES_OF_ACCOUNTS else "")
        assert not allows(identity, Attributes("get", "secrets", "", "alice", "x"))
    assert not allows(ANONYMOUS, Attributes("get", "workspaces", "", "alice", "x"))


async def test_a_revoked_token_is_refused_at_once(door: Door) -> None:
    """Revoking needs no restart."""
    tokens = AccessTokens(door.store)
    token, kept = await tokens.issue("x", "support", lifetime=timedelta(hours=1), created_by="test")
    before = await door.ask("GET", ACCOUNTS, token=token)
    await tokens.revoke(kept.id)
    after = await door.ask("GET", ACCOUNTS, token=token)

    assert (200, 401) == (before.status_code, after.status_code)


async def test_users_of_supabase_own_their_namespace(door: Door) -> None:
    """A user's own access token opens their namespace with kubectl too."""
    user = await door.service.user()
    own = await door.ask("GET", WORKSPACES.format(user.id), token=user.token)
    others = await door.ask("GET", ACCOUNTS, token=user.token)

    assert (200, 403) == (own.status_code, others.status_code)


@pytest.mark.parametrize(
    ("role", "code"),
    [("platform-admin", 200), ("support", 200), ("metrics", 200), ("account-owner", 403)],
)
async def test_metrics_are_for_who_watches_over_the_installation(
    door: Door, role: Role, code: int
) -> None:
    """The role metrics opens this and no resource; an account's owner is not shown it."""
    token = await door.token(role, "alice" if role == "account-owner" else "")
    answer = await door.ask("GET", "/metrics", token=token)

    assert code == answer.status_code
