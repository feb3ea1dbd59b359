"""What the Netlify client sends, and what it makes of the answers."""

import json
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from controller.providers import (
    AlreadyExists,
    Call,
    Gear,
    InvalidRequest,
    NotFound,
    Priority,
    ProviderError,
    QuotaReached,
    Unauthorized,
    Unavailable,
    UnclassifiedConflict,
)
from controller.providers.netlify import (
    Netlify,
    NewValue,
    NewVariable,
    SiteRef,
)
from tests.providers.clock import run
from tests.providers.fakes import TOKEN, Script, ample, reply

pytestmark = pytest.mark.anyio

CALL = Call(Priority.ROLLOUT)
SITE = SiteRef("team", "s-1")
VALUE = NewValue("eyJsecret", "production")
ENV = "/api/v1/accounts/team/env"
Act = Callable[[Netlify], Awaitable[Any]]


def netlify(transport: httpx.AsyncBaseTransport, gear: Gear | None = None) -> Netlify:
    """Return a client that does not wait."""
    return Netlify(transport, token=TOKEN, gear=gear or Gear(budget=ample()))


def refusal(status: int, message: str, **headers: str) -> httpx.Response:
    """Return a refusal in Netlify's words."""
    return reply(status, {"code": status, "message": message}, **headers)


EVERY: list[tuple[str, Act]] = [
    (f"GET {ENV}?site_id=s-1", lambda n: n.list_variables(SITE, call=CALL)),
    (f"GET {ENV}/K?site_id=s-1", lambda n: n.get_variable(SITE, "K", call=CALL)),
    (
        f"POST {ENV}?site_id=s-1",
        lambda n: n.create_variables(SITE, [NewVariable("K", (VALUE,))], call=CALL),
    ),
    (f"PATCH {ENV}/K?site_id=s-1", lambda n: n.set_value(SITE, "K", VALUE, call=CALL)),
    (
        f"PUT {ENV}/K?site_id=s-1",
        lambda n: n.replace_variable(SITE, NewVariable("K", (VALUE,)), call=CALL),
    ),
    (f"DELETE {ENV}/K?site_id=s-1", lambda n: n.delete_variable(SITE, "K", call=CALL)),
    (f"DELETE {ENV}/K/value/v?site_id=s-1", lambda n: n.delete_value(SITE, "K", "v", call=CALL)),
]
"""Every operation on variables, with the request that it makes."""
WRITES = [(line, act) for line, act in EVERY if not line.startswith("GET")]


@pytest.mark.parametrize(("line", "act"), EVERY, ids=[line for line, _ in EVERY])
async def test_every_request_about_variables_names_the_site(line: str, act: Act) -> None:
    """Without `site_id` Netlify would edit the whole team's variables."""
    script = Script(refusal(404, "Not Found"))

    with pytest.raises(NotFound):
        await act(netlify(script))

    assert script.lines == [line]


@pytest.mark.parametrize(("account", "site"), [("", "s"), ("a", ""), ("a", "  ")])
def test_no_place_is_empty(account: str, site: str) -> None:
    """A place without a site cannot be made, so a team cannot be meant by accident."""
    with pytest.raises(ValueError, match="must not be empty"):
        SiteRef(account, site)


@pytest.mark.parametrize("key", ["", ".", "..", "A/B", "1A", "A B", "A?site_id="])
async def test_no_name_can_lead_elsewhere(key: str) -> None:
    """A name that is none is refused before anything is sent."""
    script = Script()

    with pytest.raises(ValueError, match=r"^key: "):
        await netlify(script).delete_variable(SITE, key, call=CALL)

    assert script.asked == []


async def test_no_empty_id_leads_to_the_collection() -> None:
    """An empty id would turn one site's address into that of all."""
    script = Script()
    acts: list[Act] = [
        lambda n: n.get_site("", call=CALL),
        lambda n: n.trigger_build("..", call=CALL),
        lambda n: n.delete_value(SITE, "K", "", call=CALL),
    ]

    for act in acts:
        with pytest.raises(ValueError, match="must not be empty"):
            await act(netlify(script))

    assert script.asked == []


