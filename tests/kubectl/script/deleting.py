"""Deleting, and waiting for things to come true."""

from typing import Final

from tests.kubectl.script.manifests import ACCOUNT, together, workspace
from tests.kubectl.steps import Step, Topic

_HELD = """\
apiVersion: invoker.dev/v1
kind: Workspace
metadata:
  name: held
  namespace: $ns
  finalizers: [example.com/hold]
spec: {subdomain: "${sub}h", power: Stopped}
"""
_RELEASE = """patch ws held -n $ns --type=merge -p '{"metadata":{"finalizers":null}}'"""


def _ready(status: str) -> str:
    return (
        """patch ws main -n $ns --subresource=status --type=merge -p '{"status":{"conditions":["""
        f"""{{"type":"Ready","status":"{status}","reason":"Said","message":"","""
        """"lastTransitionTime":"2026-11-21T06:00:00Z","observedGeneration":1}],"""
        f""""phase":"{"Running" if status == "True" else "Pending"}"}}}}'"""
    )


DELETING: Final = Topic(
    name="deleting",
    given=together(
        ACCOUNT,
        *(workspace(name, name, "{round: first}") for name in "abcdefg"),
        workspace("y", "y", "{round: second}"),
        workspace("z", "z", "{round: second}"),
        _HELD,
    ),
    files={"b.yaml": workspace("b")},
    steps=(
        Step(
            command="delete ws a -n $ns --dry-run=server",
            guarantee="a deletion can be tried",
            prints=(r'^workspace\.invoker\.dev "a" deleted.* \(server dry run\)$',),
        ),
        Step(
            command="delete ws a -n $ns",
            guarantee="an object is deleted, and it is waited for",
            prints=(r'^workspace\.invoker\.dev "a" deleted( from $ns namespace)?$',),
        ),
        Step(
            command="delete ws a -n $ns",
            guarantee="what is gone is NotFound",
            code=1,
            says=(r'^Error from server \(NotFound\): workspaces\.invoker\.dev "a" not found$',),
        ),
        Step(
            command="delete ws a -n $ns --ignore-not-found",
            guarantee="absence can be what was wanted",
            exactly="",
        ),
        Step(
            command="delete -f b.yaml",
            guarantee="the objects of a manifest are deleted",
            prints=(r'"b" deleted',),
        ),
        Step(
            command="delete ws c -n $ns --now",
            guarantee="a grace of one second is understood",
            prints=(r'"c" deleted',),
        ),
        Step(
            command="delete ws d -n $ns --force --grace-period=0",
            guarantee="force is understood",
            prints=(r'"d" force deleted',),
            says=(r"^Warning: Immediate deletion does not wait",),
        ),
        Step(
            command="delete ws e -n $ns --cascade=foreground",
            guarantee="foreground deletion is understood",
            prints=(r'"e" deleted',),
        ),
        Step(
            command="delete ws f -n $ns --cascade=orphan",
            guarantee="what an object owns outside goes with it: orphaning is refused",
            code=1,
            says=(r"^Error from server \(BadRequest\): .*cannot be orphaned",),
        ),
        Step(
            command="delete ws/f -n $ns",
            guarantee="a refused deletion has done nothing",
            prints=(r'"f" deleted',),
        ),
        Step(
            command="delete ws -n $ns --field-selector spec.subdomain=${sub}g",
            guarantee="a selection by field is deleted",
            prints=(r'"g" deleted',),
        ),
        Step(
            command="delete ws -n $ns -l round=second -o name",
            guarantee="a selection by label is deleted",
            exactly="workspace.invoker.dev/y\nworkspace.invoker.dev/z",
        ),
        Step(
            command="delete ws held -n $ns --wait=false",
            guarantee="a deletion need not be waited for",
            prints=(r'"held" deleted',),
        ),
        Step(
            command="get ws held -n $ns"
            " -o 'jsonpath={.metadata.deletionTimestamp}/{.metadata.finalizers}'"
            "'/{.metadata.generation}'",
            guarantee="what a finalizer holds stays, marked, and its generation moves",
            prints=(r'^\d{4}-.*Z/\["example\.com/hold"\]/2$',),
        ),
        Step(
            command="patch ws held -n $ns --type=merge"
            """ -p '{"metadata":{"finalizers":["example.com/hold","example.com/late"]}}'""",
            guarantee="nobody may hold what is already to go",
            code=1,
            says=(r"(?i)finalizers",),
        ),
        Step(
            command="delete ws held -n $ns -v=6",
            guarantee="a deletion is waited for until the last finalizer is gone",
            begins=r"watch=true",
            meanwhile=(_RELEASE,),
            prints=(r'"held" deleted',),
        ),
        Step(
            command="delete ws --all -n $ns",
            guarantee="an empty selection is no error",
            prints=(r"^No resources found$",),
        ),
        Step(
            command="delete namespace $ns",
            guarantee="an account's namespace does not go without the account, and says so",
            code=1,
            says=(r'^Error from server \(Forbidden\): namespaces "$ns" is forbidden: .*account',),
        ),
        Step(
            command="delete account $ns",
            guarantee="an account goes",
            prints=(r'^account\.invoker\.dev "$ns" deleted$',),
        ),
        Step(
            command="get account,namespace $ns --ignore-not-found",
            guarantee="and its namespace with it",
            exactly="",
        ),
    ),
    alone=True,
)

