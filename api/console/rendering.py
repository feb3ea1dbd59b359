"""From data to HTML: Jinja with escaping always on, and regions that can be replaced one by one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from api.console.addresses import PATH, object_path
from api.console.differences import MISSING
from api.console.masking import masked_text

FOLDER: Final = Path(__file__).parent
DIGEST_LENGTH: Final = 12
MINUTE, HOUR, DAY = 60, 3600, 86400
MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")

TONES: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        "Running Active True ready running closed Normal ok Pro Redirect redirect Full "
        "Deployed Connected Authorized".split(),
        "good",
    ),
    **dict.fromkeys(
        "Stopped Asleep Reserved stopped asleep Free None Off Ended Expired Disconnected".split(),
        "rest",
    ),
    **dict.fromkeys(
        "Pending Creating Provisioning Starting Stopping Updating Recreating Moving Deleting "
        "Unknown starting Retry half-open Conflict Paused Partial Telling BuildTriggered "
        "BuildSlow PoweringOff PoweringOn Waiting Refreshing".split(),
        "busy",
    ),
    **dict.fromkeys(
        "Crashed Degraded Unreachable Blocked Quarantined Suspended Incident False Warning "
        "Terminal open crashed suspended quarantined Unsafe BuildFailed BuildGone NoToken "
        "SiteNotFound ProvisioningTimeout Offline Failed Revoked".split(),
        "bad",
    ),
}


@dataclass(frozen=True, slots=True)
class Rendering:
    """The changing parts of a page.

    Attributes:
        regions: The HTML of each, by the id of its element.
        lists: By the id of a list's element, which regions are in it, in order.
    """

    regions: Mapping[str, Markup]
    lists: Mapping[str, list[str]] = field(default_factory=dict)

    def digests(self) -> dict[str, str]:
        """A short digest of each part, lists included."""
        found = {name: digest(html) for name, html in self.regions.items()}
        return found | {f"{name}[]": digest(" ".join(ids)) for name, ids in self.lists.items()}

    @property
    def fingerprint(self) -> str:
        """A digest of the whole: who shows the same sees the same."""
        return digest(json.dumps(self.digests(), sort_keys=True))

    def joined(self, name: str) -> Markup:
        """The regions of a list, in order."""
        return Markup("").join(self.regions[each] for each in self.lists[name])


def plural(kind: str) -> str:
    """A kind's name for several of it."""
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"


class Templates:
    """The templates beside this module."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            asset=self.asset,
            root=PATH,
            tone=tone,
            object_path=object_path,
            query=query,
            plural=plural,
        )
        self._environment.tests["missing_field"] = lambda value: value is MISSING
        self._environment.filters.update(
            age=age_tag,
            until=until_tag,
            shown=shown,
            money=money,
            as_yaml=as_yaml,
            seconds=seconds,
            hide=masked_text,
            value=value_tag,
        )

    def page(self, template: str, **context: Any) -> str:
        """A whole page."""
        return self._environment.get_template(template).render(context)

    def region(self, template: str, id_: str, **context: Any) -> Markup:
        """One part of a page, an element with this id; it carries its own digest."""
        html = self._environment.get_template(template).render(context, id=id_).strip()
        mark = f' id="{escape(id_)}"'
        return Markup(html.replace(mark, f'{mark} data-digest="{digest(html)}"', 1))  # noqa: S704 - the template escaped what is not ours

    def asset(self, name: str) -> str:
        """The address of a static file, which changes with its content."""
        return f"{PATH}/static/{name}?v={self.assets[name][0]}"

    @cached_property
    def assets(self) -> Mapping[str, tuple[str, bytes]]:
        """Digest and content of every static file, by name."""
        contents = {path.name: path.read_bytes() for path in (FOLDER / "static").iterdir()}
        return {
            name: (hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH], content)
            for name, content in contents.items()
        }


def digest(text: str) -> str:
    """A short digest; against mistakes, not against attackers."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def tone(value: object) -> str:
    """How a phase, a state or a condition's status looks: good, rest, busy, bad or plain."""
    return TONES.get(str(value), "plain")


def moment(value: object) -> datetime | None:
    """A moment, from what JSON says of it; None for anything else."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def age_tag(value: object) -> Markup:
    """A moment that lies behind; a browser with scripts shows how long ago."""
    return _time_tag(value, "data-age")


def until_tag(value: object) -> Markup:
    """A moment to come; a browser with scripts counts down to it."""
    return _time_tag(value, "data-until")


def _time_tag(value: object, mark: str) -> Markup:
    found = moment(value)
    if found is None:
        return Markup('<span class="none">never</span>')
    text = found.strftime("%Y-%m-%d %H:%M:%S UTC")
    exact = found.isoformat(timespec="milliseconds")
    # What is filled in is escaped by `format`.
    tag = Markup(f'<time datetime="{{}}" {mark} title="{{}}">{{}}</time>')  # noqa: S704 - `mark` is one of two constants
    return tag.format(exact, text, text)


def value_tag(value: object) -> str:
    """A field's value; a moment as one."""
    is_moment = isinstance(value, str) and MOMENT.match(value) and moment(value) is not None
    return _time_tag(value, "data-age") if is_moment else shown(value)


def seconds(value: float | None) -> str:
    """A duration for people: 1.4 s, 12 min, 3 h."""
    if value is None:
        return "none yet"
    if value < MINUTE:
        return f"{value:.1f} s"
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.0f} s"


def money(value: float) -> str:
    """USD."""
    return f"${value:,.2f}"


def shown(value: object) -> str:
    """A field's value on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return json.dumps(value, ensure_ascii=False)


class _Dumper(yaml.SafeDumper):
    """Block style, lists indented, texts of several lines as blocks."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - the library's
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        """Never write anchors: people edit this."""
        del data
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def as_yaml(value: Any) -> str:
    """JSON as YAML, keys in their order."""
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=False,
    )
    return text


def query(parameters: Mapping[str, object], **changes: object) -> str:
    """The query of an address with some parameters changed; empty ones are left out."""
    pairs = {**parameters, **changes}
    return urlencode({name: value for name, value in pairs.items() if value not in ("", None)})


def since(value: object, now: datetime) -> timedelta:
    """How long ago a moment was; nothing for what is none."""
    found = moment(value)
    return timedelta(0) if found is None else now - found