async def test_a_value_is_patched_alone() -> None:
    """A write of one value names its context and nothing else, so the others stay."""
    script = Script(reply(201, {"key": "K"}))

    await netlify(script).set_value(SITE, "K", NewValue("v", "branch", "dev"), call=CALL)

    expected = {"context": "branch", "value": "v", "context_parameter": "dev"}
    assert expected == json.loads(script.asked[0].content)


async def test_a_variable_is_written_whole() -> None:
    """Creating and replacing say whether it is secret, and name scopes only when asked to."""
    script = Script(reply(201, [{"key": "K"}]), reply(200, {"key": "K"}))
    client, plain = netlify(script), NewVariable("K", (NewValue("v"),))
    secret = NewVariable("K", (NewValue("v", "production"),), is_secret=True, scopes=("builds",))

    await client.create_variables(SITE, [plain], call=CALL)
    await client.replace_variable(SITE, secret, call=CALL)

    assert [json.loads(request.content) for request in script.asked] == [
        [{"key": "K", "is_secret": False, "values": [{"context": "all", "value": "v"}]}],
        {
            "key": "K",
            "is_secret": True,
            "values": [{"context": "production", "value": "v"}],
            "scopes": ["builds"],
        },
    ]


async def test_nothing_to_create_is_no_call() -> None:
    """An empty list asks nobody."""
    script = Script()

    assert [] == await netlify(script).create_variables(SITE, [], call=CALL)
    assert script.asked == []


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: NewVariable("K", ()),
        lambda: NewVariable("K", (NewValue("v"),), is_secret=True),
        lambda: NewVariable("K", (VALUE,), is_secret=True, scopes=("post-processing",)),
        lambda: NewVariable("no name", (VALUE,)),
        lambda: NewValue("v", "branch"),
        lambda: NewValue("v", "production", "main"),
    ],
)
def test_what_netlify_would_refuse_cannot_be_built(wrong: Callable[[], object]) -> None:
    """The error names the field and the rule."""
    with pytest.raises(ValueError, match=r"^(key|values|scopes|branch): "):
        wrong()


async def test_a_secret_is_read_as_unknown() -> None:
    """Whatever stands in place of a secret's value, only local development's is believed."""
    values = [
        {"id": "1", "context": "production", "value": "****"},
        {"id": "2", "context": "dev", "value": "local"},
    ]
    body = {"key": "K", "is_secret": True, "values": values, "scopes": None, "updated_at": None}
    script = Script(reply(200, body), reply(200, body | {"is_secret": None}))
    client = netlify(script)

    secret, plain = [await client.get_variable(SITE, "K", call=CALL) for _ in range(2)]

    assert [(v.context, v.value) for v in secret.values] == [("production", None), ("dev", "local")]
    assert [v.value for v in plain.values] == ["****", "local"]
    assert plain.value("branch", "main") is None
    assert "local" not in repr(plain)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(400, "Bad Request"), InvalidRequest),
        (refusal(401, "Access Denied"), Unauthorized),
        (refusal(403, "Forbidden"), Unauthorized),
        (refusal(403, "Upgrade your Netlify account to set specific scopes"), QuotaReached),
        (refusal(404, "Not Found"), NotFound),
        (refusal(409, "odd"), UnclassifiedConflict),
        (refusal(422, "Invalid key"), InvalidRequest),
        (refusal(502, "Bad Gateway"), Unavailable),
    ],
)
async def test_errors_have_a_kind(answer: httpx.Response, kind: type[ProviderError]) -> None:
    """Each is one decision of a caller, with Netlify's words and the request's id."""
    answer.headers["x-nf-request-id"] = "01R"

    with pytest.raises(ProviderError) as caught:
        await netlify(Script(answer)).trigger_build("s-1", call=CALL)

    assert (kind, "01R", answer.status_code) == (
        type(caught.value),
        caught.value.request_id,
        caught.value.status,
    )
    assert answer.json()["message"] in str(caught.value)


