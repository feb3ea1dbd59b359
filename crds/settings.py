"""Settings of the processes: environment variables, checked once at start, all problems at once."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from crds.logs import LogLevel
from crds.secrets import Cipher, SecretError

V = TypeVar("V")


class SettingsError(Exception):
    """Settings are wrong; the message lists every problem and repeats no value."""

    def __init__(self, program: str, problems: list[str]) -> None:
        self.problems = problems
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{program} cannot start, its settings are wrong:\n{lines}")


def _http_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must be an http:// or https:// URL")
    return value.rstrip("/")


def _postgres_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgres://", "postgresql://")):
        raise ValueError("must be a postgresql:// URL")
    return value


def _usable_keys(value: SecretStr) -> SecretStr:
    try:
        Cipher.from_keys(value.get_secret_value())
    except (SecretError, ValueError):
        # Whatever is wrong, its words may hold the key.
        raise ValueError(
            "must be one or more Fernet keys with commas between them, the newest first"
        ) from None
    return value


def _beside_application(value: V, info: ValidationInfo) -> V:
    if value is None and info.data.get("digitalocean_client_id"):
        raise ValueError("is not set, but DIGITALOCEAN_CLIENT_ID is")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
Secret = Annotated[SecretStr, Field(min_length=1)]
PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]
EncryptionKeys = Annotated[SecretStr, AfterValidator(_usable_keys)]
Port = Annotated[int, Field(ge=0, le=65535)]
# What the application at DigitalOcean needs besides its id.
BesideApplication = AfterValidator(_beside_application)


class ProcessSettings(BaseSettings):
    """What every process needs to know; an empty variable counts as unset.

    A process subclasses it with its own variables and its name.
    """

    PROGRAM: ClassVar[str] = "The process"

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    database_url: PostgresUrl = Field(alias="DATABASE_URL")
    domain: str = Field(alias="INVOKER_DOMAIN", pattern=r"^[a-z0-9.-]+$")
    edge_scheme: Literal["http", "https"] = Field(default="https", alias="INVOKER_EDGE_SCHEME")
    edge_public_port: int | None = Field(
        default=None, alias="INVOKER_EDGE_PUBLIC_PORT", ge=1, le=65535
    )
    # Where the control plane reaches the Worker's bare domain, if not where everybody does.
    edge_url: HttpUrl | None = Field(default=None, alias="INVOKER_EDGE_URL")
    # Proves the Worker to the API, and the control plane to the Worker.
    edge_token: Annotated[SecretStr, Field(min_length=16)] = Field(alias="INVOKER_EDGE_TOKEN")
    encryption_keys: EncryptionKeys = Field(alias="INVOKER_ENCRYPTION_KEYS")
    supabase_url: HttpUrl = Field(alias="SUPABASE_URL")
    log_format: Literal["json", "text"] = Field(default="json", alias="INVOKER_LOG_FORMAT")
    # `debug` adds a line for every read of a provider.
    log_level: LogLevel = Field(default="info", alias="INVOKER_LOG_LEVEL")
    # Who scrapes /metrics must show it; without one whoever reaches the port may.
    metrics_token: Annotated[SecretStr, Field(min_length=16)] | None = Field(
        default=None, alias="INVOKER_METRICS_TOKEN"
    )
    # The application that is registered at DigitalOcean, on whose behalf users are asked for
    # grants; without it nobody can connect. They come back to the redirect URL, as registered.
    digitalocean_client_id: str = Field(default="", alias="DIGITALOCEAN_CLIENT_ID", max_length=200)
    digitalocean_redirect_url: Annotated[HttpUrl | None, BesideApplication] = Field(
        default=None, alias="DIGITALOCEAN_REDIRECT_URL", validate_default=True
    )
    digitalocean_oauth_url: HttpUrl = Field(
        default="https://cloud.digitalocean.com/v1/oauth", alias="DIGITALOCEAN_OAUTH_URL"
    )
    otlp_endpoint: HttpUrl | None = Field(default=None, alias="OTEL_EXPORTER_OTLP_ENDPOINT")

    @property
    def issuer(self) -> str:
        """The `iss` of every access token."""
        return f"{self.supabase_url}/auth/v1"

    @property
    def jwks_url(self) -> str:
        """Where the keys of access tokens are."""
        return f"{self.issuer}/.well-known/jwks.json"

    def public_url(self, subdomain: str) -> str:
        """Where a subdomain answers for browsers."""
        return f"{self.edge_scheme}://{subdomain}.{self._public_host}"

    @property
    def front_url(self) -> str:
        """Where the bare domain answers, for browsers and for gateways."""
        return f"{self.edge_scheme}://{self._public_host}"

    @property
    def hub_url(self) -> str:
        """Where the control plane sends commands for gateways."""
        return self.edge_url or self.front_url

    @property
    def gateway_url(self) -> str:
        """Where gateways connect (docs/protocols.md)."""
        return f"{self.front_url.replace('http', 'ws', 1)}/gw/connect"

    @property
    def _public_host(self) -> str:
        return f"{self.domain}:{self.edge_public_port}" if self.edge_public_port else self.domain

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises:
            SettingsError: Naming every variable that is missing or wrong, and its rule.
        """
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError(cls.PROGRAM, cls._in_words(error)) from None

    @classmethod
    def _in_words(cls, error: ValidationError) -> list[str]:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        return [
            f"{cls._variable(detail['loc'])}: {_rule(detail['type'], detail['msg'])}"
            for detail in details
        ]

    @classmethod
    def _variable(cls, place: tuple[int | str, ...]) -> str:
        """The variable; of a default that breaks a rule, pydantic names the field."""
        name = str(place[0]) if place else "settings"
        field = cls.model_fields.get(name)
        return (field and field.alias) or name


def _rule(kind: str, message: str) -> str:
    return "is not set" if kind == "missing" else message.removeprefix("Value error, ")
