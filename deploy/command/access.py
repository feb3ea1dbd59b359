"""Ways in: tokens of our own, and files that hand them to kubectl."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509

from crds.access import ROLES, AccessToken, AccessTokens, Role
from crds.errors import Cause, InvalidError
from deploy.command import kubeconfig as kubeconfigs
from deploy.command.frame import CommandError, framed, note, run, usage
from deploy.command.output import Form, Output, ago, camel, show, show_json, table, until
from deploy.command.place import Place, State, person, state_of

SPANS = {"m": "minutes", "h": "hours", "d": "days"}
LIFETIME = re.compile(r"([1-9][0-9]{0,5})([mhd])")

tokens = typer.Typer(
    help="Tokens of our own, for programs and for kubectl.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RoleOption = Annotated[str, typer.Option("--role", help=f"What it may do: {', '.join(ROLES)}.")]
AccountOption = Annotated[
    str,
    typer.Option("--account", help="Whose namespace it opens; not for platform-wide roles."),
]
LifetimeOption = Annotated[
    str, typer.Option("--lifetime", help="How long it is valid: 90m, 12h or 30d.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(kubeconfig)
    app.add_typer(tokens, name="token")


def kubeconfig(
    *,
    server: Annotated[
        str | None, typer.Option(help="The API's address for kubectl, https://…")
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(help="The certificate authority that signed the API's certificate, PEM."),
    ] = None,
    token_name: Annotated[
        str | None,
        typer.Option(help="What the token is called.", show_default="kubeconfig of <you>"),
    ] = None,
    role: RoleOption = "platform-admin",
    account: AccountOption = "",
    lifetime: LifetimeOption = "30d",
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write, or to add to; standard output without it."),
    ] = None,
    context: Annotated[str, typer.Option(help="What cluster, user and context are called.")] = (
        "invoker"
    ),
    state: State = None,
) -> None:
    """Write a kubeconfig for a remote API, with a token of its own.

    A file that is there keeps what else it holds; it is readable by its owner only.
    Without --server it says where the local stack's own kubeconfig is.
    """
    if server is None:
        with framed():
            show(str(local_kubeconfig(state)))
        return
    with framed():
        authority = _authority(ca)
        if not server.startswith("https://"):
            raise usage("--server: must be an https:// URL")
        before = kubeconfigs.read(out) if out else {}
    name = token_name or f"kubeconfig of {person()}"
    secret, _ = run(lambda: _issue(Place.found(state), name, role, account, lifetime))
    entry = kubeconfigs.Entry(context, server, authority, secret)
    text = kubeconfigs.to_text(kubeconfigs.merged(before, entry))
    if out is None:
        show(text.rstrip("\n"))
        return
    with framed():
        kubeconfigs.write(out, text)
    note(f"wrote {out}; use it with KUBECONFIG={out}")


def local_kubeconfig(state: Path | None) -> Path:
    """Where the local stack's API writes its own.

    Raises:
        CommandError: It is not there.
    """
    path = state_of(state) / "kubeconfig"
    if not path.is_file():
        raise CommandError(
            f"there is no {path}: start the local stack, or name a remote API with --server"
        )
    return path


@tokens.command("create")
def create(
    *,
    name: Annotated[str, typer.Option(help="What it is for.")],
    role: RoleOption,
    account: AccountOption = "",
    lifetime: LifetimeOption = "30d",
    output: Output = Form.TABLE,
    state: State = None,
) -> None:
    """Make a token; it is printed once, to standard output, and nothing else is."""
    secret, kept = run(lambda: _issue(Place.found(state), name, role, account, lifetime))
    if output is Form.JSON:
        show_json({"token": secret, **camel(kept)})
    else:
        show(secret)
    note(f"token {kept.id} for {kept.role}, valid until {kept.expires_at:%Y-%m-%d %H:%M} UTC")
    note("it cannot be shown again; revoke it with `invoker token revoke " + kept.id + "`")


@tokens.command("list")
def list_tokens(*, output: Output = Form.TABLE, state: State = None) -> None:
    """List tokens, newest first, without their secret parts."""

    async def read() -> tuple[Sequence[AccessToken], Any]:
        async with Place.found(state).store() as store:
            return await AccessTokens(store).list(), store.clock.now()

    found, now = run(read)
    if output is Form.JSON:
        show_json([camel(token) for token in found])
        return
    rows = [
        (
            token.id,
            token.name,
            token.role,
            token.account or None,
            token.created_by,
            "revoked" if token.revoked_at else until(token.expires_at, now),
            ago(token.last_used_at, now),
        )
        for token in found
    ]
    headings = ("ID", "Name", "Role", "Account", "Created by", "Expires", "Last used")
    show(table(headings, rows))


@tokens.command("revoke")
def revoke(
    token: Annotated[str, typer.Argument(help="The token's public id, as listed.")],
    *,
    state: State = None,
) -> None:
    """Refuse a token, and the sessions opened with it, from this moment."""

    async def end() -> None:
        async with Place.found(state).store() as store:
            await AccessTokens(store).revoke(token)

    run(end)
    note(f"token {token} is revoked")


async def _issue(
    place: Place, name: str, role: str, account: str, lifetime: str
) -> tuple[str, AccessToken]:
    async with place.store() as store:
        return await AccessTokens(store).issue(
            name,
            _role(role),
            lifetime=_lifetime(lifetime),
            account=account,
            created_by=person(),
        )


def _role(word: str) -> Role:
    for role in ROLES:
        if role == word:
            return role
    raise InvalidError([Cause("role", f"must be one of {', '.join(ROLES)}")])


def _lifetime(text: str) -> timedelta:
    found = LIFETIME.fullmatch(text)
    if found is None:
        raise usage("--lifetime: must be a number of m, h or d, such as 30d")
    return timedelta(**{SPANS[found[2]]: int(found[1])})


def _authority(ca: Path | None) -> bytes | None:
    """The PEM of a certificate authority.

    Raises:
        CommandError: The file is not one.
    """
    if ca is None:
        return None
    try:
        pem = ca.read_bytes()
        x509.load_pem_x509_certificates(pem)
    except OSError as error:
        raise usage(f"--ca: {ca}: {error.strerror}") from None
    except ValueError:
        raise usage(f"--ca: {ca}: is not a certificate in PEM") from None
    return base64.b64encode(pem)
