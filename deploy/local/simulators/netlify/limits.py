"""Netlify's limits: 500 requests a minute for a token, 3 deploys a minute for a site."""

import math
from dataclasses import dataclass, field


@dataclass(slots=True)
class Window:
    """So many in a window that begins with its first one."""

    limit: int
    seconds: float = 60
    began: float = -math.inf
    used: int = 0

    def take(self, now: float) -> bool:
        """Count one; return whether there was room."""
        if now >= self.began + self.seconds:
            self.began, self.used = now, 0
        if self.used >= self.limit:
            return False
        self.used += 1
        return True

    def headers(self) -> dict[str, str]:
        """Return what an answer tells; the window's end is unix time in whole seconds."""
        return {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(self.limit - self.used),
            "x-ratelimit-reset": str(math.ceil(self.began + self.seconds)),
        }


@dataclass(slots=True)
class NetlifyLimits:
    """Both limits; off by default."""

    enabled: bool = False
    requests: Window = field(default_factory=lambda: Window(500))
    deploys_a_minute: int = 3
    _deploys: dict[str, Window] = field(default_factory=dict)

    def allows(self, now: float) -> bool:
        """Count one request; return whether it may pass."""
        return not self.enabled or self.requests.take(now)

    def allows_deploy(self, site: str, now: float) -> bool:
        """Count one deploy of a site; return whether it may pass."""
        return not self.enabled or self.deploys(site).take(now)

    def deploys(self, site: str) -> Window:
        """Return the window of a site's deploys."""
        return self._deploys.setdefault(site, Window(self.deploys_a_minute))

    def headers(self) -> dict[str, str]:
        """Return what every answer tells of the requests, once one was counted."""
        counted = self.enabled and math.isfinite(self.requests.began)
        return self.requests.headers() if counted else {}
