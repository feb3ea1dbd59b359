"""The providers' rate limits, counted on the simulators' clock."""

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(slots=True)
class TokenBuckets:
    """One bucket a key: `burst` at once, `per_second` back."""

    per_second: float
    burst: float
    _buckets: dict[str, _Bucket] = field(default_factory=dict)

    def take(self, key: str, now: float) -> bool:
        """Take one token; return whether there was one."""
        bucket = self._buckets.get(key)
        if bucket is None:
            self._buckets[key] = _Bucket(self.burst - 1, now)
            return True
        bucket.tokens = min(self.burst, bucket.tokens + (now - bucket.at) * self.per_second)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


class FlyLimits:
    """Fly's limits: a bucket for each action on each machine, or on each app where there is none.

    1/s with a burst of 3, reading one machine 5/s with a burst of 10, and 100 app deletes a minute.
    """

    def __init__(self, *, enabled: bool = False) -> None:
        self.enabled = enabled
        self._actions = TokenBuckets(per_second=1, burst=3)
        self._reads = TokenBuckets(per_second=5, burst=10)
        self._deletes = TokenBuckets(per_second=100 / 60, burst=100)

    def allows(self, operation: str, subject: str, now: float) -> bool:
        """Count one call; return whether it may pass."""
        if not self.enabled:
            return True
        if operation == "apps.delete":
            return self._deletes.take("", now)
        buckets = self._reads if operation == "machines.get" else self._actions
        return buckets.take(f"{operation} {subject}", now)


@dataclass(slots=True)
class CloudflareLimits:
    """1,200 calls in 5 minutes, then none for the next 5; one write a second for each key."""

    enabled: bool = False
    calls: int = 1200
    window_seconds: float = 300
    write_interval_seconds: float = 1
    _seen: deque[float] = field(default_factory=deque)
    _refused_until: float = 0
    _written: dict[str, float] = field(default_factory=dict)

    def allows(self, now: float) -> bool:
        """Count one call of the account; return whether it may pass."""
        if not self.enabled:
            return True
        if now < self._refused_until:
            return False
        while self._seen and self._seen[0] <= now - self.window_seconds:
            self._seen.popleft()
        if len(self._seen) >= self.calls:
            self._refused_until = now + self.window_seconds
            return False
        self._seen.append(now)
        return True

    def allows_write(self, key: str, now: float) -> bool:
        """Count one write of a key; return whether it may pass."""
        if not self.enabled:
            return True
        last = self._written.get(key)
        if last is not None and now - last < self.write_interval_seconds:
            return False
        self._written[key] = now
        return True


class AuthLimits:
    """Supabase Auth's limits: per address a burst of 30, refilled at 1,800 an hour."""

    def __init__(self, *, enabled: bool = False) -> None:
        self.enabled = enabled
        self._buckets = TokenBuckets(per_second=1800 / 3600, burst=30)

    def allows(self, operation: str, address: str, now: float) -> bool:
        """Count one call of an address; return whether it may pass."""
        return not self.enabled or self._buckets.take(f"{operation} {address}", now)
