"""Droplets of users, their terminals and their keys: like everything else."""

from typing import Final

from tests.kubectl.script.manifests import ACCOUNT, together
from tests.kubectl.steps import Step, Topic

# Nobody has connected a cloud here, so nothing is made of it where controllers are at work.
_VPS: Final = """\
apiVersion: invoker.dev/v1
kind: Vps
metadata:
  name: one
  namespace: $ns
spec:
  power: Stopped
  region: fra1
  agents: [claude-code]
"""
_SESSION: Final = """\
apiVersion: invoker.dev/v1
kind: Session
metadata:
  name: build
  namespace: $ns
spec:
  vps: one
  title: The build
"""
# Of the right form; nobody has it, its 32 bytes are zero.
_KEY: Final = f"""\
apiVersion: invoker.dev/v1
kind: AuthorizedKey
metadata:
  name: laptop
  namespace: $ns
spec:
  vps: one
  publicKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{"A" * 43} a@example
  label: laptop
"""

HOSTING: Final = Topic(
    name="hosting",
    given=ACCOUNT,
    steps=(
        Step(
            command="apply -f -",
            stdin=together(_VPS, _SESSION, _KEY),
            guarantee="a Vps, a session and a key are applied together",
            exactly="""\
vps.invoker.dev/one created
session.invoker.dev/build created
authorizedkey.invoker.dev/laptop created""",
        ),
        Step(
            command="apply -f -",
            stdin=together(_VPS, _KEY.replace("ssh-ed25519", "ssh-rsa", 1)),
            guarantee="a key that is none is refused with its field, and the other wish stands",
            code=1,
            prints=(r"^vps\.invoker\.dev/one unchanged$",),
            says=(r"spec\.publicKey",),
            hides=("AAAAC3NzaC1lZDI1NTE5",),
        ),
        Step(
            command="apply -f -",
            stdin=_KEY.replace("label:", "type: support\n  label:"),
            guarantee="a key of support that never ends is refused",
            code=1,
            says=(r"expiresAt",),
        ),
        Step(
            command="get vpses -n $ns",
            guarantee="its power, phase, gateway and address are columns",
            prints=(r"^NAME +POWER +PHASE +READY +GATEWAY +IPV4 +AGE$", r"^one +Stopped "),
        ),
        Step(
            command="get vps -n $ns -o wide --field-selector spec.power=Stopped",
            guarantee="its power selects it, and wide tells where and of what it is",
            prints=(r"REGION +SIZE +DROPLET +MONTHLY-USD +REASON", r"^one .* fra1 +s-1vcpu-1gb"),
        ),
        Step(
            command="get vps -n $ns --field-selector spec.power=Running -o name",
            guarantee="another power selects another one",
            exactly="",
        ),
        Step(
            command="get sess,ak -n $ns --field-selector spec.vps=one",
            guarantee="sessions and keys are selected by their Vps",
            prints=(
                r"^session\.invoker\.dev/build +one +shell",
                r"^authorizedkey\.invoker\.dev/laptop +one +user +laptop",
            ),
        ),
        Step(
            command="get ak -n $ns --field-selector spec.type=support -o name",
            guarantee="keys of support are found by their type",
            exactly="",
        ),
        Step(
            command="explain vps.status.gateway",
            guarantee="what is known of a gateway is told",
            prints=(r"^  connected\t<boolean>", r"^  hello\t<integer>"),
        ),
        Step(
            command="explain authorizedkey.spec.type",
            guarantee="whose keys there are is told",
            prints=(r"^FIELD: type <string>", r"support"),
        ),
        Step(
            command="describe vps one -n $ns",
            guarantee="a description holds the whole wish, defaults included",
            prints=(
                r"^Kind: +Vps$",
                r"^  Connection: +digitalocean$",
                r"^  Image: +ubuntu-24-04-x64$",
                r"^    claude-code$",
            ),
        ),
        Step(
            command="scale vps one -n $ns --replicas=1 --current-replicas=0",
            guarantee="scaling to one switches it on",
            exactly="vps.invoker.dev/one scaled",
        ),
        Step(
            command="get vps one -n $ns -o jsonpath={.spec.power}",
            guarantee="scale and power are the same wish",
            exactly="Running",
        ),
        Step(
            command="scale vps one -n $ns --replicas=2",
            guarantee="there is no second of a Vps",
            code=1,
            says=(r"must be 0 or 1",),
        ),
        Step(
            command="scale session build -n $ns --replicas=0",
            guarantee="a session is there or deleted: it cannot be scaled",
            code=1,
        ),
        Step(
            command="""patch session build -n $ns --type=merge -p '{"spec":{"title":"Another"}}'""",
            guarantee="a session is given another title",
            exactly="session.invoker.dev/build patched",
        ),
        Step(
            command="delete session,ak --all -n $ns --wait=false",
            guarantee="sessions and keys are deleted",
            prints=(
                r"session\.invoker\.dev \"build\" deleted",
                r"authorizedkey\.invoker\.dev \"laptop\" deleted",
            ),
        ),
        Step(
            command="delete vps one -n $ns --wait=false",
            guarantee="a Vps is deleted",
            prints=(r"vps\.invoker\.dev \"one\" deleted",),
        ),
    ),
)
