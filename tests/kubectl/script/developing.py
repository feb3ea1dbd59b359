"""Dev environments: seen, explained, scaled and edited like everything else."""

from typing import Final

from tests.kubectl.script.manifests import ACCOUNT, together
from tests.kubectl.steps import Step, Topic

# Switched off, so that nothing is made of it where controllers are at work.
_DEVENV: Final = """\
apiVersion: invoker.dev/v1
kind: DevEnv
metadata:
  name: erp
  namespace: $ns
spec:
  client: $sub
  app: erp
  enabled: false
"""

DEVELOPING: Final = Topic(
    name="developing",
    given=ACCOUNT,
    steps=(
        Step(
            command="apply -f -",
            stdin=_DEVENV,
            guarantee="a dev environment is applied",
            exactly="devenv.invoker.dev/erp created",
        ),
        Step(
            command="apply -f -",
            stdin=together(_DEVENV, _DEVENV.replace("name: erp", "name: crm") + "  region: moon\n"),
            guarantee="a wish that breaks a rule is refused with its field, and the other stands",
            code=1,
            prints=(r"^devenv\.invoker\.dev/erp unchanged$",),
            says=(r"spec\.region",),
        ),
        Step(
            command="get devenvs -n $ns",
            guarantee="whose it is, its power, phase and connection are columns",
            prints=(
                r"^NAME +CLIENT +APP +POWER +PHASE +READY +CONNECTION +AGE$",
                r"^erp +$sub +erp +Running ",
            ),
        ),
        Step(
            command="get de -n $ns -o wide --field-selector spec.client=$sub,spec.app=erp",
            guarantee="its short name and the fields of its names select it",
            prints=(r"REGION +RLS +IDLE-AT +AUTO-STOP-USD +REASON", r"^erp .* production "),
        ),
        Step(
            command="explain devenv.spec.rlsMode",
            guarantee="the modes of row-level security are told",
            prints=(r"^FIELD: rlsMode <string>", r"disabled", r"permissive"),
        ),
        Step(
            command="explain devenv.status.cost",
            guarantee="what it costs is explained both ways",
            prints=(r"^  alwaysOnUsd\t<number>", r"^  autoStopUsd\t<number>"),
        ),
        Step(
            command="describe devenv erp -n $ns",
            guarantee="a description holds the whole wish",
            prints=(r"^Kind: +DevEnv$", r"^  Client: +$sub$", r"^  Rls Mode: +production$"),
        ),
        Step(
            command="scale devenv erp -n $ns --replicas=0 --current-replicas=1",
            guarantee="scaling to none stops it",
            exactly="devenv.invoker.dev/erp scaled",
        ),
        Step(
            command="get devenv erp -n $ns -o jsonpath={.spec.power}",
            guarantee="scale and power are the same wish",
            exactly="Stopped",
        ),
        Step(
            command="scale devenv erp -n $ns --replicas=2",
            guarantee="there is no second of a dev environment",
            code=1,
            says=(r"must be 0 or 1",),
        ),
        Step(
            command="get secrets -n $ns",
            guarantee="its keys and what its users connect with are served to nobody",
            code=1,
            says=(r"the server doesn't have a resource type \"secrets\"",),
        ),
        Step(
            command="delete devenv erp -n $ns --wait=false",
            guarantee="it is deleted",
            prints=(r"devenv\.invoker\.dev \"erp\" deleted",),
        ),
    ),
)
