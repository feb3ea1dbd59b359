"""Making and changing objects, one by one."""

from typing import Final

from tests.kubectl.script.manifests import ACCOUNT, together, workspace
from tests.kubectl.steps import Step, Topic

_EDITOR = {"KUBE_EDITOR": "sed -i s/Stopped/Running/"}
_IDLE = {"KUBE_EDITOR": "true"}

WRITING: Final = Topic(
    name="writing",
    given=ACCOUNT,
    files={
        "main.yaml": workspace("main"),
        "running.yaml": workspace("main", power="Running"),
        "stale.yaml": workspace("main").replace(
            "  namespace: $ns", '  namespace: $ns\n  resourceVersion: "1"'
        ),
    },
    steps=(
        Step(
            command="create -f main.yaml",
            guarantee="objects are created from manifests",
            exactly="workspace.invoker.dev/main created",
        ),
        Step(
            command="create -f main.yaml",
            guarantee="a name that is taken is AlreadyExists",
            code=1,
            says=(
                (
                    r'^Error from server \(AlreadyExists\): error when creating "main.yaml": '
                    r'workspaces\.invoker\.dev "main" already exists$'
                ),
            ),
        ),
        Step(
            command="create -f - -o jsonpath={.metadata.name}",
            stdin=workspace("x").replace("name: 'x'\n", "generateName: made-\n"),
            guarantee="the server makes up a name from a prefix",
            prints=(r"^made-[a-z0-9]{5}$",),
        ),
        Step(
            command="replace -f running.yaml",
            guarantee="an object is replaced as a whole",
            exactly="workspace.invoker.dev/main replaced",
        ),
        Step(
            command="get ws main -n $ns -o jsonpath={.spec.power}/{.metadata.generation}",
            guarantee="a change of the wish moves the generation",
            exactly="Running/2",
        ),
        Step(
            command="replace -f stale.yaml",
            guarantee="a write over a version that has moved is a Conflict",
            code=1,
            says=(
                (
                    r'^Error from server \(Conflict\): error when replacing "stale.yaml": '
                    r"Operation cannot be fulfilled on workspaces\.invoker\.dev \"main\": "
                ),
            ),
        ),
        Step(
            command="replace --force -f main.yaml",
            guarantee="an object can be deleted and made anew in one go",
            prints=(r'^workspace\.invoker\.dev "main" deleted', r"/main replaced$"),
        ),
        Step(
            command="replace -f -",
            stdin=workspace("absent"),
            guarantee="what is not there cannot be replaced",
            code=1,
            says=(r'^Error from server \(NotFound\): error when replacing .*"absent" not found',),
        ),
        Step(
            command="label ws main -n $ns tier=one team=blue",
            guarantee="labels are added",
            exactly="workspace.invoker.dev/main labeled",
        ),
        Step(
            command="label ws main -n $ns tier=two",
            guarantee="a label is not overwritten by accident",
            code=1,
            says=(r"^error: 'tier' already has a value \(one\), and --overwrite is false$",),
        ),
        Step(
            command="label ws main -n $ns tier=two team- --overwrite",
            guarantee="labels are overwritten and removed",
            prints=(r"/main (labeled|modified)$",),
        ),
        Step(
            command="label ws -n $ns --all swept=yes",
            guarantee="all objects of a namespace are labelled at once",
            prints=(r"/main labeled$", r"/made-\w+ labeled$"),
        ),
        Step(
            command="label ws main -n $ns tier=two --overwrite",
            guarantee="a label that is there already is no write",
            exactly="workspace.invoker.dev/main not labeled",
        ),
        Step(
            command="label ws main -n $ns 'tier=no spaces' --overwrite",
            guarantee="label values keep the rules",
            code=1,
            says=(r"invalid label (value|spec)",),
        ),
        Step(
            command="annotate ws main -n $ns note='some words'",
            guarantee="annotations are added",
            exactly="workspace.invoker.dev/main annotated",
        ),
        Step(
            command="get ws main -n $ns"
            " -o jsonpath='{.metadata.labels} {.metadata.annotations.note}'"
            "' {.metadata.generation}'",
            guarantee="metadata is kept and does not move the generation",
            exactly='{"swept":"yes","tier":"two"} some words 1',
        ),
        Step(
            command="annotate ws main -n $ns note-",
            guarantee="annotations are removed",
            exactly="workspace.invoker.dev/main annotated",
        ),
        Step(
            command="scale ws main -n $ns --replicas=1",
            guarantee="scaling to one starts a workspace",
            exactly="workspace.invoker.dev/main scaled",
        ),
        Step(
            command="get --raw /apis/invoker.dev/v1/namespaces/$ns/workspaces/main/scale",
            guarantee="the scale can be read",
            prints=(r'"apiVersion": ?"autoscaling/v1"', r'"kind": ?"Scale"', r'"replicas": ?1'),
        ),
        Step(
            command="scale ws main -n $ns --replicas=0 --current-replicas=1",
            guarantee="scaling to none stops it, if it is as expected",
            exactly="workspace.invoker.dev/main scaled",
        ),
        Step(
            command="scale ws main -n $ns --replicas=0 --current-replicas=1",
            guarantee="scaling does nothing if it is not as expected",
            code=1,
            says=(r"(?i)expected replicas to be 1, was 0",),
        ),
        Step(
            command="get ws main -n $ns -o jsonpath={.spec.power}",
            guarantee="scale and power are the same wish",
            exactly="Stopped",
        ),
        Step(
            command="scale ws main -n $ns --replicas=2",
            guarantee="there is no second of a workspace",
            code=1,
            says=(r"must be 0 or 1",),
        ),
        Step(
            command="scale account $ns --replicas=0",
            guarantee="what has no scale cannot be scaled",
            code=1,
            says=(r"(?i)not find",),
        ),
    ),
)

