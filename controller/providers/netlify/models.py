"""What is said to Netlify, and the parts of its answers that decisions are made from.

What is read and what is written are different types: a secret's value cannot be read back, so a
variable that was read and then written again would lose it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    StringConstraints,
    model_validator,
)

Context = Literal[
    "all", "dev", "dev-server", "branch-deploy", "deploy-preview", "production", "branch"
]
Scope = Literal["builds", "functions", "runtime", "post-processing"]

READABLE = frozenset({"dev", "dev-server"})
"""The contexts whose value stays readable in a secret: those of local development."""
FAILED_DEPLOYS = frozenset({"error", "rejected"})
"""States of a deploy that will not be published any more."""

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

Name = Annotated[str, StringConstraints(min_length=1)]
Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
Flag = Annotated[bool, BeforeValidator(lambda value: False if value is None else value)]


def checked_key(key: str) -> str:
    """Return a variable's name.

    Raises:
        ValueError: It is none. An empty one would turn the address of one variable into the
            address of all.
    """
    if not _KEY.fullmatch(key):
        raise ValueError("key: a letter, then letters, digits and underscores")
    return key


@dataclass(frozen=True, slots=True)
class SiteRef:
    """A site within its team; every operation on variables needs one.

    Without the site Netlify takes the same request as an edit of the whole team's variables
    (PROVIDERS.md), therefore neither part can be empty.

    Attributes:
        account: The team's id or slug.
        site: The site's id.

    Raises:
        ValueError: One of them is empty.
    """

    account: str
    site: str

    def __post_init__(self) -> None:
        for name in ("account", "site"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name}: must not be empty")


@dataclass(frozen=True, slots=True)
class NewValue:
    """One value to write; the value itself is in no `repr`.

    Attributes:
        value: The value; empty to blank it.
        context: The deploys that see it.
        branch: The branch's name, exactly when the context is `branch`.
    """

    value: str = field(repr=False)
    context: Context = "all"
    branch: str = ""

    def __post_init__(self) -> None:
        if (self.context == "branch") != bool(self.branch):
            raise ValueError("branch: goes with the context `branch`, and only with it")

    def body(self) -> dict[str, str]:
        """Return it as Netlify takes it."""
        more = {"context_parameter": self.branch} if self.branch else {}
        return {"context": self.context, "value": self.value, **more}


@dataclass(frozen=True, slots=True)
class NewVariable:
    """A variable with all of its values.

    Attributes:
        key: The name, case-sensitive.
        values: Every value that it has afterwards.
        is_secret: Whether only code on Netlify's own systems can read it.
            Not for what ends up in the site's files, such as `VITE_*`: Netlify scans them for
            secrets, and the build fails.
        scopes: Where it is seen; None leaves all, the only choice on some plans.

    Raises:
        ValueError: Something that Netlify's own tool refuses as well: a secret for the contexts
            `all` or in the scope `post-processing`.
    """

    key: str
    values: tuple[NewValue, ...]
    is_secret: bool = False
    scopes: tuple[Scope, ...] | None = None

    def __post_init__(self) -> None:
        checked_key(self.key)
        if not self.values:
            raise ValueError("values: at least one")
        if self.is_secret and any(value.context == "all" for value in self.values):
            raise ValueError("values: a secret names its contexts one by one")
        if self.is_secret and "post-processing" in (self.scopes or ()):
            raise ValueError("scopes: a secret is not seen in post-processing")

    def body(self) -> dict[str, Any]:
        """Return it as Netlify takes it."""
        more = {} if self.scopes is None else {"scopes": list(self.scopes)}
        values = [value.body() for value in self.values]
        return {"key": self.key, "is_secret": self.is_secret, "values": values, **more}


class Model(BaseModel):
    """An answer: frozen, unknown fields ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class BuildSettings(Model):
    """How a site is built; `stop_builds` is its owner's switch."""

    stop_builds: Flag = False
    repo_branch: Text = ""


class Deploy(Model):
    """One deploy: what a build made, or is still making."""

    id: Name
    site_id: Text = ""
    build_id: Text = ""
    state: Text = ""
    error_message: Text = ""
    title: Text = ""
    context: Text = ""
    created_at: datetime | None = None
    published_at: datetime | None = None

    @property
    def ready(self) -> bool:
        """Whether it can be visited at its own address.

        Visitors of the site see `Site.published_deploy`, which stays behind where publishing is
        locked by hand.
        """
        return self.state == "ready"

    @property
    def failed(self) -> bool:
        """Whether nothing will come of it."""
        return self.state in FAILED_DEPLOYS


class Site(Model):
    """A site."""

    id: Name
    account_id: Name
    name: Text = ""
    ssl_url: Text = ""
    build_settings: Annotated[BuildSettings, BeforeValidator(lambda value: value or {})] = Field(
        default=BuildSettings()
    )
    published_deploy: Deploy | None = None

    @property
    def ref(self) -> SiteRef:
        """Its place, which every operation on variables needs."""
        return SiteRef(self.account_id, self.id)


class Value(Model):
    """One value; `value` is None where Netlify does not tell it."""

    id: Text = ""
    value: str | None = Field(default=None, repr=False)
    context: Text = "all"
    context_parameter: Text = ""


class Variable(Model):
    """A variable as it can be read.

    A secret's values are None, whatever stands in the answer in their place, except those of
    local development: compare with `Fingerprints` instead.
    `updated_at` moves with every write, ours and others'.
    """

    key: Name
    is_secret: Flag = False
    scopes: Annotated[tuple[str, ...], BeforeValidator(lambda value: value or ())] = ()
    values: Annotated[tuple[Value, ...], BeforeValidator(lambda value: value or ())] = ()
    updated_at: datetime | None = None

    @model_validator(mode="after")
    def _hide(self) -> Self:
        if self.is_secret:
            hidden = tuple(_hidden(value) for value in self.values)
            object.__setattr__(self, "values", hidden)
        return self

    def value(self, context: Context = "all", branch: str = "") -> Value | None:
        """Return the value that was set for exactly this context, None if there is none."""
        wanted = (context, branch)
        return next((v for v in self.values if (v.context, v.context_parameter) == wanted), None)


class VariableList(RootModel[list[Variable]]):
    """A list of variables."""


class DeployList(RootModel[list[Deploy]]):
    """A list of deploys."""


class Build(Model):
    """A build; `deploy_id` is where its outcome shows."""

    id: Name
    deploy_id: Text = ""
    done: Flag = False
    error: Text = ""
    created_at: datetime | None = None


def _hidden(value: Value) -> Value:
    return value if value.context in READABLE else value.model_copy(update={"value": None})


def values_of(body: Any) -> set[str]:
    """Return the variables' values in a request's body: what no error may repeat."""
    if isinstance(body, list):
        return {value for item in body for value in values_of(item)}
    if not isinstance(body, Mapping):
        return set()
    own = {body["value"]} if isinstance(body.get("value"), str) else set()
    return own | values_of(body.get("values"))
