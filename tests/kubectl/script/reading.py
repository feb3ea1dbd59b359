"""Getting objects, in every form and selection."""

from typing import Final

from tests.kubectl.script.manifests import ACCOUNT, together, workspace
from tests.kubectl.steps import Step, Topic

_ALL = ("a", "b", "c")


def _names(*names: str) -> str:
    return "\n".join(f"workspace.invoker.dev/{name}" for name in names)


READING: Final = Topic(
    name="reading",
    given=together(
        ACCOUNT,
        workspace("a", "a", "{tier: one, team: blue}"),
        workspace("b", "b", "{tier: two}"),
        workspace("c", "c"),
    ),
    files={"two.yaml": together(workspace("a"), workspace("b"))},
    steps=(
        Step(
            command="get workspaces -n $ns",
            guarantee="the server makes the table: columns, rows, ages",
            prints=(
                r"^NAME +SUBDOMAIN +POWER +PHASE +READY +URL +AGE$",
                r"^a +${sub}a +Stopped +\w+ .*\d+s$",
            ),
            hides=("REGION",),
        ),
        Step(
            command="get ws -n $ns -o wide",
            guarantee="wide tables have more columns",
            prints=(r"^NAME +SUBDOMAIN .*\bREGION +ASLEEP +IDLE-AT +REASON\b",),
        ),
        Step(
            command="get ws -n $ns --no-headers -o custom-columns=:metadata.name",
            guarantee="lists are in the order of names",
            exactly="a\nb\nc",
        ),
        Step(
            command="get ws -n $ns -o name",
            guarantee="names come with their group, to be fed to other commands",
            exactly=_names(*_ALL),
        ),
        Step(
            command="get ws/a ws/c -n $ns -o name",
            guarantee="several objects can be asked for by name",
            exactly=_names("a", "c"),
        ),
        Step(
            command="get workspace a -n $ns -o name",
            guarantee="the singular is understood",
            exactly=_names("a"),
        ),
        Step(
            command="get workspaces.v1.invoker.dev a -n $ns -o name",
            guarantee="the full name of the resource is understood",
            exactly=_names("a"),
        ),
        Step(
            command="get -f two.yaml -o name",
            guarantee="the objects of a manifest can be read",
            exactly=_names("a", "b"),
        ),
        Step(
            command="get ws a -n $ns -o yaml",
            guarantee="an object carries its type, identity and versions",
            prints=(
                r"^apiVersion: invoker\.dev/v1$",
                r"^kind: Workspace$",
                r"^  generation: 1$",
                r'^  resourceVersion: "\d+"$',
                r"^  uid: [0-9a-f-]{36}$",
                r"^  creationTimestamp: \"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\"$",
            ),
            hides=("managedFields",),
        ),
        Step(
            command="get ws -n $ns -o json",
            guarantee="a list has every object, and kubectl names its type",
            prints=(r'"kind": "List"', r'"kind": "Workspace"', r'"subdomain": "${sub}c"'),
        ),
        Step(
            command="get --raw /apis/invoker.dev/v1/namespaces/$ns/workspaces",
            guarantee="a list has a resourceVersion to watch from",
            prints=(r'"kind": ?"WorkspaceList"', r'"resourceVersion": ?"\d+"'),
        ),
        Step(
            command="get ws -n $ns -o jsonpath='{.items[*].spec.subdomain}'",
            guarantee="fields can be picked by JSONPath",
            exactly="${sub}a ${sub}b ${sub}c",
        ),
        Step(
            command="get ws -n $ns -o go-template='{{range .items}}{{.metadata.name}};{{end}}'",
            guarantee="fields can be picked by a template",
            exactly="a;b;c;",
        ),
        Step(
            command="get ws -n $ns -o custom-columns=N:.metadata.name,T:.metadata.labels.tier",
            guarantee="columns can be one's own",
            prints=(r"^N +T$", r"^a +one$", r"^c +<none>$"),
        ),
        Step(
            command="get ws -n $ns --sort-by=.spec.subdomain",
            guarantee="tables can be sorted by a field, for which rows carry whole objects",
            prints=(r"^a [\s\S]*^b [\s\S]*^c ",),
        ),
        Step(
            command="get ws -n $ns -l tier=one -o name",
            guarantee="labels select",
            exactly=_names("a"),
        ),
        Step(
            command="get ws -n $ns -l 'tier in (one,two),team!=blue' -o name",
            guarantee="selectors by sets and inequality can be combined",
            exactly=_names("b"),
        ),
        Step(
            command="get ws -n $ns -l '!tier' -o name",
            guarantee="the lack of a label selects",
            exactly=_names("c"),
        ),
        Step(
            command="get ws -n $ns -l 'tier notin (one)' -o name",
            guarantee="notin takes objects without the label too",
            exactly=_names("b", "c"),
        ),
        Step(
            command="get ws -n $ns -l '=='",
            guarantee="a selector that cannot be read is refused",
            code=1,
            says=(r"(?i)unable to parse|BadRequest",),
        ),
        Step(
            command="get ws -n $ns -L tier --show-labels",
            guarantee="labels can be shown in tables",
            prints=(r"^NAME .* TIER +LABELS$", r"^a .* one +team=blue,tier=one$"),
        ),
        Step(
            command="get ws -n $ns --field-selector metadata.name=b -o name",
            guarantee="the name selects",
            exactly=_names("b"),
        ),
        Step(
            command="get ws -n $ns --field-selector spec.subdomain=${sub}c,metadata.name!=a"
            " -o name",
            guarantee="the kind's own fields select, also by inequality",
            exactly=_names("c"),
        ),
        Step(
            command="get ws -A --field-selector metadata.namespace=$ns -o name",
            guarantee="all namespaces are listed at once, and the namespace selects",
            exactly=_names(*_ALL),
        ),
        Step(
            command="get ws -A",
            guarantee="tables over all namespaces show the namespace",
            prints=(r"^NAMESPACE +NAME +SUBDOMAIN", r"^$ns +a +${sub}a "),
        ),
        Step(
            command="get ws -n $ns --field-selector spec.nothing=1",
            guarantee="a field that does not select is refused by name",
            code=1,
            says=(
                r"^Error from server \(BadRequest\): .*field label not supported: spec\.nothing",
            ),
        ),
        Step(
            command="get ws -n $ns --chunk-size=1 -o name -v=8",
            guarantee="long lists come in pages, each with a token for the next",
            prints=(r"^workspace\.invoker\.dev/a$", r"^workspace\.invoker\.dev/c$"),
            says=(r"workspaces\?continue=[^ ]+&limit=1|workspaces\?limit=1&continue=",),
        ),
        Step(
            command="get --raw /apis/invoker.dev/v1/namespaces/$ns/workspaces?limit=1",
            guarantee="a page tells how to go on",
            prints=(r'"continue": ?"[^"]+"',),
        ),
        Step(
            command="get --raw '/apis/invoker.dev/v1/workspaces?limit=1&continue=nonsense'",
            guarantee="a token that is none of ours is refused",
            code=1,
            says=(r"^Error from server \(BadRequest\): .*continue",),
        ),
        Step(
            command="get ws,accounts,machines -n $ns --ignore-not-found",
            guarantee="several resources can be asked for at once",
            prints=(r"^workspace\.invoker\.dev/a ",),
        ),
        Step(
            command="get account $ns -o wide",
            guarantee="cluster kinds need no namespace",
            prints=(r"^NAME +EMAIL +PLAN +STATE +WORKSPACES +READY", r"^$ns +${sub}@example\.com"),
        ),
        Step(
            command="get platforms",
            guarantee="the platform is there from the beginning",
            prints=(r"^platform ",),
        ),
        Step(
            command="get namespace $ns -o jsonpath={.metadata.name}/{.status.phase}",
            guarantee="an account is a namespace",
            exactly="$ns/Active",
        ),
        Step(
            command="get namespaces",
            guarantee="namespaces are listed as kubectl's users expect",
            prints=(r"^NAME +STATUS +AGE$", r"^$ns +Active +\d+s$"),
        ),
        Step(
            command="get ws z -n $ns",
            guarantee="what is not there is NotFound, by its full name",
            code=1,
            says=(r'^Error from server \(NotFound\): workspaces\.invoker\.dev "z" not found$',),
        ),
        Step(
            command="get ws z -n $ns --ignore-not-found",
            guarantee="absence can be fine",
            exactly="",
        ),
        Step(
            command="get ws -n $ns-empty",
            guarantee="an empty list is no error",
            exactly="",
            says=(r"^No resources found in $ns-empty namespace\.$",),
        ),
        Step(
            command="get ws a -n $ns --subresource=status -o jsonpath={.kind}",
            guarantee="the status subresource can be read, as the whole object",
            exactly="Workspace",
        ),
        Step(
            command="get ws a -n $ns --show-kind --no-headers",
            guarantee="rows can name their kind",
            prints=(r"^workspace\.invoker\.dev/a +${sub}a",),
        ),
        Step(
            command="get ws a -n $ns --server-print=false",
            guarantee="clients that make their own tables get plain objects",
            prints=(r"^NAME +AGE$", r"^a +\d+s$"),
        ),
    ),
)
