"""DigitalOcean's rate limits, counted on the simulator's clock."""

import math
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field

HOUR, MINUTE = 3600.0, 60.0


@dataclass(slots=True)
class DropletLimits:
    """5,000 calls in any hour and 250 in any minute, for each team.

    Attributes:
        enabled: whether anybody is refused; the headers count in any case.
        an_hour: calls in a sliding hour.
        a_minute: calls in a sliding minute.
    """

    enabled: bool = False
    an_hour: int = 5000
    a_minute: int = 250
    _seen: dict[str, deque[float]] = field(default_factory=dict)

    def take(self, team: str, now: float) -> tuple[bool, dict[str, str]]:
        """Count one call; return whether it may pass, and the headers that say so.

        `retry-after` is only told when the minute's limit was met, as by the real API.
        """
        seen = self._seen.setdefault(team, deque(maxlen=self.an_hour))
        while seen and seen[0] <= now - HOUR:
            seen.popleft()
        burst = self._burst(seen, now)
        refused = self.enabled and (len(seen) >= self.an_hour or burst >= self.a_minute)
        if not refused:
            seen.append(now)
        left = min(self.an_hour - len(seen), self.a_minute - burst - (not refused))
        oldest = seen[0] if seen else now
        headers = {
            "ratelimit-limit": str(self.an_hour),
            "ratelimit-remaining": str(self._told(len(seen), left)),
            "ratelimit-reset": str(math.ceil(oldest + HOUR)),
        }
        if refused and burst >= self.a_minute:
            headers["retry-after"] = str(math.ceil(seen[-self.a_minute] + MINUTE - now))
        return not refused, headers

    def _told(self, used: int, left: int) -> int:
        # What remains is told of the hour, but zero also means that the minute's limit is met.
        return 0 if self.enabled and left <= 0 else max(0, self.an_hour - used)

    def _burst(self, seen: deque[float], now: float) -> int:
        recent = list(seen)[-self.a_minute :]
        return len(recent) - bisect_right(recent, now - MINUTE)
