"""The console's parts that need no database."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from api.console import editing
from api.console.addresses import PATH, local, object_path
from api.console.comparison import compare
from api.console.controllers import Controllers, Told
from api.console.differences import MISSING, Change, changes, disputes, merged
from api.console.limits import FAILURES, STREAMS_OF_ONE, WINDOW_SECONDS, Attempts, Streams
from api.console.masking import MASK, masked, masked_text, restored
from api.console.rendering import as_yaml, moment, seconds, tone
from api.console.tables import Query, jsonpath
from crds.errors import Cause
from crds.registry import KINDS
from crds.workspace import Workspace
from tests.support.virtual_time import run

ENV = {"LOG_LEVEL": "info", "API_KEY": "k", "DATABASE_URL": "postgresql://u:pw@db/x"}
TOKEN = f"inv_{'0' * 16}_{'x' * 43}"
METRICS = """
# TYPE invoker_workqueue_depth gauge
invoker_workqueue_depth{name="machine"} 7
# TYPE invoker_controller_runtime_stuck_workers gauge
invoker_controller_runtime_stuck_workers{controller="machine"} 1
# TYPE invoker_provider_breaker_state gauge
invoker_provider_breaker_state{provider="fly",state="open"} %d
invoker_provider_breaker_state{provider="fly",state="closed"} %d
# TYPE invoker_provider_budget_left gauge
invoker_provider_budget_left{provider="fly"} %d
# TYPE invoker_provider_calls_total counter
invoker_provider_calls_total{provider="fly",operation="a",code="200"} 10
"""


class TestMasking:
    def test_env(self) -> None:
        """Values of env are masked by their names; a password in a URL wherever it stands."""
        shown = masked({"env": ENV})

        assert {
            "LOG_LEVEL": "info",
            "API_KEY": MASK,
            "DATABASE_URL": f"postgresql://{MASK}@db/x",
        } == shown["env"]

    def test_our_fields_stay(self) -> None:
        """A field of ours whose name only sounds secret is shown."""
        spec = {"tokensValidAfter": "2026-01-01T00:00:00Z"}

        assert {"spec": spec} == masked({"spec": spec})

    @pytest.mark.parametrize("secret", [TOKEN, "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"])
    def test_tokens(self, secret: str) -> None:
        """Tokens are masked in any text."""
        assert f"refused {MASK} again" == masked_text(f"refused {secret} again")

    def test_round_trip(self) -> None:
        """What was shown and sent back unchanged is what was stored."""
        stored = {
            "metadata": {"annotations": {"a-token": "t"}},
            "spec": {"env": ENV, "list": ["x"]},
        }

        assert (stored, []) == restored(masked(stored), stored)

    def test_replaced(self) -> None:
        """A secret can be replaced by a new value."""
        edited = {"env": {**masked({"env": ENV})["env"], "API_KEY": "new"}}

        assert ({"env": {**ENV, "API_KEY": "new"}}, []) == restored(edited, {"env": ENV})

    def test_lost(self) -> None:
        """A mask that stands for nothing is refused with its path, not stored."""
        _, causes = restored({"env": {"OTHER_KEY": MASK}}, {"env": ENV})

        assert ["env.OTHER_KEY"] == [cause.field for cause in causes]


class TestDifferences:
    def test_changes(self) -> None:
        """Fields that differ are told with both sides; an empty map is no difference to none."""
        before = {"spec": {"a": 1, "b": 2}, "labels": {}}
        after = {"spec": {"a": 1, "b": 3, "c": None}}

        expected = [Change("spec.b", 2, 3), Change("spec.c", MISSING, None)]

        assert expected == changes(before, after)

    def test_merge_apart(self) -> None:
        """Changes of different fields are both kept, removals and additions too."""
        base = {"a": 1, "b": 2, "c": {"d": 1, "e": 1}}
        mine = {"a": 9, "b": 2, "c": {"d": 1}}
        theirs = {"a": 1, "c": {"d": 5, "e": 1}, "f": 7}

        assert {"a": 9, "c": {"d": 5}, "f": 7} == merged(base, mine, theirs)

    def test_merge_same_field(self) -> None:
        """Where both changed the same field, mine holds, and the dispute says so."""
        base, mine, theirs = {"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 3, "b": 4}

        assert {"a": 2, "b": 4} == merged(base, mine, theirs)
        assert {"a": True, "b": False} == {
            each.path: each.conflicting for each in disputes(base, mine, theirs)
        }


class TestComparison:
    def test_pairs(self) -> None:
        """A field is put beside the status' field of the same path, other name, or like name."""
        spec = {"power": "Running", "region": "iad", "volume": {"sizeGb": 3}, "image": "x"}
        status = {
            "phase": "Crashed",
            "volume": {"sizeGb": 1, "region": "iad"},
            "conditions": [],
            "observedGeneration": 2,
            "url": "u",
        }

        found = compare(spec, status, ready=False)

        assert {
            "power": ("phase", True),
            "region": ("volume.region", False),
            "volume.sizeGb": ("volume.sizeGb", True),
            "image": ("", False),
        } == {pair.path: (pair.seen, pair.differs) for pair in found.pairs}
        assert [("url", "u")] == found.others
        assert 2 == found.differing

    def test_phase_of_ready(self) -> None:
        """A phase of another name is no difference when the object says that the wish came true."""
        found = compare({"power": "Running"}, {"phase": "Asleep"}, ready=True)

        assert 0 == found.differing


