"""Following changes."""

from typing import Final

from tests.kubectl.script.manifests import ACCOUNT, together, workspace
from tests.kubectl.steps import Step, Topic

_PATH = "/apis/invoker.dev/v1/namespaces/$ns/workspaces?watch=true"

WATCHING: Final = Topic(
    name="watching",
    given=together(ACCOUNT, workspace("a", "a", "{tier: one}"), workspace("b", "b")),
    files={"c.yaml": workspace("c", "c")},
    steps=(
        Step(
            command="get ws -n $ns -w --no-headers -L step -v=6",
            guarantee="a list is followed by every later change, as rows of the same table",
            begins=r"watch=true",
            meanwhile=("label ws a -n $ns step=first",),
            until=(r"^b .*$", r"^a .* first$"),
        ),
        Step(
            command="get ws a -n $ns -w --no-headers -L step -v=6",
            guarantee="one object can be followed, and others' changes do not show",
            begins=r"watch=true",
            meanwhile=(
                "label ws b -n $ns step=other",
                "label ws a -n $ns step=second --overwrite",
            ),
            until=(r"^a .* second$",),
            hides=(r"^b ",),
        ),
        Step(
            command="get ws -n $ns --watch-only --output-watch-events -L step -v=6",
            guarantee="changes alone can be followed, with what happened: creation and deletion",
            begins=r"watch=true",
            meanwhile=("create -f c.yaml", "delete ws c -n $ns"),
            until=(r"^ADDED +c ", r"^DELETED +c "),
            hides=(r"^ADDED +a ",),
        ),
        Step(
            command="get ws -n $ns -w -l tier=one --output-watch-events -v=6",
            guarantee="what leaves a selection is DELETED there, what enters it ADDED",
            begins=r"watch=true",
            meanwhile=("label ws a -n $ns tier-", "label ws b -n $ns tier=one"),
            until=(r"^ADDED +a ", r"^DELETED +a ", r"^ADDED +b "),
        ),
        Step(
            command="get ws -n $ns -w --field-selector spec.power=Running"
            " --output-watch-events -v=6",
            guarantee="the same holds for selections by field",
            begins=r"watch=true",
            meanwhile=(
                """patch ws b -n $ns --type=merge -p '{"spec":{"power":"Running"}}'""",
                """patch ws b -n $ns --type=merge -p '{"spec":{"power":"Stopped"}}'""",
            ),
            until=(r"^ADDED +b ", r"^DELETED +b "),
        ),
        Step(
            command="get ws -A -w -o jsonpath='{.metadata.labels.step}{\"\\n\"}' -v=6",
            guarantee="whole objects can be followed, over all namespaces",
            begins=r"watch=true",
            meanwhile=("label ws a -n $ns step=third --overwrite",),
            until=(r"^third$",),
        ),
        Step(
            command="get account $ns -w --no-headers -L step -v=6",
            guarantee="cluster kinds can be followed",
            begins=r"watch=true",
            meanwhile=("label account $ns step=one",),
            until=(r"^$ns .* one$",),
        ),
        Step(
            command=f"get --raw '{_PATH}&timeoutSeconds=1'",
            guarantee="without a version a watch begins with what is there; it ends when asked to",
            prints=(r'"type": ?"ADDED".*"name": ?"a"', r'"type": ?"ADDED".*"name": ?"b"'),
        ),
        Step(
            command=f"get --raw '{_PATH}&timeoutSeconds=1&resourceVersion=0"
            "&allowWatchBookmarks=true&sendInitialEvents=true"
            "&resourceVersionMatch=NotOlderThan'",
            guarantee="the end of the initial events is marked by a bookmark",
            prints=(
                r'"type": ?"ADDED"',
                r'"type": ?"BOOKMARK".*"k8s\.io/initial-events-end": ?"true"',
            ),
        ),
        Step(
            command=f"get --raw '{_PATH}&timeoutSeconds=1&resourceVersion=99999999999999'",
            guarantee="a version from the future is told to be expired inside the stream",
            prints=(r'"type": ?"ERROR".*"code": ?410',),
        ),
        Step(
            command=f"get --raw '{_PATH}&timeoutSeconds=1&resourceVersion=nonsense'",
            guarantee="a version that is none is refused",
            code=1,
            says=(r"^Error from server \(BadRequest|Invalid\)",),
        ),
    ),
)
