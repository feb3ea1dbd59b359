"""What stands for `kong`: a real process before real services."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import yaml

from deploy.local.services.kong_config import normalised
from tests.support.services import free_port, running, start


class _Echo(BaseHTTPRequestHandler):
    """Says what it was asked."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Answer with the request itself."""
        length = int(self.headers.get("content-length") or 0)
        told = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": self.rfile.read(length).decode(),
        }
        content = json.dumps(told).encode()
        self.send_response(201 if self.command == "POST" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer  # noqa: N815 - the library looks for these names

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def _echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _declaration(upstream: str) -> dict[str, Any]:
    keyed = [
        {"name": "key-auth", "config": {"hide_credentials": False}},
        {"name": "request-transformer", "config": {}},
        {"name": "acl", "config": {"hide_groups_header": True, "allow": ["admin", "anon"]}},
    ]
    probed = [
        {"name": "key-auth", "config": {"hide_credentials": True}},
        {"name": "acl", "config": {"allow": ["probe"]}},
    ]
    gone = f"http://127.0.0.1:{free_port()}/"
    return {
        "_format_version": "3.0",
        "consumers": [
            {"username": "anon", "keyauth_credentials": [{"key": "anon-key"}]},
            {
                "username": "prober",
                "keyauth_credentials": [{"key": "probe-key"}],
                "acls": [{"group": "probe"}],
            },
        ],
        "acls": [{"consumer": "anon", "group": "anon"}],
        "plugins": [
            {"name": "cors"},
            {"name": "prometheus", "config": {"per_consumer": True}},
        ],
        "services": [
            _service("open", f"{upstream}/verify", "/auth/v1/verify", []),
            _service("auth", f"{upstream}/", "/auth/v1/", keyed),
            _service("health", f"{upstream}/status", "~/health/it$", probed),
            _service("gone", gone, "/gone", []),
            _service("nowhere", "http://no-such-name.invalid/", "/nowhere", []),
            _service(
                "ended",
                gone,
                "/ended",
                [{"name": "request-termination", "config": {"status_code": 200, "message": "ok"}}],
            ),
            _service(
                "few",
                f"{upstream}/",
                "/few",
                [{"name": "rate-limiting", "config": {"minute": 2, "limit_by": "ip"}}],
            ),
        ],
    }


def _service(name: str, url: str, path: str, plugins: list[Any]) -> dict[str, Any]:
    route = {"name": f"{name}-route", "paths": [path], "strip_path": True}
    return {"name": name, "url": url, "routes": [route], "plugins": plugins}


@pytest.fixture(scope="module")
def kong() -> Iterator[httpx.Client]:
    """The gateway, asked by a name."""
    port = free_port()
    with _echo() as upstream:
        variables = {
            "PORT": str(port),
            "KONG_DATABASE": "off",
            "KONG_STATUS_LISTEN": "0.0.0.0:8100",
            "KONG_DECLARATIVE_CONFIG_STRING": yaml.safe_dump(_declaration(upstream)),
        }
        with (
            running("kong", variables),
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}",
                headers={"Host": "kong.test"},
                trust_env=False,
            ) as client,
        ):
            yield client


ANON = {"apikey": "anon-key"}
PROBE = {"apikey": "probe-key"}


@pytest.mark.parametrize(
    ("path", "headers", "seen"),
    [
        ("/auth/v1/verify?token=1", {}, "/verify?token=1"),
        ("/auth/v1/verify/deeper", {}, "/verify/deeper"),
        ("/auth/v1/user", ANON, "/user"),
        ("/auth/v1/user?apikey=anon-key&x=%2F", {}, "/user?apikey=anon-key&x=%2F"),
        ("/auth/v1/a%20b%2Fc", ANON, "/a%20b%2Fc"),
        ("/auth/v1//user/", ANON, "/user/"),
        ("/auth/v1/%E2%82%AC%0D%0Ax", ANON, "/%E2%82%AC%0D%0Ax"),
        ("/auth/v1/", ANON, "/"),
        ("/health/it", PROBE, "/status"),
        ("/health/it?apikey=probe-key&a=b", {}, "/status?a=b"),
    ],
)
def test_routes(kong: httpx.Client, path: str, headers: dict[str, str], seen: str) -> None:
    """The longest path wins, what matched is stripped, and the rest arrives as it was sent."""
    answer = kong.get(path, headers=headers)

    assert (200, seen) == (answer.status_code, answer.json()["path"])