class TestYaml:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("a: [", "line 1"),
            ("a: 1\na: 2", "'a' stands here twice"),
            ("a: &x 1\nb: *x", "aliases are not taken"),
            ("- a", "must be one object"),
            ("!!python/object:os.system {}", "could not determine a constructor"),
            ("? [a]\n: 1", "keys are texts"),
            ("[" * 3000, "nested too deeply"),
            ("a: " + "x" * editing.MAX_BYTES, "at most"),
            ("\x00", "not well-formed"),
        ],
        ids=["open", "twice", "alias", "list", "tag", "key", "deep", "large", "control"],
    )
    def test_refused(self, text: str, words: str) -> None:
        """What is no plain YAML object is refused in words, with the line where there is one."""
        with pytest.raises(editing.YamlError, match=words):
            editing.parse(text)

    def test_moments_stay_text(self) -> None:
        """A moment is the text that was written, whatever YAML makes of it."""
        assert {"at": "2026-01-01T00:00:00Z"} == editing.parse("at: 2026-01-01T00:00:00Z")

    def test_round_trip(self) -> None:
        """What is shown as YAML is read as the same JSON."""
        data: dict[str, Any] = {
            "a": "yes", "b": "1.0", "c": None, "d": "x\ny\n", "e": ["1", 2, True], "f": {"é": "…"},
        }  # fmt: skip

        assert data == editing.parse(as_yaml(data))

    def test_lines(self) -> None:
        """A broken rule is told with the line of the deepest part that is there."""
        text = "spec:\n  size:\n    cpus: 3\n  list:\n    - a\n"
        fields = ("spec.size.cpus", "spec.list.0", "spec.nothing", "metadata.name")

        problems = editing.located(text, [Cause(field, "no") for field in fields])

        assert [3, 5, 1, 0] == [problem.line for problem in problems]


class TestAddresses:
    @pytest.mark.parametrize(
        "back", ["/console", "/console/workspaces?q=a%2Fb&page=2", "/console/accounts/-/x/edit"]
    )
    def test_ours(self, back: str) -> None:
        """The console's own pages are gone back to."""
        assert back == local(back)

    @pytest.mark.parametrize(
        "back",
        [
            "",
            "/",
            "/api/me",
            "//evil.example/console",
            "https://evil.example/console",
            "/console/../api/me",
            "/console//evil.example",
            "/consolefake",
            "\\\\evil.example/console",
            "/console\\evil",
            "/console\r\nSet-Cookie: a=b",
            "javascript:alert(1)//console",
            "/console/\u2028",
        ],
    )
    def test_others(self, back: str) -> None:
        """Whatever is elsewhere, or looks as if, is not."""
        assert PATH == local(back)

    def test_escaped(self) -> None:
        """Names stay one part of an address."""
        assert "/console/routes/-/a%2Fb%3Fc" == object_path("routes", "", "a/b?c")


class TestLimits:
    def test_attempts(self) -> None:
        """After so many failures an address waits; when the window has passed it does not."""

        async def main() -> list[int]:
            attempts = Attempts()
            for _ in range(FAILURES):
                attempts.failed("a")
            waits = [attempts.wait("a"), attempts.wait("b")]
            await asyncio.sleep(WINDOW_SECONDS)
            return [*waits, attempts.wait("a")]

        assert [int(WINDOW_SECONDS) + 1, 0, 0] == run(main, limit_seconds=1000)

    def test_memory(self) -> None:
        """However many addresses fail, the memory of them is bounded."""

        async def main() -> int:
            attempts = Attempts()
            for number in range(5000):
                attempts.failed(str(number))
            return len(attempts._failures)

        assert 1000 == run(main, limit_seconds=1)

    def test_streams(self) -> None:
        """One session has only so many streams at once, and others have theirs."""
        streams = Streams()
        with ExitStack() as stack:
            for _ in range(STREAMS_OF_ONE):
                stack.enter_context(streams.one_more("a"))
            full = (streams.full("a"), streams.full("b"))

        assert ((True, False), False) == (full, streams.full("a"))


