"""What supabase-js asks of a Supabase, with one of its keys."""

from collections.abc import Callable
from typing import Any

import httpx


class Gateway:
    """Kong by its public name.

    Args:
        client: Makes a client that goes there.
        key: The API key.
        user: The access token of whoever is signed in; nobody is when left out.
    """

    def __init__(self, client: Callable[..., httpx.Client], key: str, user: str = "") -> None:
        self._client = client
        self._key = key
        self._user = user

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request."""
        own = {"apikey": self._key, "Authorization": f"Bearer {self._user or self._key}"}
        headers = {**own, **options.pop("headers", {})}
        with self._client(headers=headers) as client:
            return client.request(method, path, **options)

    def rows(self, table: str, column: str) -> list[Any]:
        """A column of the rows that are shown, in its own order."""
        query = {"select": column, "order": column}
        answer = self.ask("GET", f"/rest/v1/{table}", params=query)
        assert httpx.codes.OK == answer.status_code, answer.text
        return [row[column] for row in answer.json()]

    def count(self, table: str) -> int:
        """How many rows are shown."""
        headers = {"Prefer": "count=exact", "Range": "0-0"}
        answer = self.ask("GET", f"/rest/v1/{table}", headers=headers)
        assert answer.is_success, answer.text
        return int(answer.headers["content-range"].rpartition("/")[2])

    def add(self, table: str, **row: Any) -> httpx.Response:
        """Insert a row."""
        return self.ask("POST", f"/rest/v1/{table}", json=row)

    def sign_up(self, email: str, password: str) -> "Gateway":
        """Sign up, and go on as that user."""
        body = {"email": email, "password": password}
        answer = self.ask("POST", "/auth/v1/signup", json=body)
        assert httpx.codes.OK == answer.status_code, answer.text
        return Gateway(self._client, self._key, answer.json()["access_token"])

    def upload(self, path: str, content: bytes) -> httpx.Response:
        """Put a file into a bucket."""
        headers = {"Content-Type": "text/plain"}
        return self.ask("POST", f"/storage/v1/object/{path}", content=content, headers=headers)

    def download(self, path: str) -> httpx.Response:
        """Get a file."""
        return self.ask("GET", f"/storage/v1/object/{path}")
