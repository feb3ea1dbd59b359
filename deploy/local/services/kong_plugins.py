"""What Kong's plugins do on the way to a service."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deploy.local.services.kong_config import Consumer, Gateway, Json, Match

_MINUTE: Final = 60
_METHODS: Final = "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT"
# In the order of their priorities; `prometheus` counts and comes last of all.
ORDER: Final = ("cors", "key-auth", "acl", "rate-limiting", "request-termination")


@dataclass(slots=True)
class Passage:
    """A request on its way.

    Attributes:
        request: The request.
        match: The route that it takes.
        address: Whence it came.
        consumer: Whose key it showed.
        hidden: Names of headers and parameters that the service does not see.
        sent: Headers that the service gets beside the caller's.
        answered: Headers that the caller gets beside the service's.
    """

    request: Request
    match: Match
    address: str
    consumer: Consumer | None = None
    hidden: set[str] = field(default_factory=set)
    sent: dict[str, str] = field(default_factory=dict)
    answered: dict[str, str] = field(default_factory=dict)


def message(status: int, words: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer of Kong's own."""
    return JSONResponse({"message": words}, status, headers)


class Plugins:
    """Runs a route's plugins.

    Args:
        gateway: The configuration.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._minute = 0
        self._counts: dict[tuple[str, str], int] = {}

    def run(self, passage: Passage) -> Response | None:
        """Do what has to be done before the service is asked.

        Returns:
            An answer in place of the service's; None when the service is to be asked.
        """
        steps = {
            "cors": self._cors,
            "key-auth": self._key_auth,
            "acl": self._acl,
            "rate-limiting": self._limit,
            "request-termination": self._terminate,
        }
        plugins = passage.match.route.plugins
        for name in ORDER:
            if name in plugins:
                answer = steps[name](passage, plugins[name])
                if answer is not None:
                    return answer
        return None

    def _cors(self, passage: Passage, config: Json) -> Response | None:
        headers = passage.request.headers
        allowed = list(config.get("origins") or ["*"])
        origin = headers.get("origin")
        if "*" in allowed and not config.get("credentials"):
            passage.answered["Access-Control-Allow-Origin"] = "*"
        elif origin is not None and ("*" in allowed or origin in allowed):
            passage.answered |= {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        if config.get("credentials"):
            passage.answered["Access-Control-Allow-Credentials"] = "true"
        if config.get("exposed_headers"):
            passage.answered["Access-Control-Expose-Headers"] = ",".join(config["exposed_headers"])
        asked = headers.get("access-control-request-method")
        preflight = passage.request.method == "OPTIONS" and origin is not None and asked is not None
        if not preflight or config.get("preflight_continue"):
            return None
        wished = headers.get("access-control-request-headers", "")
        told = {
            "Access-Control-Allow-Methods": ",".join(config.get("methods") or []) or _METHODS,
            "Access-Control-Allow-Headers": ",".join(config.get("headers") or []) or wished,
        }
        if config.get("max_age") is not None:
            told["Access-Control-Max-Age"] = str(config["max_age"])
        return Response(status_code=200, headers=told)

    def _key_auth(self, passage: Passage, config: Json) -> Response | None:
        request = passage.request
        names = [str(name).lower() for name in config.get("key_names") or ["apikey"]]
        given = [
            *(key for name in names for key in request.headers.getlist(name)),
            *(key for name in names for key in request.query_params.getlist(name)),
        ]
        if not given or not given[0]:
            challenge = {"WWW-Authenticate": 'Key realm="kong"'}
            return message(401, "No API key found in request", challenge)
        consumer = self._gateway.consumers.get(given[0])
        if consumer is None:
            return message(401, "Invalid authentication credentials")
        passage.consumer = consumer
        passage.sent["X-Consumer-Username"] = consumer.name
        if config.get("hide_credentials"):
            passage.hidden.update(names)
        return None

    def _acl(self, passage: Passage, config: Json) -> Response | None:
        consumer = passage.consumer
        if consumer is None:
            return message(401, "Unauthorized")
        allowed, denied = set(config.get("allow") or []), set(config.get("deny") or [])
        if (allowed and not allowed & consumer.groups) or denied & consumer.groups:
            return message(403, "You cannot consume this service")
        if not config.get("hide_groups_header"):
            passage.sent["X-Consumer-Groups"] = ", ".join(sorted(consumer.groups))
        return None

    def _limit(self, passage: Passage, config: Json) -> Response | None:
        """Count requests of one minute; limits by other times are not kept."""
        limit = config.get("minute")
        if limit is None:
            return None
        now = time.time()
        if self._minute != now // _MINUTE:
            self._minute, self._counts = int(now // _MINUTE), {}
        whose = self._whose(passage, config)
        count = self._counts[whose] = self._counts.get(whose, 0) + 1
        left = max(0, int(limit) - count)
        passage.answered |= {
            "X-RateLimit-Limit-Minute": str(limit),
            "X-RateLimit-Remaining-Minute": str(left),
        }
        if count <= int(limit):
            return None
        wait = {"Retry-After": str(int(_MINUTE - now % _MINUTE) or 1)}
        return message(429, "API rate limit exceeded", wait)

    def _whose(self, passage: Passage, config: Json) -> tuple[str, str]:
        """Whose requests are counted together, on which service."""
        by_consumer = config.get("limit_by", "consumer") == "consumer"
        who = passage.consumer.name if by_consumer and passage.consumer else passage.address
        return who, passage.match.route.service.name

    def _terminate(self, passage: Passage, config: Json) -> Response | None:
        del passage
        status = int(config.get("status_code", 503))
        body: Any = config.get("body")
        if body is not None:
            return Response(str(body), status, media_type=config.get("content_type"))
        return message(status, str(config.get("message") or "Service unavailable"))