class TestControllers:
    @staticmethod
    def told(*answers: httpx.Response | Exception, token: str = "") -> Told:
        """What several controllers tell."""
        urls = [f"http://user:pw@c{number}:9090/metrics" for number in range(len(answers))]

        def answer(request: httpx.Request) -> httpx.Response:
            found = answers[int(request.url.host[1:])]
            if isinstance(found, Exception):
                raise found
            return found

        async def main() -> Told:
            secret = SecretStr(token) if token else None
            return await Controllers(urls, secret, httpx.MockTransport(answer)).tell()

        return run(main, limit_seconds=30)

    def test_several(self) -> None:
        """Queues are added up; of breakers the worst and of budgets the scarcest is told."""
        told = self.told(
            httpx.Response(200, text=METRICS % (0, 1, 50)),
            httpx.Response(200, text=METRICS % (1, 0, 3)),
        )

        assert (14, 2, ()) == (told.depth, told.reached, tuple(told.unreachable))
        assert 2 == told.queues["machine"].stuck
        fly = told.providers["fly"]
        assert ("open", 3, 20) == (fly.breaker, fly.left, fly.calls)

    def test_unreachable(self) -> None:
        """Who does not answer is named with the reason, without credentials; others still count."""
        told = self.told(
            httpx.Response(200, text=METRICS % (0, 1, 50)),
            httpx.ConnectError("refused"),
            httpx.Response(401),
            httpx.Response(200, text="<html>"),
            httpx.ReadTimeout("slow"),
        )

        assert [
            ("c1:9090", "not reachable"),
            ("c2:9090", "answers 401"),
            ("c3:9090", "answers with no metrics"),
            ("c4:9090", "not reachable"),
        ] == list(told.unreachable)
        assert (7, 1) == (told.depth, told.reached)

    def test_nobody_configured(self) -> None:
        """Without addresses nothing is told, and nothing is wrong."""
        assert Told() == self.told()

    def test_shared(self) -> None:
        """Several who look at once cause one reading."""
        calls = []

        def answer(request: httpx.Request) -> httpx.Response:
            calls.append(request.headers["authorization"])
            return httpx.Response(200, text="")

        async def main() -> None:
            controllers = Controllers(
                ["http://c/metrics"], SecretStr("t" * 16), httpx.MockTransport(answer)
            )
            await asyncio.gather(*(controllers.tell() for _ in range(9)))

        run(main, limit_seconds=30)

        assert [f"Bearer {'t' * 16}"] == calls


class TestQueries:
    def test_every_column(self) -> None:
        """Every kind's columns have a path that the database understands."""
        paths = [jsonpath(column.path) for kind in KINDS.values() for column in kind.COLUMNS]

        assert {"spec", "status"} == {root for root, _ in paths}
        assert ("status", '$."conditions"[*] ? (@."type" == "Ready")."status"') in paths

    @pytest.mark.parametrize("path", [".metadata.name", "phase", ".spec..x"])
    def test_other_paths(self, path: str) -> None:
        """A path that is no column's is refused."""
        with pytest.raises(ValueError, match="is not"):
            jsonpath(path)

    def test_nonsense(self) -> None:
        """What makes no sense in an address counts as not said."""
        given = {
            "sort": "name; DROP TABLE objects",
            "page": "-1",
            "size": "1000000",
            "ready": "Maybe",
            "only": "x",
            "q": "\x00\x1b",
        }

        assert Query() == Query.of(Workspace, given)

    def test_link(self) -> None:
        """An address says only what differs from a plain one, and begins at the first page."""
        query = Query.of(Workspace, {"q": "a b", "page": "3", "sort": "phase", "wide": "1"})

        assert "q=a+b&sort=-phase&wide=1" == query.link(sort="-phase")


class TestWords:
    @pytest.mark.parametrize(
        ("value", "text"),
        [(None, "none yet"), (0.25, "0.2 s"), (90, "1.5 min"), (7200, "2.0 h"), (172800, "2.0 d")],
    )
    def test_seconds(self, value: float | None, text: str) -> None:
        """Durations are told in the unit that fits."""
        assert text == seconds(value)

    def test_moments(self) -> None:
        """What is no moment is none."""
        assert (None, None, None) == (moment(None), moment("soon"), moment(7))

    def test_unknown_phase(self) -> None:
        """A phase that nobody has thought of looks plain."""
        assert ("plain", "bad") == (tone("Fandangoing"), tone("Crashed"))