@pytest.mark.parametrize("status", [409, 422])
async def test_a_variable_that_is_there_already_is_adopted(status: int) -> None:
    """Both statuses are understood; the specification names neither."""
    script = Script(refusal(status, "Environment variable K already exists"))

    with pytest.raises(AlreadyExists):
        await netlify(script).create_variables(SITE, [NewVariable("K", (VALUE,))], call=CALL)


@pytest.mark.parametrize("body", [b"<html>oh</html>", b"", b'["x"]', b'{"msg": "no"}'])
async def test_any_refusal_has_words(body: bytes) -> None:
    """What is not Netlify's usual error is told as it is."""
    script = Script(httpx.Response(400, content=body))

    with pytest.raises(InvalidRequest) as caught:
        await netlify(script).get_site("s-1", call=CALL)

    assert caught.value.message in {"<html>oh</html>", "status 400", '["x"]', "no"}


WRITTEN = 'pass"word\nü'
SECRET_WRITES: list[Act] = [
    lambda n: n.set_value(SITE, "K", NewValue(WRITTEN), call=CALL),
    lambda n: n.replace_variable(SITE, NewVariable("K", (NewValue(WRITTEN),)), call=CALL),
    lambda n: n.create_variables(SITE, [NewVariable("K", (NewValue(WRITTEN),))], call=CALL),
]


@pytest.mark.parametrize("act", SECRET_WRITES)
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(422, json={"message": f"bad value {WRITTEN} for {TOKEN}"}),
        httpx.Response(422, content=b"bad: " + json.dumps({"value": WRITTEN}).encode()),
        httpx.Response(200, json={"key": 7, "values": [{"value": WRITTEN}]}),
        httpx.ReadTimeout("lost"),
    ],
)
async def test_no_error_repeats_a_value(act: Act, answer: httpx.Response | Exception) -> None:
    """Not even where Netlify's own words do, in clear or as JSON writes it."""
    with pytest.raises(ProviderError) as caught:
        await act(netlify(Script(answer)))

    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert [] == [text for text in ("pass", "word", TOKEN) if text in told]


@pytest.mark.parametrize(("line", "act"), WRITES, ids=[line for line, _ in WRITES])
@pytest.mark.parametrize("failure", [refusal(503, "no"), httpx.ReadTimeout("lost")])
async def test_a_write_is_sent_once(
    line: str, act: Act, failure: httpx.Response | Exception
) -> None:
    """What became of it only the caller can find out."""
    script = Script(failure)

    with pytest.raises(Unavailable) as caught:
        await act(netlify(script))

    assert caught.value.outcome_unknown
    assert script.lines == [line]


async def test_a_write_that_was_never_sent_has_a_known_outcome() -> None:
    """A refused connection changed nothing."""
    script = Script(httpx.ConnectError("refused"))

    with pytest.raises(Unavailable) as caught:
        await netlify(script).trigger_build("s-1", call=CALL)

    assert not caught.value.outcome_unknown


async def test_an_answer_that_cannot_be_read_is_no_success() -> None:
    """A build without an id is not known to exist."""
    with pytest.raises(Unavailable) as caught:
        await netlify(Script(reply(200, {"id": ""}))).trigger_build("s-1", call=CALL)

    assert caught.value.outcome_unknown


def test_a_read_is_tried_again() -> None:
    """A quick failure of a read is Netlify's affair and not the caller's."""
    script = Script(refusal(502, "Bad Gateway"), reply(200, {"id": "s-1", "account_id": "a"}))

    async def act() -> SiteRef:
        return (await netlify(script).get_site("s-1", call=CALL)).ref

    assert SiteRef("a", "s-1") == run(act)
    assert len(script.asked) == 2


async def test_a_lost_shard_sends_no_write() -> None:
    """The guard is asked before a write, not before a read."""
    script = Script(reply(200, []))

    def guard() -> None:
        raise LookupError

    lost = Call(Priority.USER, guard)
    await netlify(script).list_variables(SITE, call=lost)
    with pytest.raises(LookupError):
        await netlify(script).set_value(SITE, "K", VALUE, call=lost)

    assert ["GET"] == [request.method for request in script.asked]
