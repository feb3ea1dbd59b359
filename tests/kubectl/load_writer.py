"""A process that writes to the store at a fixed rate, past the API, and tells every version."""

import asyncio
import json
import sys
from collections.abc import Sequence

import uvloop

from crds.meta import ObjectMeta
from crds.store import StatusWish, Store
from crds.workspace import Workspace, WorkspaceSpec, WorkspaceStatus

TICK_SECONDS = 0.02
# Further writes wait for earlier ones: a queue without end would hide that a rate is not kept.
MOST_AT_ONCE = 400


async def make(store: Store, namespace: str, count: int) -> Sequence[Workspace]:
    """Store so many workspaces that nothing moves but we."""
    return [
        await store.create(
            Workspace(
                metadata=ObjectMeta(name=f"w{number}", namespace=namespace),
                spec=WorkspaceSpec(subdomain=f"load{number}", power="Stopped"),
            )
        )
        for number in range(count)
    ]


async def write(
    store: Store, workspaces: Sequence[Workspace], *, rate: int, count: int
) -> list[int]:
    """Write so many statuses, at most so many a second; returns the versions, in order."""
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(MOST_AT_ONCE)
    begin = loop.time()

    async def one(number: int) -> int:
        workspace = workspaces[number % len(workspaces)]
        status = WorkspaceStatus(phase=f"Phase{number}").to_json()
        try:
            return await store.write_status(
                workspace.key, StatusWish(workspace.uid, status, 0, None)
            )
        finally:
            gate.release()

    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in range(count):
            due = begin + number / rate
            if due - loop.time() > TICK_SECONDS:
                await asyncio.sleep(due - loop.time())
            await gate.acquire()
            tasks.append(group.create_task(one(number)))
    return sorted(task.result() for task in tasks)


async def main(url: str, namespace: str, objects: int, rate: int, count: int) -> None:
    """Make the objects, say from which version on; wait for a line; write, say what came of it."""
    async with Store.opened(url, pool_size=4) as store:
        workspaces = await make(store, namespace, objects)
        _say({"since": await store.log.newest()})
        await asyncio.to_thread(sys.stdin.readline)
        begin = asyncio.get_running_loop().time()
        versions = await write(store, workspaces, rate=rate, count=count)
        seconds = asyncio.get_running_loop().time() - begin
        _say({"versions": versions, "seconds": seconds})


def _say(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _url, _namespace, *_numbers = sys.argv[1:]
    uvloop.run(main(_url, _namespace, *map(int, _numbers)))
