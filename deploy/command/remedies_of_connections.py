"""What the reasons of connections to users' clouds mean, and what to do about them."""

from __future__ import annotations

from deploy.command.remedy import Remedy

OF_CONNECTIONS: tuple[Remedy, ...] = (
    Remedy(
        "`AwaitingConsent`",
        "a connection is wished for, and its user has not granted anything",
        "none: only the user can, at `/auth/do`",
    ),
    Remedy(
        "`ConsentRefused`",
        "DigitalOcean did not take the code that the user brought back: it was used, or older "
        "than 10 minutes",
        "none: the user connects again; if it happens to all of them, compare "
        "`DIGITALOCEAN_REDIRECT_URL` with the application's callback URL at DigitalOcean",
    ),
    Remedy(
        "`GrantRevoked` (phase `Revoked`)",
        "DigitalOcean says that the grant has ended: the user took it back, or the answer to a "
        "renewal was lost for good; nothing is asked with it any more",
        "none: only the user can connect again, at `/auth/do`; if many end at once, look at the "
        "application at DigitalOcean before anything else",
    ),
    Remedy(
        "`InUse`",
        "the connection is given up or being deleted, and VPSs need it; the message names them. "
        "The grant stays, and is renewed, until they are gone",
        "delete them (`kubectl delete vps NAME -n ACCOUNT`): their droplets are destroyed, and "
        "then the grant is revoked; or wish for the connection again",
    ),
    Remedy(
        "`AwaitingOutcome`",
        "something was asked of the authorisation server by a controller that did not come back; "
        "its answer may still be on its way",
        "none: looked at again at the time in `status.retry.nextAt`, two minutes later at most",
    ),
    Remedy(
        "`OtherApplication`",
        "the grant was given to another application than `DIGITALOCEAN_CLIENT_ID` names",
        "configure the controllers with the former application again; or have the users connect "
        "anew: `kubectl patch cc digitalocean -n ACCOUNT --type=merge "
        '-p \'{"spec": {"state": "Disconnected"}}\'`',
    ),
    Remedy(
        "`TokenRefused`",
        "DigitalOcean refuses a token: one that it has just given, or one with which a droplet was "
        "looked after",
        "the connection is tried, and renewed if need be, at once, and a VPS goes on when it is; "
        "otherwise every 10 minutes: look whether the user's account is locked",
    ),
    Remedy(
        "`NotConfigured`",
        "no application at DigitalOcean is configured, and there is a grant that was given to one, "
        "or a VPS",
        "set `DIGITALOCEAN_CLIENT_ID`, `DIGITALOCEAN_CLIENT_SECRET` and "
        "`DIGITALOCEAN_REDIRECT_URL` for the controllers",
    ),
)
