"""A wish and what comes of it, with the controller at work."""

from typing import Final

from tests.kubectl.script.manifests import ACCOUNT, together, workspace
from tests.kubectl.steps import Step, Topic

CONVERGING: Final = Topic(
    name="converging",
    files={"main.yaml": together(ACCOUNT, workspace("main", power="Running"))},
    steps=(
        Step(
            command="apply -f main.yaml",
            guarantee="a wish is written",
            prints=(r"^workspace\.invoker\.dev/main created$",),
        ),
        Step(
            command="wait ws/main -n $ns --for=condition=Ready --timeout=25s",
            guarantee="the wish comes true, and kubectl sees it",
            exactly="workspace.invoker.dev/main condition met",
        ),
        Step(
            command="get ws,machines -n $ns",
            guarantee="the table shows what came of it",
            prints=(r"^workspace\.invoker\.dev/main +${sub} +Running +Running +True +http",),
        ),
        Step(
            command="get route ${sub} -o jsonpath={.spec.account}",
            guarantee="what was made for it is there to be read",
            exactly="$ns",
        ),
        Step(
            command="events -n $ns --for machines.invoker.dev/main",
            guarantee="what happened outside is told in events",
            prints=(r"Normal +Created +Machine/main",),
        ),
        Step(
            command="scale ws main -n $ns --replicas=0",
            guarantee="another wish is written",
            prints=(r"scaled$",),
        ),
        Step(
            command="wait ws/main -n $ns --for=jsonpath={.status.phase}=Stopped --timeout=25s",
            guarantee="it stops",
            exactly="workspace.invoker.dev/main condition met",
        ),
        Step(
            command="delete ws main -n $ns --timeout=25s",
            guarantee="a deletion is over when everything outside is gone",
            prints=(r'"main" deleted',),
        ),
        Step(
            command="get machines -n $ns",
            guarantee="nothing is left of it",
            says=(r"^No resources found in $ns namespace\.$",),
        ),
    ),
    converges=True,
)