WAITING: Final = Topic(
    name="waiting",
    given=together(ACCOUNT, workspace("main"), _HELD),
    files={"late.yaml": workspace("late", "l")},
    steps=(
        Step(
            command="wait ws/main -n $ns --for=condition=Ready --timeout=100ms",
            guarantee="a wait has an end",
            code=1,
            says=(r"^error: timed out waiting for the condition on workspaces/main$",),
        ),
        Step(
            command="wait ws/main -n $ns --for=condition=Ready -v=6",
            guarantee="a condition is waited for",
            begins=r"watch=true",
            meanwhile=(_ready("True"),),
            exactly="workspace.invoker.dev/main condition met",
        ),
        Step(
            command="wait ws/main -n $ns --for=condition=Ready=False -v=6",
            guarantee="a condition's other values are waited for",
            begins=r"watch=true",
            meanwhile=(_ready("False"),),
            exactly="workspace.invoker.dev/main condition met",
        ),
        Step(
            command="wait ws/main -n $ns --for=jsonpath={.status.phase}=Running -v=6",
            guarantee="any field is waited for",
            begins=r"watch=true",
            meanwhile=(_ready("True"),),
            exactly="workspace.invoker.dev/main condition met",
        ),
        Step(
            command="wait ws --all -n $ns --for=jsonpath={.spec.power}=Stopped",
            guarantee="what holds already need not be waited for, of many objects",
            exactly="""
            workspace.invoker.dev/held condition met
            workspace.invoker.dev/main condition met
            """,
        ),
        Step(
            command="wait ws/absent -n $ns --for=condition=Ready",
            guarantee="what is not there is not waited for",
            code=1,
            says=(
                r'^Error from server \(NotFound\): workspaces\.invoker\.dev "absent" not found$',
            ),
        ),
        Step(
            command="wait ws/late -n $ns --for=create --timeout=20s -v=6",
            guarantee="a creation is waited for",
            begins=r"workspaces",
            meanwhile=("create -f late.yaml",),
            prints=(r"^workspace\.invoker\.dev/late condition met$",),
        ),
        Step(
            command="delete ws held -n $ns --wait=false",
            guarantee="(what is waited for next)",
            prints=(r"deleted",),
        ),
        Step(
            command="wait ws/held -n $ns --for=delete -v=6",
            guarantee="a deletion is waited for",
            begins=r"watch=true",
            meanwhile=(_RELEASE,),
            prints=(r"^workspace\.invoker\.dev/held condition met$",),
        ),
        Step(
            command="wait ws/held -n $ns --for=delete",
            guarantee="what is gone already is waited for no longer",
            code=0,
        ),
    ),
    alone=True,
)
