"""The simulated Netlify as a process."""

from pathlib import Path

import httpx
import pytest

from controller.providers import aiohttp_transport
from controller.providers.netlify import Netlify, NewValue, NewVariable
from deploy.local.simulators.netlify.team import DEFAULT_TOKEN
from tests.providers.netlify_cloud import CALL, KEY
from tests.simulators.test_server import _serving

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_the_client_over_sockets(tmp_path: Path) -> None:
    """The product's transport, a real server, one date; slow: starts an interpreter."""
    with _serving("netlify", tmp_path, "--site", "acme") as (_, port):
        base = f"http://127.0.0.1:{port}/api/v1"
        async with Netlify(aiohttp_transport(), token=DEFAULT_TOKEN, base_url=base) as netlify:
            site = (await netlify.get_site("acme", call=CALL)).ref
            await netlify.create_variables(site, [NewVariable(KEY, (NewValue("1"),))], call=CALL)
            await netlify.set_value(site, KEY, NewValue("2"), call=CALL)
            read = await netlify.get_variable(site, KEY, call=CALL)
            await netlify.delete_variable(site, KEY, call=CALL)
            build = await netlify.trigger_build("acme", title="a/ü", call=CALL)
            titles = [deploy.title for deploy in await netlify.list_deploys("acme", call=CALL)]
        headers = {"authorization": f"Bearer {DEFAULT_TOKEN}"}
        async with httpx.AsyncClient(headers=headers) as plain:
            answer = await plain.get(f"{base}/builds/{build.id}")

    assert [value.value for value in read.values] == ["2"]
    assert titles == ["a/ü"]
    assert len(answer.headers.get_list("date")) == 1
    assert int(answer.headers["x-ratelimit-remaining"]) < 500
