"""What the machine's environment tells the agent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    SecretStr,
    TypeAdapter,
    ValidationError,
)


class SettingsError(ValueError):
    """The environment is not usable; the message lists everything that is wrong with it."""


_HTTP_URL: TypeAdapter[AnyHttpUrl] = TypeAdapter(AnyHttpUrl)


def _http_url(text: str) -> str:
    _HTTP_URL.validate_python(text)
    return text.rstrip("/")


HttpUrl = Annotated[str, AfterValidator(_http_url)]
Text = Annotated[str, Field(min_length=1)]


class EdgeKeys(BaseModel):
    """The public JWK set of the edge."""

    model_config = ConfigDict(frozen=True)

    keys: list[dict[str, Any]] = Field(min_length=1)


class Settings(BaseModel):
    """The agent's settings, one field an environment variable."""

    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=True)

    machine: Text = Field(alias="INVOKER_MACHINE_ID")
    owner: Text = Field(alias="INVOKER_OWNER")
    api_url: HttpUrl = Field(alias="INVOKER_API_URL")
    machine_token: SecretStr = Field(alias="INVOKER_MACHINE_TOKEN", min_length=16)
    jwks_url: HttpUrl = Field(alias="INVOKER_JWKS_URL")
    jwt_issuer: Text = Field(alias="INVOKER_JWT_ISSUER")
    jwt_audience: Text = Field(alias="INVOKER_JWT_AUDIENCE", default="authenticated")
    edge_keys: Json[EdgeKeys] = Field(alias="INVOKER_EDGE_JWKS")
    version: Text = Field(alias="APP_VERSION", default="0.0.0")
    port: int = Field(alias="PORT", default=8080, ge=1, le=65535)
    bind: Text = Field(alias="INVOKER_BIND", default="127.0.0.1")
    data_dir: Path = Field(alias="INVOKER_DATA_DIR", default=Path("/data"))

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read and check the settings; a variable that is empty counts as unset.

        Raises:
            SettingsError: Something is missing or wrong. Values are not repeated in the message.
        """
        try:
            return cls.model_validate({key: value for key, value in environ.items() if value})
        except ValidationError as error:
            lines = [
                f"  {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
                for problem in error.errors(include_input=False, include_context=False)
            ]
            raise SettingsError("\n".join(["the agent cannot start:", *lines])) from None
