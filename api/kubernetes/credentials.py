"""What the operators' port needs on disk: its certificate, and a kubeconfig for this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from api.context import Api
from api.kubernetes.certificates import Authority, write_private
from crds.access import AccessTokens
from crds.kubeconfig import kubeconfig, token_of
from crds.secrets import Secrets

TOKEN_AGE: Final = timedelta(days=365)
# A kubeconfig that is about to expire is made anew when the API starts.
TOKEN_LEFT: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Files:
    """Where things are.

    Attributes:
        authority: The authority's certificate.
        certificate: The server's certificate.
        key: Its key.
        kubeconfig: The kubeconfig of this machine; None when no state is kept. Its token is in a
            file beside it, `token`, for the console.
    """

    authority: Path
    certificate: Path
    key: Path
    kubeconfig: Path | None


@contextmanager
def directory(state: Path | None) -> Iterator[tuple[Path, bool]]:
    """Where to put files, and whether they stay."""
    if state is not None:
        state.mkdir(mode=0o711, parents=True, exist_ok=True)
        yield state, True
        return
    with tempfile.TemporaryDirectory(prefix="invoker-tls-") as made:
        yield Path(made), False


async def prepare(api: Api, place: Path, *, keep: bool) -> Files:
    """Issue the server's certificate and, if files are kept, a kubeconfig.

    Args:
        api: The open API.
        place: Where files go.
        keep: Whether they stay there.

    Raises:
        SecretError: The authority cannot be decrypted with the configured keys.
    """
    now = api.store.clock.now()
    authority = await Authority.load(Secrets(api.store, api.cipher), now)
    certificate, key = authority.issue(api.settings.kubernetes_names, now)
    files = Files(
        authority=place / "ca.crt",
        certificate=place / "tls.crt",
        key=place / "tls.key",
        kubeconfig=place / "kubeconfig" if keep else None,
    )
    write_private(files.authority, authority.pem)
    write_private(files.certificate, certificate)
    write_private(files.key, key)
    if files.kubeconfig is not None:
        token = await _token(api, _held(files.kubeconfig), place.name)
        write_private(files.kubeconfig, kubeconfig(_server(api), authority.pem, token))
        write_private(files.kubeconfig.with_name("token"), f"{token}\n")
    return files


def _held(path: Path) -> str | None:
    """The token that an earlier kubeconfig holds."""
    return token_of(path.read_text(encoding="utf-8")) if path.exists() else None


async def _token(api: Api, held: str | None, place: str) -> str:
    """A platform admin's token: the one that is held, if it is good for long."""
    tokens = AccessTokens(api.store)
    known = await tokens.verify(held) if held else None
    if held and known and known.expires_at - api.store.clock.now() >= TOKEN_LEFT:
        return held
    token, _ = await tokens.issue(
        f"kubeconfig in {place or 'the root'}"[:100],
        "platform-admin",
        lifetime=TOKEN_AGE,
        created_by="api",
    )
    return token


def _server(api: Api) -> str:
    host = api.settings.host
    everywhere = host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
    return f"https://{'127.0.0.1' if everywhere else host}:{api.settings.kubernetes_port}"
