"""Listings: of apps, of an app's machines and volumes, of the whole organization's."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from deploy.local.simulators.clock import from_rfc3339, rfc3339
from deploy.local.simulators.fly.health import Health
from deploy.local.simulators.fly.state import TERMINAL, FlyError
from deploy.local.simulators.fly.views import overview
from deploy.local.simulators.wire import Call

_PAGE = 1000
_EMPTY = "0"
_INSTANT = len("2026-01-01T00:00:00.000000Z")
Entry = tuple[str, dict[str, Any]]  # app name, view


class Lists(Health):
    """Everything that `stale_lists` makes old."""

    def list_apps(self, call: Call) -> dict[str, Any]:
        """Return the organization's apps, all at once or (with `limit`) by page.

        Raises:
            FlyError: 403 for another organization.
        """
        self._check_org(call.first("org_slug"))
        shown = self.history.all("app", self.stale_lists)
        ours = sorted(n for n, view in shown.items() if view["organization"]["slug"] == self.org)
        visible = [name for name in ours if self._visible(name)]
        after = _decode(call.first("cursor"))
        rest = [name for name in visible if name > after]
        page = rest[: int(call.first("limit") or len(rest) or 1)]
        cursor = _encode(page[-1]) if len(page) < len(rest) else ""
        apps = [shown[name] for name in page]
        return {"apps": apps, "total_apps": len(visible), "next_cursor": cursor}

    def list_machines(self, app_name: str, call: Call) -> list[dict[str, Any]]:
        """Return an app's machines, as many as match the filters."""
        app = self.app(app_name)
        if self.stale_lists or call.flag("include_deleted"):
            shown = self.history.all("machine", self.stale_lists)
            views = [view for of, view in shown.values() if of == app_name]
        else:
            views = [
                self.with_checks(self.shown("machine", key), self.machines[key])
                for key in app.machines
            ]
        found = [view for view in views if _matches(view, call)]
        if call.flag("summary"):
            return [view | {"config": None} for view in found]
        return found

    def list_volumes(self, app_name: str, call: Call) -> list[dict[str, Any]]:
        """Return an app's volumes, those on their way out included."""
        del call
        app = self.app(app_name)
        if not self.stale_lists:
            return [self.shown("volume", key) for key in app.volumes]
        shown = self.history.all("volume", self.stale_lists)
        return [view for of, view in shown.values() if of == app_name]

    def list_org_machines(self, org: str, call: Call) -> dict[str, Any]:
        """Return a page of the organization's machines, least recently changed first."""
        self._check_org(org)
        shown = self._with_late(self._shown("machine"))
        page, cursor = self._page(self._ours(shown, call), call)
        summary = call.flag("summary")
        machines = [overview(app, view, summary=summary) for app, view in page]
        last = page[-1][1] if page else None
        return {
            "machines": machines,
            "next_cursor": cursor,
            "last_machine_id": last["id"] if last else "",
            "last_updated_at": last["updated_at"] if last else "",
            "error_regions": sorted(self.error_regions) or None,
        }

    def list_org_volumes(self, org: str, call: Call) -> dict[str, Any]:
        """Return a page of the organization's volumes, least recently changed first."""
        self._check_org(org)
        shown = self._shown("volume")
        page, cursor = self._page(self._ours(shown, call), call)
        last = page[-1][1] if page else None
        return {
            "volumes": [{"app_name": app} | view for app, view in page],
            "next_cursor": cursor,
            "last_volume_id": last["id"] if last else "",
            "last_updated_at": last["updated_at"] if last else "",
        }

    # Steps

    def _shown(self, kind: str) -> Mapping[str, Entry]:
        shown = self.history.all(kind, self.stale_lists)
        return _by_time(shown) if self.stale_lists else shown

    def _check_org(self, org: str) -> None:
        if org not in {self.org, "personal"}:
            raise FlyError(403, "Not authorized to access this organization")

    def _visible(self, name: str) -> bool:
        app = self.apps.get(name)
        return app is None or app.visible_at <= self.now()

    def _ours(self, shown: Mapping[str, Entry], call: Call) -> list[Entry]:
        since = call.first("updated_after")
        after = _decode(call.first("cursor")) or (f"{_instant(since)}~" if since else "")
        instant = after[:_INSTANT]
        found: list[Entry] = []
        for app, view in reversed(list(shown.values())):
            if view["updated_at"] < instant:
                break
            if _position(view) > after and self._listed(app, view, call):
                found.append((app, view))
        return sorted(found, key=lambda entry: _position(entry[1]))

    def _listed(self, app_name: str, view: dict[str, Any], call: Call) -> bool:
        app = self.apps.get(app_name)
        ours = app is None or app.org == self.org
        return ours and view["region"] not in self.error_regions and _matches(view, call)

    def _page(self, entries: list[Entry], call: Call) -> tuple[list[Entry], str]:
        cursor = call.first("cursor")
        if self.empty_pages and not cursor and entries:
            since = call.first("updated_after")
            return [], _encode(f"{_instant(since)}~" if since else _EMPTY)
        limit = min(int(call.first("limit") or _PAGE), _PAGE)
        page = entries[: min(limit, self.short_pages or limit)]
        more = len(page) < len(entries)
        return page, _encode(_position(page[-1][1])) if more else ""

    def _with_late(self, shown: Mapping[str, Entry]) -> Mapping[str, Entry]:
        now = self.now()
        self._late = {key: late for key, late in self._late.items() if late[0] > now}
        if not self._late:
            return shown
        mixed = dict(shown) | {key: before for key, (_, before) in self._late.items()}
        return _by_time({key: entry for key, entry in mixed.items() if entry is not None})


def _by_time(shown: Mapping[str, Entry]) -> Mapping[str, Entry]:
    return dict(sorted(shown.items(), key=lambda item: _position(item[1][1])))


def _matches(view: dict[str, Any], call: Call) -> bool:
    if view["state"] in TERMINAL and not call.flag("include_deleted"):
        return False
    region, states = call.first("region"), call.first("state")
    if region and view["region"] != region:
        return False
    if states and view["state"] not in states.split(","):
        return False
    metadata = (view.get("config") or {}).get("metadata") or {}
    wanted_metadata = {k[9:]: v[0] for k, v in call.query.items() if k.startswith("metadata.")}
    return all(metadata.get(key) == value for key, value in wanted_metadata.items())


def _position(view: dict[str, Any]) -> str:
    return f"{view['updated_at']}/{view['id']}"


def _instant(since: str) -> str:
    try:
        return rfc3339(from_rfc3339(since))
    except ValueError:
        raise FlyError(400, "updated_after must be an RFC 3339 time") from None


def _encode(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode()).decode()


def _decode(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise FlyError(400, "invalid cursor") from None
