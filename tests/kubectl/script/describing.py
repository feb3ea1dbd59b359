"""Seeing why: descriptions, events, explanations."""

from typing import Final

from tests.kubectl.script.manifests import ACCOUNT, together, workspace
from tests.kubectl.steps import Step, Topic

_EVENT = """\
apiVersion: v1
kind: Event
metadata:
  name: main.made
  namespace: $ns
involvedObject:
  apiVersion: invoker.dev/v1
  kind: Workspace
  name: main
  namespace: $ns
  uid: $uid
type: Warning
reason: LookedAt
message: Somebody looked at it.
count: 3
firstTimestamp: "2026-11-21T06:00:00Z"
lastTimestamp: "2026-11-21T06:10:00Z"
source:
  component: the-tests
"""

DESCRIBING: Final = Topic(
    name="describing",
    given=together(ACCOUNT, workspace("main", labels="{tier: one}"), workspace("other", "other")),
    steps=(
        Step(
            command="describe ws main -n $ns",
            guarantee="everything about an object is told at once",
            prints=(
                r"^Name: +main$",
                r"^Namespace: +$ns$",
                r"^Labels: +tier=one$",
                r"^API Version: +invoker\.dev/v1$",
                r"^Kind: +Workspace$",
                r"^ +Subdomain: +${sub}$",
                r"^Events:",
            ),
        ),
        Step(
            command="get ws main -n $ns -o 'jsonpath=uid={.metadata.uid};'",
            guarantee="an object has an identity beyond its name",
            begins=r"uid=(?P<uid>[0-9a-f-]+);",
            prints=(r"^uid=[0-9a-f-]{36};",),
        ),
        Step(
            command="create -f -",
            stdin=_EVENT,
            guarantee="operators' programs may post events",
            exactly="event/main.made created",
        ),
        Step(
            command="describe ws main -n $ns",
            guarantee="a description shows the object's events",
            prints=(
                r"^Events:$",
                r"^ +Type +Reason +Age +From +Message$",
                r"^ +Warning +LookedAt .*the-tests +Somebody looked at it\.$",
            ),
        ),
        Step(
            command="describe ws other -n $ns",
            guarantee="and no other's",
            hides=(r"LookedAt",),
        ),
        Step(
            command="describe ws -n $ns -l tier=one",
            guarantee="a selection can be described",
            prints=(r"^Name: +main$",),
            hides=(r"^Name: +other$",),
        ),
        Step(
            command="describe account $ns",
            guarantee="cluster kinds are described",
            prints=(r"^Kind: +Account$", r"^ +Email: +${sub}@example\.com$"),
        ),
        Step(
            command="describe ws absent -n $ns",
            guarantee="what is not there cannot be described",
            code=1,
            says=(
                r'^Error from server \(NotFound\): workspaces\.invoker\.dev "absent" not found$',
            ),
        ),
        Step(
            command="get events -n $ns",
            guarantee="events are listed with what they are about",
            prints=(
                r"^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE$",
                r"^\S+ +Warning +LookedAt +workspace/main +Somebody looked at it\.$",
            ),
        ),
        Step(
            command="get events -n $ns -o jsonpath='{.items[?(@.reason==\"LookedAt\")].count}'",
            guarantee="events say how often",
            exactly="3",
        ),
        Step(
            command="get events -n $ns --field-selector involvedObject.uid=$uid,reason=LookedAt"
            " -o jsonpath={.items[*].involvedObject.name}",
            guarantee="events are selected by the object and the reason",
            exactly="main",
        ),
        Step(
            command="get events -n $ns --field-selector type=Normal,reason=LookedAt -o name",
            guarantee="events are selected by their type",
            exactly="",
        ),
        Step(
            command="get events -A --sort-by=.lastTimestamp",
            guarantee="events of all namespaces are sorted by time",
            prints=(r"^NAMESPACE +LAST SEEN", r"^$ns +"),
        ),
        Step(
            command="events -n $ns",
            guarantee="kubectl's own events command works",
            prints=(r"^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE$", r"LookedAt +Workspace/main"),
        ),
        Step(
            command="events -n $ns --for workspaces.invoker.dev/main --types=Warning",
            guarantee="events of one object and type are listed",
            prints=(r"LookedAt",),
        ),
        Step(
            command="events -n $ns --for workspaces.invoker.dev/other --types=Warning",
            guarantee="others' are not",
            hides=(r"LookedAt",),
        ),
        Step(
            command="get events -n $ns -w --output-watch-events -v=6",
            guarantee="events can be followed",
            begins=r"watch=true",
            until=(r"LookedAt",),
        ),
    ),
)

EXPLAINING: Final = Topic(
    name="explaining",
    steps=(
        Step(
            command="explain workspaces",
            guarantee="a kind is explained from its schema",
            prints=(
                r"^GROUP: +invoker\.dev$",
                r"^KIND: +Workspace$",
                r"^VERSION: +v1$",
                r"^  spec\t<\w+>",
                r"^  metadata\t<ObjectMeta>",
                r"One user's machine",
            ),
        ),
        Step(
            command="explain ws.spec.size.memoryMb",
            guarantee="a nested field is explained",
            prints=(r"^FIELD: memoryMb <integer>$",),
        ),
        Step(
            command="explain ws.spec.power",
            guarantee="the values of an enumeration are told",
            prints=(r"^FIELD: power <string>", r"Running", r"Stopped"),
        ),
        Step(
            command="explain ws.spec",
            guarantee="fields that have to be there are marked",
            prints=(r"^  subdomain\t<string> -required-$",),
        ),
        Step(
            command="explain ws --recursive",
            guarantee="the whole tree is explained",
            prints=(
                r"^    subdomain\t",
                r"^    conditions\t<\[\]\w+>",
                r"^      lastTransitionTime\t",
            ),
        ),
        Step(
            command="explain ws.status.conditions",
            guarantee="conditions are explained",
            prints=(r"^  reason\t<string>",),
        ),
        Step(
            command="explain accounts.spec.quota --api-version=invoker.dev/v1",
            guarantee="a version can be chosen",
            prints=(r"^  workspaces\t<integer>",),
        ),
        Step(
            command="explain ws.metadata.ownerReferences",
            guarantee="the metadata is explained too",
            prints=(r"^  uid\t<string>",),
        ),
        Step(
            command="explain events.involvedObject",
            guarantee="the core kinds are explained",
            prints=(r"^KIND: +Event$", r"^  name\t<string>"),
        ),
        Step(
            command="explain ws.spec.nothing",
            guarantee="a field that is not there is told",
            code=1,
            says=(r'^error: field "nothing" does not exist$',),
        ),
    ),
)
