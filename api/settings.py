"""The API's settings."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, SecretStr

from crds.settings import Port, ProcessSettings, Secret


class Settings(ProcessSettings):
    """What the API needs to know from its environment."""

    PROGRAM: ClassVar[str] = "The API"

    supabase_anon_key: Secret = Field(alias="SUPABASE_ANON_KEY")
    # HS256 takes a shared secret; RFC 7518, 3.2 wants at least the hash's 256 bits.
    supabase_jwt_secret: SecretStr | None = Field(
        default=None, alias="SUPABASE_JWT_SECRET", min_length=32
    )
    edge_token: Annotated[SecretStr, Field(min_length=16)] = Field(alias="INVOKER_EDGE_TOKEN")
    host: str = Field(default="127.0.0.1", alias="INVOKER_API_HOST")
    port: Port = Field(default=8080, alias="INVOKER_API_PORT")
