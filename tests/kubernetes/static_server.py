"""What is served, as it is, for the real kubectl to look at: a server in a thread of the test's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from api.kubernetes import discovery, openapi
from api.kubernetes.served import Served

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request beside those for discovery."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: bytes

    def json(self) -> Json:
        """The body."""
        found: Json = json.loads(self.body)
        return found


Answer = Callable[[Asked], tuple[int, Json]]


@dataclass(frozen=True, slots=True)
class Static:
    """A server of documents.

    Attributes:
        documents: What is answered, by path.
        asked: What was asked beside them.
    """

    url: str
    documents: dict[str, Json]
    asked: list[Asked] = field(default_factory=list)


def documents(served: Sequence[Served]) -> dict[str, Json]:
    """Discovery and OpenAPI of what is served, by path."""
    found = {
        **discovery.aggregated(served),
        "/version": discovery.version(),
        "/openapi/v3": openapi.index(served),
    }
    for group, version in {(each.group, each.version) for each in served}:
        path = f"apis/{group}/{version}" if group else f"api/{version}"
        found[f"/{path}"] = discovery.resource_list(group, version, served) or {}
        found[f"/openapi/v3/{path}"] = openapi.document(group, version, served) or {}
    return found


@contextmanager
def serving(served: Sequence[Served], answer: Answer) -> Iterator[Static]:
    """Serve for as long as the context lasts.

    Args:
        served: What discovery and OpenAPI tell of.
        answer: Answers everything else.
    """
    static = Static("", documents(served))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """A document, or what the test answers."""
            path = urlsplit(self.path).path
            if path in static.documents:
                self._send(200, static.documents[path])
            else:
                self.do_POST()

        def do_POST(self) -> None:
            """What the test answers."""
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Asked(self.command, url.path, parse_qs(url.query), body)
            static.asked.append(asked)
            self._send(*answer(asked))

        do_PATCH = do_PUT = do_DELETE = do_POST  # noqa: N815 - the same

        def _send(self, code: int, body: Json) -> None:
            encoded = json.dumps(body).encode()
            aggregated = body.get("kind") == "APIGroupDiscoveryList"
            self.send_response(code)
            type_ = discovery.AGGREGATED if aggregated else discovery.PLAIN
            self.send_header("Content-Type", type_)
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
            """Stay quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}"
            yield Static(url, static.documents, static.asked)
        finally:
            server.shutdown()
            thread.join()


def run(
    binary: Path, server: Static, home: Path, *arguments: str, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a kubectl against a server."""
    return subprocess.run(  # noqa: S603 - the binary and the words are the test's
        [binary, f"--server={server.url}", f"--cache-dir={home}/cache", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", **environment},
    )
