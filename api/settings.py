"""The API's settings: environment variables, checked once at start."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from crds.secrets import Cipher


class SettingsError(Exception):
    """Settings are wrong; the message lists every problem and repeats no value."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"The API cannot start, its settings are wrong:\n{lines}")


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
    except Exception:  # noqa: BLE001 - whatever the reason, its words may hold the key
        raise ValueError(
            "must be one or more Fernet keys with commas between them, the newest first"
        ) from None
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
Secret = Annotated[SecretStr, Field(min_length=1)]


class Settings(BaseSettings):
    """What the API needs to know from its environment; an empty variable counts as unset."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    database_url: Annotated[SecretStr, AfterValidator(_postgres_url)] = Field(alias="DATABASE_URL")
    domain: str = Field(alias="INVOKER_DOMAIN", pattern=r"^[a-z0-9.-]+$")
    edge_scheme: Literal["http", "https"] = Field(default="https", alias="INVOKER_EDGE_SCHEME")
    edge_public_port: int | None = Field(
        default=None, alias="INVOKER_EDGE_PUBLIC_PORT", ge=1, le=65535
    )
    supabase_url: HttpUrl = Field(alias="SUPABASE_URL")
    supabase_anon_key: Secret = Field(alias="SUPABASE_ANON_KEY")
    # HS256 takes a shared secret; RFC 7518, 3.2 wants at least the hash's 256 bits.
    supabase_jwt_secret: SecretStr | None = Field(
        default=None, alias="SUPABASE_JWT_SECRET", min_length=32
    )
    edge_token: Annotated[SecretStr, Field(min_length=16)] = Field(alias="INVOKER_EDGE_TOKEN")
    encryption_keys: Annotated[SecretStr, AfterValidator(_usable_keys)] = Field(
        alias="INVOKER_ENCRYPTION_KEYS"
    )
    host: str = Field(default="127.0.0.1", alias="INVOKER_API_HOST")
    port: int = Field(default=8080, alias="INVOKER_API_PORT", ge=0, le=65535)
    log_format: Literal["json", "text"] = Field(default="json", alias="INVOKER_LOG_FORMAT")
    otlp_endpoint: HttpUrl | None = Field(default=None, alias="OTEL_EXPORTER_OTLP_ENDPOINT")

    @property
    def issuer(self) -> str:
        """The `iss` of every access token."""
        return f"{self.supabase_url}/auth/v1"

    def public_url(self, subdomain: str) -> str:
        """Where a subdomain answers for browsers."""
        port = f":{self.edge_public_port}" if self.edge_public_port else ""
        return f"{self.edge_scheme}://{subdomain}.{self.domain}{port}"

    @classmethod
    def load(cls) -> Settings:
        """Read the environment.

        Raises:
            SettingsError: Naming every variable that is missing or wrong, and its rule.
        """
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError(_in_words(error)) from None


def _in_words(error: ValidationError) -> list[str]:
    details = error.errors(include_url=False, include_input=False, include_context=False)
    return [f"{detail['loc'][0]}: {_rule(detail['type'], detail['msg'])}" for detail in details]


def _rule(kind: str, message: str) -> str:
    return "is not set" if kind == "missing" else message.removeprefix("Value error, ")
