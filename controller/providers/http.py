"""The one place where a provider is called.

A call goes through, in this order: budget, breaker, guard, span, metrics, log, classification.
Reads are tried again at once when the provider failed quickly; a request that changes something
is sent once, because only its caller can find out what became of it (PROVIDERS.md: the official
Fly client retries only GETs).
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Self, TypeVar
from urllib.parse import urlencode

import anyio
import httpx
import structlog
from opentelemetry import trace
from pydantic import BaseModel, ValidationError
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

from controller.providers.breaker import Breaker
from controller.providers.budget import Budget
from controller.providers.call import Call
from controller.providers.errors import CircuitOpen, ProviderError, RateLimited, Unavailable
from controller.providers.exchange import Answer, Ask, Reason, call_line, clean, told_status
from controller.providers.metrics import ProviderMetrics
from controller.providers.transport import was_sent

CONNECT = 10.0
"""Seconds for connecting: shorter than the deadline, so that "not sent" can be told apart."""
READ_TRIES = 3
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 2.0

M = TypeVar("M", bound=BaseModel)
log = structlog.get_logger("invoker.providers")
tracer = trace.get_tracer("invoker.providers")


@dataclass(slots=True)
class Gear:
    """What a client shares with nobody and tests replace one by one.

    Attributes:
        budget: Tokens; None takes the client's own default rates.
        breaker: One per provider.
        metrics: Made once per registry and shared by all clients.
        rng: For the pause between two tries of a read.
    """

    budget: Budget | None = None
    breaker: Breaker = field(default_factory=Breaker)
    metrics: ProviderMetrics = field(default_factory=ProviderMetrics)
    rng: random.Random = field(default_factory=random.Random)


class ProviderClient(ABC):
    """The base of every provider's client.

    Args:
        transport: Where requests go: `aiohttp_transport()`, or a simulator's.
        token: The bearer token.
        base_url: The API's address without a trailing slash.
        gear: Budget, breaker, metrics and randomness.
    """

    provider = ""
    request_id_header = "x-request-id"

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        *,
        token: str,
        base_url: str,
        gear: Gear | None = None,
    ) -> None:
        gear = gear or Gear()
        self._transport = transport
        self._token = token
        self._base_url = base_url.rstrip("/")
        self.budget = self.default_budget() if gear.budget is None else gear.budget
        self.breaker = gear.breaker
        self.metrics = gear.metrics
        self.metrics.watch(self.provider, self.budget.left, self.breaker)
        self._rng = gear.rng
        self._headers = {
            "authorization": f"Bearer {token}",
            "accept": "application/json",
            "user-agent": "invoker",
        }
        self._reads = AsyncRetrying(
            sleep=anyio.sleep,
            stop=stop_after_attempt(READ_TRIES - 1),
            wait=lambda state: self._jitter(state.attempt_number),
            retry=retry_if_exception(_worth_another_read),
            reraise=True,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._base_url}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the transport and its connections."""
        await self._transport.aclose()

    @abstractmethod
    def default_budget(self) -> Budget:
        """The rates that the provider documents."""

    @abstractmethod
    def classify(self, ask: Ask, answer: Answer) -> ProviderError | None:
        """Return the typed error of an answer, or None when it is a success."""

    def bucket(self, ask: Ask) -> tuple[str, str]:
        """The action and object that the provider counts a request under."""
        return ask.operation, ask.subject

    async def ask(self, ask: Ask, call: Call) -> Answer:
        """Send one request and return its successful answer.

        Args:
            ask: What to send.
            call: On whose behalf.

        Returns:
            The answer, with a status that `classify` takes for success.

        Raises:
            ProviderError: One of its subclasses, by what the provider said.
        """
        try:
            return await self._once(ask, call, 1)
        except Unavailable as error:
            if ask.mutating or not ask.retry or not _worth_another_read(error):
                raise
        await anyio.sleep(self._jitter(0))
        attempts = count(2)

        async def again() -> Answer:
            return await self._once(ask, call, next(attempts))

        # A copy, because the retrying object keeps its state on itself.
        return await self._reads.copy()(again)

    async def fetch(self, model: type[M], ask: Ask, call: Call) -> M:
        """Send one request and return its answer as a model."""
        answer = await self.ask(ask, call)
        return self.decode(ask, answer, lambda: model.model_validate_json(answer.content))

    def decode(self, ask: Ask, answer: Answer, parse: Callable[[], M]) -> M:
        """Run a parser over a successful answer.

        Raises:
            Unavailable: The answer is not what the specification promises; a mutating
                request's effect is unknown then.
        """
        try:
            return parse()
        except ValidationError as error:
            places = ", ".join(
                ".".join(map(str, e["loc"])) or e["type"] for e in error.errors()[:3]
            )
            raise Unavailable(
                **self.reason(ask, f"an answer that cannot be read: {places}", answer).fields(),
                outcome_unknown=ask.mutating,
            ) from None

    def reason(
        self,
        ask: Ask,
        message: str,
        answer: Answer | None = None,
        *,
        sent: bool | None = True,
    ) -> Reason:
        """Describe a failure of this request, with the token taken out of the words."""
        return Reason(
            self.provider,
            ask.operation,
            clean(message, self._token),
            None if answer is None else answer.status,
            None if answer is None else answer.request_id,
            sent,
        )

    async def _once(self, ask: Ask, call: Call, attempt: int) -> Answer:
        await self._take_token(ask, call)
        self._pass_breaker(ask)
        try:
            if ask.mutating and call.guard is not None:
                call.guard()
            answer = await self._observed(ask, attempt)
        except Unavailable:
            self.breaker.failed(ask.subject)
            raise
        except ProviderError:
            self.breaker.succeeded()
            raise
        except BaseException:
            self.breaker.abandoned()
            raise
        self.breaker.succeeded()
        return answer

    async def _take_token(self, ask: Ask, call: Call) -> None:
        paused = self.budget.paused_for(*self.bucket(ask))
        if paused > self.budget.patience:
            raise RateLimited(
                **self.reason(ask, "waiting for the provider's limit", sent=False).fields(),
                retry_after=paused,
            )
        loop = asyncio.get_running_loop()
        asked = loop.time()
        if await self.budget.take(*self.bucket(ask), call.priority):
            self.metrics.throttled(self.provider, ask.operation, loop.time() - asked)

    def _pass_breaker(self, ask: Ask) -> None:
        if not self.breaker.admit():
            reason = self.reason(ask, "not asked: the provider has been failing", sent=False)
            raise CircuitOpen(**reason.fields())

    async def _observed(self, ask: Ask, attempt: int) -> Answer:
        loop = asyncio.get_running_loop()
        started = loop.time()
        error: ProviderError | None = None
        answer: Answer | None = None
        with tracer.start_as_current_span(
            f"{self.provider} {ask.operation}",
            kind=trace.SpanKind.CLIENT,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                answer = await self._send(ask)
                error = self.classify(ask, answer)
            except ProviderError as failure:
                error = failure
            finally:
                seconds = loop.time() - started
                self._measure(ask, span, answer, error, seconds)
                told = call_line(
                    self.provider, ask, answer, error=error, attempt=attempt, seconds=seconds
                )
                (log.info if ask.mutating or error is not None else log.debug)(**told)
        if isinstance(error, RateLimited):
            self.budget.pause(*self.bucket(ask), error.retry_after)
        if answer is None or error is not None:
            raise error or self._lost(ask, "no answer", sent=None)
        return answer

    def _measure(
        self,
        ask: Ask,
        span: trace.Span,
        answer: Answer | None,
        error: ProviderError | None,
        seconds: float,
    ) -> None:
        """Tell the span and the metrics; neither sees a header or a body."""
        status = told_status(answer)
        if span.is_recording():
            span.set_attributes(
                {
                    "http.method": ask.method,
                    "http.status_code": status,
                    "invoker.provider.operation": ask.operation,
                    "invoker.provider.app": ask.app,
                    "invoker.provider.request_id": (answer and answer.request_id) or "",
                }
            )
            if error is not None:
                span.set_status(trace.StatusCode.ERROR, error.kind)
        self.metrics.called(self.provider, ask.operation, status, seconds)
        if error is not None:
            self.metrics.failed(self.provider, ask.operation, error.kind)

    async def _send(self, ask: Ask) -> Answer:
        """Send and read, within the deadline; every failure of the transport becomes typed."""
        request = self._request(ask)
        try:
            async with asyncio.timeout(ask.deadline):
                response = await self._transport.handle_async_request(request)
                try:
                    content = await response.aread()
                finally:
                    await response.aclose()
        except TimeoutError:
            lost = self._lost(ask, "no answer within the deadline", sent=None)
            lost.timed_out = True
            raise lost from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            lost = self._lost(ask, type(error).__name__, sent=was_sent(error))
            lost.timed_out = isinstance(error, httpx.TimeoutException)
            raise lost from error
        return Answer(
            response.status_code,
            response.headers,
            content,
            response.headers.get(self.request_id_header),
        )

    def _request(self, ask: Ask) -> httpx.Request:
        url = f"{self._base_url}{ask.path}"
        if ask.params:
            url = f"{url}?{urlencode(ask.params)}"
        return httpx.Request(
            ask.method,
            url,
            json=ask.json,
            content=ask.content,
            headers={**self._headers, **(ask.headers or {})},
            extensions={"timeout": {"connect": CONNECT, "pool": ask.deadline}},
        )

    def _lost(self, ask: Ask, message: str, *, sent: bool | None) -> Unavailable:
        return Unavailable(
            **self.reason(ask, message, sent=sent).fields(),
            outcome_unknown=ask.mutating and sent is not False,
        )

    def _jitter(self, failed: int) -> float:
        """Exponential with full jitter, from the client's own randomness."""
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**failed) * self._rng.random()


def _worth_another_read(error: BaseException) -> bool:
    """A failure that came fast; a timeout has already cost its caller the whole deadline."""
    return (
        isinstance(error, Unavailable)
        and not isinstance(error, CircuitOpen)
        and not error.timed_out
    )
