"""What a plan knows of the controller's settings, from which machines are configured."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.fernet import Fernet
from pydantic import ValidationError

from controller.settings import Settings
from crds.credentials import FINGERPRINT_KEY, HUB_KEYS, SYSTEM, Fingerprinter, MachineTokens
from crds.secrets import Cipher, SecretError, Secrets
from crds.store import Store

# Opens nothing: the agents of a plan are simulated.
STAND_IN = MachineTokens({"1": b"of a plan"})
STAND_IN_FINGERPRINTS = Fingerprinter(b"of a plan")


@dataclass(frozen=True, slots=True)
class Known:
    """What goes into every machine's configuration besides its own spec.

    Attributes:
        complete: Whether these are the controller's own; then what a configuration should be can be
            told from what it is. Else every configuration counts as the one on record.
        installation: Whose marks count; None when that is to be found out from the rows.
        tokens: Issues the machines' tokens.
        agent_env: What every machine's agent is told.
        fingerprints: Stand in rows for what is secret.
        cipher: Decrypts secrets; one that fits none of them when the controller's is not known.
        front_ends: Whether there is a token that opens front ends.
        droplets: Whether there is an application that users can grant to.
    """

    complete: bool = False
    installation: str | None = None
    tokens: MachineTokens = STAND_IN
    agent_env: Mapping[str, str] = field(default_factory=dict)
    fingerprints: Fingerprinter = STAND_IN_FINGERPRINTS
    cipher: Cipher = field(default_factory=lambda: Cipher([Fernet(Fernet.generate_key())]))
    front_ends: bool = True
    droplets: bool = True

    @classmethod
    async def load(cls, store: Store, environ: Mapping[str, str]) -> Known:
        """Read the controller's settings, as far as the environment has them.

        Args:
            store: Where the key of the machines' tokens is; only read.
            environ: The environment.
        """
        installation = environ.get("INVOKER_INSTALLATION") or None
        try:
            settings = _settings(environ)
            cipher = Cipher.from_keys(settings.encryption_keys.get_secret_value())
            secrets = Secrets(store, cipher)
            held = await secrets.get(SYSTEM, HUB_KEYS)
            key = await secrets.get(SYSTEM, FINGERPRINT_KEY)
        except (ValidationError, SecretError):
            return cls(installation=installation)
        if held is None:
            return cls(installation=installation)
        keys = {key: base64.b64decode(value) for key, value in json.loads(held).items()}
        tokens = MachineTokens(keys)
        prints = STAND_IN_FINGERPRINTS if key is None else Fingerprinter(key)
        return cls(
            complete=True,
            installation=settings.installation,
            tokens=tokens,
            agent_env=settings.agent_env,
            fingerprints=prints,
            cipher=cipher,
            front_ends=settings.netlify_token is not None,
            droplets=bool(settings.digitalocean_client_id),
        )


def _settings(environ: Mapping[str, str]) -> Settings:
    aliases = [str(each.alias) for each in Settings.model_fields.values()]
    return Settings(**{name: environ[name] for name in aliases if environ.get(name)})  # type: ignore[arg-type]  # pydantic checks them
