"""Keys that stand in for those that a plan cannot read, so that it takes them for the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from controller.devenv.keys import connection_of, make_keys
from controller.devenv.netlify import said, values_of
from controller.devenv.prepared import mark_of
from controller.devenv.rendering import render
from controller.devenv.wanted import variables_of
from crds.connection import Keys, keys_name, variables_name
from crds.devenv import DevEnv
from crds.machine import Machine
from crds.meta import Resource
from crds.secrets import SecretError, Secrets

NOTE: Final = "its keys cannot be read here; planned with others as if they were those on record"


@dataclass(slots=True)
class Prints:
    """Fingerprints, by which what stands in for something has the fingerprint of that.

    Attributes:
        of_others: The fingerprint of anything else.
        known: Fingerprints on record, by what stands in for the value that they are of.
    """

    of_others: Callable[[bytes], str]
    known: dict[bytes, str] = field(default_factory=dict)

    def of(self, value: bytes) -> str:
        """The fingerprint of a value."""
        return self.known.get(value) or self.of_others(value)


class StandIn:
    """Puts keys into the copy for dev environments whose own cannot be read.

    Args:
        secrets: The copy's table of secrets.
        prints: Where the fingerprints on record are made known.
        public_url: The public address of an app.
        rng: Where the keys come from.
    """

    def __init__(
        self,
        secrets: Secrets,
        prints: Prints,
        public_url: Callable[[str], str],
        rng: random.Random,
    ) -> None:
        self._secrets = secrets
        self._prints = prints
        self._public_url = public_url
        self._rng = rng

    async def put(self, objects: Iterable[Resource]) -> list[str]:
        """Put keys and variables where they are needed; says for whom."""
        rows = list(objects)
        machines = {each.key[1:]: each for each in rows if isinstance(each, Machine)}
        notes = []
        for each in rows:
            if isinstance(each, DevEnv) and each.status.keys and not await self._readable(each):
                await self._put(each, machines)
                notes.append(f"{each.key}: {NOTE}")
        return notes

    async def _readable(self, devenv: DevEnv) -> bool:
        name = keys_name(devenv.metadata.name)
        try:
            held = await self._secrets.get(devenv.metadata.namespace, name)
        except SecretError:
            return False
        recorded = devenv.status.keys and devenv.status.keys.fingerprint
        return held is not None and self._prints.of(held) == recorded

    async def _put(self, devenv: DevEnv, machines: Mapping[tuple[str, str], Machine]) -> None:
        status, namespace = devenv.status.keys, devenv.metadata.namespace
        if status is None:
            return
        keys = make_keys(devenv.spec, status.made_at, self._rng.randbytes)
        self._know(keys.to_bytes(), status.fingerprint)
        await self._secrets.put(namespace, keys_name(devenv.metadata.name), keys.to_bytes())
        for service in devenv.status.services:
            machine = machines.get((namespace, service.machine))
            if machine is None or machine.spec.service is None:
                continue
            told = render(devenv.spec, service.name, keys, public_url=self._public_url)
            variables, secret = variables_of(told), machine.spec.service.secrets
            self._know(variables, "" if secret is None else secret.fingerprint)
            await self._secrets.put(namespace, variables_name(service.machine), variables)
            if service.name == "postgres" and machine.status.volume is not None:
                mark = mark_of(status.fingerprint, machine.status.volume.id)
                self._know(mark, status.applied)
        self._know_told(devenv, keys)

    def _know_told(self, devenv: DevEnv, keys: Keys) -> None:
        """What users and the front end were told."""
        partial = devenv.status.connection == "Partial"
        told = connection_of(devenv.spec, keys, self._public_url, partial=partial)
        self._know(told.to_bytes(), devenv.status.told)
        if devenv.spec.netlify is not None and devenv.status.netlify is not None:
            values = values_of(devenv.spec, keys, self._public_url)
            self._know(said(devenv.spec.netlify, values), devenv.status.netlify.fingerprint)

    def _know(self, value: bytes, fingerprint: str) -> None:
        if fingerprint:
            self._prints.known[value] = fingerprint