@pytest.mark.parametrize(
    ("path", "headers", "status", "words"),
    [
        ("/nothing", {}, 404, "no Route matched with those values"),
        ("/health/it/below", PROBE, 404, "no Route matched with those values"),
        ("/auth/v1/user", {}, 401, "No API key found in request"),
        ("/auth/v1/user", {"apikey": "wrong"}, 401, "Invalid authentication credentials"),
        ("/auth/v1/user", PROBE, 403, "You cannot consume this service"),
        ("/health/it", ANON, 403, "You cannot consume this service"),
        ("/auth/v1/verify/%2e%2e/admin", {}, 401, "No API key found in request"),
        ("/gone", {}, 502, "An invalid response was received from the upstream server"),
        ("/nowhere", {}, 503, "name resolution failed"),
        ("/ended", {}, 200, "ok"),
    ],
)
def test_answers_of_its_own(
    kong: httpx.Client, path: str, headers: dict[str, str], status: int, words: str
) -> None:
    """What is not let through, or leads nowhere, is answered with Kong's status and words."""
    answer = kong.get(path, headers=headers)

    assert (status, {"message": words}) == (answer.status_code, answer.json())


def test_what_the_service_gets(kong: httpx.Client) -> None:
    """Method, body and headers pass, but who it is, the gateway says; answers pass as they are."""
    headers = ANON | {
        "X-Consumer-Username": "root",
        "Authorization": "Bearer x",
        "X-Forwarded-For": "192.0.2.7",
    }
    answer = kong.post("/auth/v1/token", headers=headers, content=b"some words")
    told = answer.json()

    assert (201, "POST", "some words") == (answer.status_code, told["method"], told["body"])
    assert "anon" == told["headers"]["x-consumer-username"]
    assert "Bearer x" == told["headers"]["authorization"]
    assert "anon-key" == told["headers"]["apikey"]
    assert "kong.test" == told["headers"]["x-forwarded-host"]
    assert "192.0.2.7, 127.0.0.1" == told["headers"]["x-forwarded-for"]
    assert ["a=1", "b=2"] == answer.headers.get_list("set-cookie")
    assert "*" == answer.headers["access-control-allow-origin"]


def test_hidden_key(kong: httpx.Client) -> None:
    """A key that shall be hidden does not reach the service."""
    assert "apikey" not in kong.get("/health/it", headers=PROBE).json()["headers"]


def test_streamed_body(kong: httpx.Client) -> None:
    """A body whose length nobody knows is passed on."""
    answer = kong.post("/auth/v1/token", headers=ANON, content=iter([b"piece by ", b"piece"]))

    assert "chunked" == answer.json()["headers"]["transfer-encoding"]


def test_preflight(kong: httpx.Client) -> None:
    """A browser's preflight is answered by the gateway, without a key."""
    asked = {
        "Origin": "http://app.test",
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "apikey, authorization",
    }
    answer = kong.options("/auth/v1/user", headers=asked)

    assert (200, b"") == (answer.status_code, answer.content)
    assert "*" == answer.headers["access-control-allow-origin"]
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert "apikey, authorization" == answer.headers["access-control-allow-headers"]


def test_limit(kong: httpx.Client) -> None:
    """Requests above the limit of a minute get 429, each address for itself."""
    statuses = [
        kong.get("/few", headers={"X-Real-IP": f"192.0.2.{address}"}).status_code
        for address in (1, 1, 1, 1, 1, 2)
    ]

    # A minute may end among them: then the count begins anew, once.
    assert 429 in statuses
    assert [200, 200] == [statuses[0], statuses[-1]]


def test_metrics(kong: httpx.Client) -> None:
    """Requests are counted by consumer, service and route, told only at the machine's address."""
    kong.get("/auth/v1/counted", headers=ANON)
    direct = kong.get("/metrics", headers={"Host": "127.0.0.1:8100"})
    outside = kong.get("/metrics")
    labels = 'code="200",consumer="anon",route="auth-route",service="auth",source="service"'

    assert f"kong_http_requests_total{{{labels}" in direct.text
    assert "anon-key" not in direct.text
    assert 404 == outside.status_code


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a//b", "/a/b"),
        ("/a/./b/../c/", "/a/c/"),
        ("/../../etc", "/etc"),
        ("/a/%2E%2e/b", "/b"),
        ("/", "/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
    ],
)
def test_normalised(path: str, expected: str) -> None:
    """No path means another than it says."""
    assert expected == normalised(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is neither YAML nor JSON"),
        ("[]", "must be a mapping"),
        ("_format_version: '9'", "_format_version must be one of"),
        (
            '{"_format_version": "3.0", "plugins": [{"name": "ldap-auth"}]}',
            "plugin 'ldap-auth' not enabled",
        ),
        (
            '{"_format_version": "3.0", "acls": [{"consumer": "hidden", "group": "x"}]}',
            "is not Kong's declarative format (KeyError)",
        ),
        (
            '{"services": [{"url": "ftp://x", "routes": [{"paths": ["~/("]}]}]}',
            "a route's path is not a regular expression",
        ),
    ],
)
def test_bad_configuration(text: str, words: str) -> None:
    """A configuration that Kong would not take is refused with the rule, and never shown."""
    variables = {"KONG_DATABASE": "postgres", "KONG_DECLARATIVE_CONFIG_STRING": text}
    process = start("kong", variables)
    _, said = process.communicate(timeout=20)

    assert process.returncode == 1
    assert "  PORT: is required" in said
    assert "  KONG_DATABASE: must be off" in said
    assert words in said
    assert "hidden" not in said
