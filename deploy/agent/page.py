"""The owner's page."""

from html import escape
from string import Template
from typing import Final

from deploy.agent.identity import User
from deploy.agent.state import Machine

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_PAGE: Final = Template("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
  body { max-width: 40rem; margin: 10vh auto; padding: 0 1rem }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem }
  dt { opacity: .7 } dd { margin: 0; overflow-wrap: anywhere } pre { white-space: pre-wrap }
</style>
<h1>Hello, $name</h1>
<p>This is your machine. It sleeps when you are away and wakes when you come back.</p>
<dl>
  <dt>Address</dt><dd>$title</dd>
  <dt>Machine</dt><dd>$machine</dd>
  <dt>Version</dt><dd>$version</dd>
  <dt>Up for</dt><dd>$uptime s</dd>
  <dt>Starts</dt><dd>$starts</dd>
</dl>
<h2>Notes</h2>
<pre>$notes</pre>
</html>
""")


def render(user: User, machine: Machine) -> str:
    """Return the HTML that greets the owner."""
    values = {
        "title": machine.subdomain or "your machine",
        "name": user.email or user.id,
        "machine": machine.uid,
        "version": machine.version,
        "uptime": f"{machine.activity.uptime:.0f}",
        "starts": str(machine.volume.starts()),
        "notes": machine.volume.notes() or "None yet: PUT /api/notes keeps some.",
    }
    return _PAGE.substitute({key: escape(value) for key, value in values.items()})
