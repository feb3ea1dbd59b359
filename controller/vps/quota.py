"""Quota: how many an account may have, by whatever way the rows came."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from controller.engine import Blocked
from controller.vps.tools import VpsScope
from crds.account import Account
from crds.vps import Vps


async def check_quota(scope: VpsScope) -> None:
    """Make no droplet that is over the account's quota; the older rows are the ones within it.

    Raises:
        Blocked: With the quota.
    """
    account = await scope.store.get(Account, scope.namespace)
    most = account.spec.quota.vps
    rows = await scope.store.rows(Vps, namespace=scope.namespace)
    uids = [row["uid"] for row in sorted(rows, key=_age)]
    if scope.uid in uids[most:]:
        scope.object.status.phase = "Blocked"
        raise Blocked("QuotaReached", f"the account may have {most} VPSs")


def _age(row: Mapping[str, Any]) -> tuple[datetime, UUID]:
    return row["creation_timestamp"], row["uid"]
