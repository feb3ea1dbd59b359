"""The cloud behind a socket."""

from starlette.applications import Starlette

from deploy.local.simulators.digitalocean.api import DigitalOceanAPI
from deploy.local.simulators.digitalocean.cloud import DigitalOceanCloud
from deploy.local.simulators.wire import Answer, Call, asgi


def digitalocean_api(cloud: DigitalOceanCloud) -> Starlette:
    """Return both hosts as one application.

    The web server writes the `date` itself, and two of them could not be read.
    """
    api = DigitalOceanAPI(cloud)

    async def answer(call: Call) -> Answer:
        answered = await api(call)
        del answered.headers["date"]
        return answered

    return asgi(answer)
