"""Kong 3.4 without a database: the parameters of its `kong.conf`, as variables."""

from __future__ import annotations

import json
from typing import Final

from controller.devenv.rendered import Rendered
from controller.devenv.rendering.facts import Facts
from controller.devenv.rendering.kong_routes import declaration
from crds.devenv import PORTS
from crds.machine import Scrape

STATUS_PORT: Final = 8100
PLUGINS: Final = ("cors", "key-auth", "acl", "rate-limiting", "request-termination", "prometheus")


def render(facts: Facts) -> Rendered:
    """What Kong is told.

    Its declaration holds keys, so it is secret as a whole.
    Without a key it answers nothing well, so the provider checks only that it listens.
    """
    return Rendered(
        env={
            "KONG_DATABASE": "off",
            "KONG_PROXY_LISTEN": f"0.0.0.0:{PORTS['kong']}",
            "KONG_STATUS_LISTEN": f"0.0.0.0:{STATUS_PORT}",
            # Nobody changes it from outside; the manager's page listens unless it is told not to.
            "KONG_ADMIN_LISTEN": "off",
            "KONG_ADMIN_GUI_LISTEN": "off",
            "KONG_PLUGINS": ",".join(PLUGINS),
            # Names on Fly's private network have AAAA records only, which the default never asks.
            "KONG_DNS_ORDER": "LAST,AAAA,A,CNAME",
            # Whoever reaches it came through Fly's proxy, which says from where.
            "KONG_TRUSTED_IPS": "0.0.0.0/0,::/0",
            "KONG_REAL_IP_HEADER": "Fly-Client-IP",
            # Tokens make headers long; the sizes are those of self-hosted Supabase.
            "KONG_NGINX_PROXY_PROXY_BUFFER_SIZE": "160k",
            "KONG_NGINX_PROXY_PROXY_BUFFERS": "64 160k",
            "KONG_PROXY_ACCESS_LOG": "/dev/stdout",
            "KONG_PROXY_ERROR_LOG": "/dev/stderr",
            "KONG_LOG_LEVEL": "notice",
        },
        secrets={"KONG_DECLARATIVE_CONFIG_STRING": json.dumps(declaration(facts), sort_keys=True)},
        check="tcp",
        public=True,
        metrics=Scrape(port=STATUS_PORT, path="/metrics"),
    )