EDITING: Final = Topic(
    name="editing",
    given=together(ACCOUNT, workspace("main")),
    steps=(
        Step(
            command="edit ws main -n $ns",
            environment=_EDITOR,
            guarantee="an object is edited in an editor",
            exactly="workspace.invoker.dev/main edited",
        ),
        Step(
            command="get ws main -n $ns -o jsonpath={.spec.power}",
            guarantee="what was edited is kept",
            exactly="Running",
        ),
        Step(
            command="edit ws main -n $ns",
            environment=_IDLE,
            guarantee="an edit that changes nothing writes nothing",
            says=(r"^Edit cancelled, no changes made\.$",),
        ),
        Step(
            command="edit ws main -n $ns",
            environment={"KUBE_EDITOR": "sed -i s/Running/Flying/"},
            guarantee="a bad edit is refused, shown again with the reason, and kept",
            code=1,
            says=(
                r'^error: workspaces\.invoker\.dev "main" is invalid$',
                r"^A copy of your changes has been stored to ",
            ),
        ),
        Step(
            command="edit ws main -n $ns --subresource=status",
            environment={"KUBE_EDITOR": "sed -i 's/phase: .*/phase: Edited/'"},
            guarantee="the status is edited by itself",
            exactly="workspace.invoker.dev/main edited",
        ),
        Step(
            command="edit ws main -n $ns -o json",
            environment={"KUBE_EDITOR": "sed -i s/Running/Stopped/"},
            guarantee="objects can be edited as JSON",
            prints=(r'"power": "Stopped"',),
        ),
        Step(
            command="get ws main -n $ns -o jsonpath={.status.phase}/{.spec.power}",
            guarantee="the status that was edited is kept",
            exactly="Edited/Stopped",
        ),
    ),
    alone=True,
)

