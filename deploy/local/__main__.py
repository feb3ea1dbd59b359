"""`python -m deploy.local`: the whole product on the embedded cloud, in the foreground."""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from crds.store import migrate
from deploy.local.keys import Keys
from deploy.local.output import Output
from deploy.local.postgres import EmbeddedPostgres, PostgresError
from deploy.local.settings import LocalSettings, SettingsError
from deploy.local.stack import Stack
from deploy.local.supervisor import StartError, Supervisor

READY = """\
invoker is ready. Ctrl-C stops all of it.

  API      {api}   (metrics at /metrics)
  console  {api}/console   (sign in with the token in {state}/token)
  kubectl  export KUBECONFIG={state}/kubeconfig   (then: kubectl get workspaces -A)
  edge     {edge}   (users at http://<subdomain>.localhost:{edge_port})
  state    {state}
  database psql "{database}"

Try it:

  curl -s {api}/api/auth/register -H 'Content-Type: application/json' \\
    -d '{{"email": "alice@example.com", "password": "correct horse", "first_name": "Alice"}}'
  TOKEN=...   # access_token of the answer

  curl -s -X POST {api}/api/vm/start -H "Authorization: Bearer $TOKEN"
  curl -s {api}/api/routing/alice
  curl -s http://alice.localhost:{edge_port}/api/identity -H "Authorization: Bearer $TOKEN"
  open http://alice.localhost:{edge_port} in a browser and sign in
  open http://localhost:{edge_port}/terminal/ in a browser: VPSs on a simulated DigitalOcean"""


@contextlib.contextmanager
def claimed(state: Path) -> Iterator[None]:
    """Keep a second run away from the same state.

    Raises:
        SettingsError: There is one already, or the directory is not ours to write to.
    """
    try:
        state.mkdir(mode=0o711, parents=True, exist_ok=True)
        lock = (state / "lock").open("a+")
    except OSError as error:
        raise SettingsError(f"INVOKER_STATE: {state}: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            pid = lock.read().strip()
            raise SettingsError(
                f"invoker already runs on {state} (process {pid}); "
                "stop it, or choose another directory with INVOKER_STATE=…"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


async def serve(stack: Stack, output: Output) -> None:
    """Start everything, wait for a signal, stop everything.

    Raises:
        StartError: A part did not become ready.
        PostgresError: The database cannot be started.
    """
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    supervisor = Supervisor(output.line)
    server = stack.server()
    try:
        starting = asyncio.create_task(_start(stack, server, supervisor, output))
        waiting = asyncio.create_task(ended.wait())
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if ended.is_set():
            starting.cancel()
        else:
            starting.result()
            await waiting
        waiting.cancel()
    finally:
        output.say("stopping")
        await supervisor.stop()
        server.release()
        output.say("stopped")


async def _start(
    stack: Stack, server: EmbeddedPostgres, supervisor: Supervisor, output: Output
) -> None:
    url = stack.environ.get("DATABASE_URL") or server.url()
    for line in stack.notes():
        output.say(line)
    with output.progress("starting the database and the embedded cloud"):
        first = [*stack.simulators(), *stack.bridge()]
        if not stack.has_database:
            first = [stack.database(server), *first]
        await supervisor.start(*first)
    with output.progress("bringing the schema up to date"):
        for name in await migrate(url):
            output.say(f"applied {name}")
    environment = stack.environment(url)
    with output.progress("starting the API, the controller and the edge"):
        await supervisor.start(
            stack.api(environment), stack.controller(environment), stack.edge(environment)
        )
    settings = stack.settings
    output.block(
        READY.format(
            api=settings.url("api"),
            edge=settings.url("edge"),
            edge_port=settings.ports["edge"],
            state=settings.state,
            database=url,
        )
    )


def main() -> int:
    """Run until Ctrl-C or SIGTERM.

    Returns:
        The exit code: 2 when the settings are wrong, 1 when a part did not start.
    """
    try:
        settings = LocalSettings.read(sys.argv[1:], os.environ)
        with claimed(settings.state):
            stack = Stack(settings, Keys(settings.state / "secrets"), os.environ)
            stack.check()
            settings.check_ports(stack.ports())
            settings.save()
            asyncio.run(serve(stack, Output()))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (StartError, PostgresError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
