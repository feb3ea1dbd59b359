"""A simulated Netlify team with a client over it, and ways to lose an answer."""

from collections.abc import Callable

import httpx

from controller.providers import Call, Gear, Priority
from controller.providers.netlify import Netlify, SiteRef
from deploy.local.simulators.netlify import BuildTimings, NetlifyAPI, NetlifyLimits, NetlifyTeam
from deploy.local.simulators.transport import SimulatorTransport

CALL = Call(Priority.USER)
URL, KEY = "VITE_SUPABASE_URL", "VITE_SUPABASE_ANON_KEY"


class Losing(httpx.AsyncBaseTransport):
    """Passes on, and loses the answers that it is told to after they took effect."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner
        self.lose: Callable[[httpx.Request], bool] = lambda _: False
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on.

        Raises:
            httpx.ReadTimeout: the answer is one of those to lose.
        """
        self.asked.append(request)
        answer = await self.inner.handle_async_request(request)
        if self.lose(request):
            raise httpx.ReadTimeout("lost", request=request)
        return answer


class Cloud:
    """One team with one site, its limits on, and a client with its own budget."""

    def __init__(self, timings: BuildTimings | None = None, gear: Gear | None = None) -> None:
        self.team = NetlifyTeam(timings=timings, limits=NetlifyLimits(enabled=True))
        hosts = {"api.netlify.com": NetlifyAPI(self.team)}
        self.transport = Losing(SimulatorTransport(hosts=hosts))
        self.netlify = Netlify(self.transport, token=self.team.token, gear=gear)
        self.site = self.team.add_site("silo-acme-erp").id
        self.ref = SiteRef(self.team.account, self.site)
