"""What only DigitalOcean answers; everything else is in `controller.providers.errors`."""

# ruff: noqa: N818 - the names are the conditions that a status shows, not programming errors

from dataclasses import dataclass

from controller.providers.errors import InvalidRequest, ProviderError


class AlreadyInState(InvalidRequest):
    """The droplet is already as the action would have made it: observe, and be content."""


class UnknownKey(InvalidRequest):
    """An SSH key of the request is not known.

    One that was added a moment ago may be answered so too: list the keys, and where it is among
    them ask again in a few seconds.
    """


@dataclass(kw_only=True, eq=False)
class ActionFailed(ProviderError):
    """The action `action_id` was accepted and has ended as `errored`."""

    action_id: int
