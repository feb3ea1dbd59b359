"""Rules for the names that people choose: subdomains above all."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import count

MIN_LENGTH = 3
MAX_LENGTH = 20
SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")

RESERVED = frozenset(
    """
    abuse account accounts admin administrator alerts api app apps assets auth autodiscover billing
    blog cdn config console contact dashboard demo dev dns docs edge email example ftp gateway git
    grafana health help host hostmaster hub imap info invoker localhost login logout mail
    metrics mx noc ns ns1 ns2 oauth ops owner ping platform pop pop3 postmaster prometheus
    proxy ready register root routing security server signin signup smtp ssh ssl staging static
    stats status support sysadmin system test tls vm vpn webmail webmaster well-known wpad www
    """.split()
)


def subdomain_problem(name: str) -> str | None:
    """Say which rule a subdomain breaks, or None when it is good.

    The rules are the product's (3-20 characters, lowercase, no reserved words)
    and RFC 1123's for a host label.
    """
    if not MIN_LENGTH <= len(name) <= MAX_LENGTH:
        return f"must have {MIN_LENGTH} to {MAX_LENGTH} characters"
    if not SUBDOMAIN.fullmatch(name):
        return "must be lowercase letters, digits and inner hyphens"
    # The third and fourth characters "--" mark internationalised names (RFC 5891, 4.2.3.1).
    if name[2:4] == "--":
        return "must not have hyphens as third and fourth characters"
    if name in RESERVED:
        return "is reserved"
    return None


def slug(text: str) -> str:
    """The lowercase ASCII letters and digits of a text, accents dropped."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "", plain)


def subdomain_candidates(first_name: str, last_name: str, email: str) -> Iterator[str]:
    """Subdomains to try for a person, best first, without end.

    The first name comes first, then combinations with the last name and the e-mail's local part,
    then numbered ones.
    """
    first, last = slug(first_name), slug(last_name)
    local = slug(email.partition("@")[0])
    seeds = [first, local, first + last, f"{first}-{last}", first + last[:1], "user"]
    stems = [
        stem
        for stem in dict.fromkeys(seed[:MAX_LENGTH].strip("-") for seed in seeds)
        if stem and SUBDOMAIN.fullmatch(stem)
    ]
    yield from (stem for stem in stems[:-1] if subdomain_problem(stem) is None)
    for number in count(2):
        for stem in stems:
            candidate = f"{stem[: MAX_LENGTH - len(str(number))].rstrip('-')}{number}"
            if subdomain_problem(candidate) is None:
                yield candidate