PATCHING: Final = Topic(
    name="patching",
    given=together(ACCOUNT, workspace("main", labels="{a.b/c: one}")),
    steps=(
        Step(
            command="""patch ws main -n $ns --type=merge -p '{"spec":{"volumeGb":3}}'""",
            guarantee="merge patches change what they name",
            exactly="workspace.invoker.dev/main patched",
        ),
        Step(
            command="""patch ws main -n $ns --type=merge -p '{"spec":{"volumeGb":3}}'""",
            guarantee="a patch that changes nothing is no write",
            exactly="workspace.invoker.dev/main patched (no change)",
        ),
        Step(
            command="""patch ws main -n $ns --type=merge -p '{"spec":{"volumeGb":null}}'"""
            " -o jsonpath={.spec.volumeGb}",
            guarantee="null removes a field",
            exactly="",
        ),
        Step(
            command="patch ws main -n $ns --type=json -p '"
            """[{"op":"test","path":"/metadata/labels/a.b~1c","value":"one"},"""
            """{"op":"add","path":"/spec/region","value":"ams"}]'"""
            " -o jsonpath={.spec.region}",
            guarantee="JSON patches are applied in order, with escaped names",
            exactly="ams",
        ),
        Step(
            command="patch ws main -n $ns --type=json -p '"
            """[{"op":"test","path":"/spec/region","value":"fra"},"""
            """{"op":"remove","path":"/spec/region"}]'""",
            guarantee="a JSON patch whose test fails changes nothing",
            code=1,
            says=(r"the server rejected our request due to an error in our request|test",),
        ),
        Step(
            command="""patch ws main -n $ns --type=json -p '[{"op":"remove","path":"/spec/no"}]'""",
            guarantee="a JSON patch of what is not there is refused",
            code=1,
            says=(r"^The request is invalid: .*'no'$",),
        ),
        Step(
            command="""patch ws main -n $ns -p '{"spec":{"region":"fra"}}'""",
            guarantee="strategic patches, kubectl's default, are not for our kinds, and it says so",
            code=1,
            says=(
                r"^error: application/strategic-merge-patch\+json is not supported by invoker\.dev",
            ),
        ),
        Step(
            command="""patch ws main -n $ns --type=merge -p '{"status":{"phase":"Ours"}}'"""
            " -o jsonpath={.status.phase}",
            guarantee="the object's own endpoint ignores the status",
            hides=("Ours",),
        ),
        Step(
            command="""patch ws main -n $ns --subresource=status --type=merge -p '"""
            """{"status":{"phase":"Ours"},"spec":{"region":"syd"}}'"""
            " -o 'jsonpath={.status.phase}/{.spec.region}'",
            guarantee="the status subresource ignores the spec",
            exactly="Ours/ams",
        ),
        Step(
            command="get ws main -n $ns -o jsonpath={.metadata.generation}",
            guarantee="of all these, only the three that changed the spec moved the generation",
            exactly="4",
        ),
        Step(
            command="patch ws main -n $ns --type=merge"
            """ -p '{"metadata":{"resourceVersion":"1"}}'""",
            guarantee="a patch that names a version holds only for it",
            code=1,
            says=(r"^Error from server \(Conflict\): ",),
        ),
        Step(
            command="""patch ws main -n $ns --type=merge -p """
            """'{"metadata":{"uid":"00000000-0000-4000-8000-000000000000"}}'""",
            guarantee="the uid is the server's",
            code=1,
            says=(r"(?i)uid",),
        ),
        Step(
            command="""patch ws absent -n $ns --type=merge -p '{"spec":{}}'""",
            guarantee="what is not there cannot be patched",
            code=1,
            says=(r"^Error from server \(NotFound\): ",),
        ),
        Step(
            command="""patch platform platform --type=merge --dry-run=server -p """
            """'{"spec":{"incident":{"active":true}}}' -o jsonpath={.spec.incident.active}""",
            guarantee="a change of the whole installation can be tried first",
            exactly="true",
        ),
        Step(
            command="get platform platform -o jsonpath={.spec.incident.active}",
            guarantee="what was only tried is not kept",
            exactly="false",
        ),
    ),
    alone=True,
)
