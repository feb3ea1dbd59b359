"""Who one is and what one may do; namespaces."""

from typing import Final

from tests.kubectl.script.manifests import ACCOUNT, workspace
from tests.kubectl.steps import Step, Topic

ACCESSING: Final = Topic(
    name="accessing",
    given=ACCOUNT,
    steps=(
        Step(
            command="auth whoami",
            guarantee="people see who they are to the server",
            prints=(r"^ATTRIBUTE +VALUE$", r"^Username +\S+", r"^Groups +.*invoker:platform-admin"),
        ),
        Step(
            command="auth whoami -o jsonpath={.kind}",
            guarantee="programs see who they are",
            exactly="SelfSubjectReview",
        ),
        Step(
            command="auth can-i create workspaces -n $ns",
            guarantee="people ask what they may do",
            exactly="yes",
        ),
        Step(
            command="auth can-i get accounts/$ns",
            guarantee="one object can be asked about",
            prints=(r"^yes$",),
        ),
        Step(
            command="auth can-i update workspaces --subresource=status -n $ns",
            guarantee="subresources are asked about",
            exactly="yes",
        ),
        Step(
            command="auth can-i get secrets -n $ns",
            guarantee="nobody may read secrets here, and the answer is also an exit code",
            code=1,
            prints=(r"^no",),
        ),
        Step(
            command="auth can-i --list -n $ns",
            guarantee="all that one may do is listed",
            prints=(
                r"^Resources +Non-Resource URLs +Resource Names +Verbs$",
                r"^workspaces\.invoker\.dev .*\[.*create.*\]",
            ),
        ),
        Step(
            command="get ws -n $ns --token=wrong",
            guarantee="a token that proves nothing is Unauthorized",
            code=1,
            says=(r"^error: You must be logged in to the server( \(.*Unauthorized.*\))?$",),
        ),
        Step(
            command="create namespace $ns-made",
            guarantee="a namespace is made as anywhere",
            exactly="namespace/$ns-made created",
        ),
        Step(
            command="create namespace $ns-made",
            guarantee="and only once",
            code=1,
            says=(r'^Error from server \(AlreadyExists\): namespaces "$ns-made" already exists$',),
        ),
        Step(
            command="get ns $ns-made -o jsonpath={.status.phase}",
            guarantee="and is there",
            exactly="Active",
        ),
        Step(
            command="""patch ns $ns-made -p '{"metadata":{"labels":{"team":"one"}}}'""",
            guarantee="and takes strategic patches, as every cluster's namespaces do",
            exactly="namespace/$ns-made patched",
        ),
        Step(
            command="get ns -l team=one --field-selector metadata.name=$ns-made -o name",
            guarantee="and is selected by labels and name",
            exactly="namespace/$ns-made",
        ),
        Step(
            command="create -n $ns-made -f -",
            stdin=workspace("inside").replace("  namespace: $ns\n", ""),
            guarantee="and holds objects",
            prints=(r"/inside created$",),
        ),
        Step(
            command="delete ns $ns-made",
            guarantee="and goes, with what is in it",
            prints=(r'^namespace "$ns-made" deleted',),
        ),
        Step(
            command="get ws -n $ns-made -o name",
            guarantee="so that nothing of it is left",
            exactly="",
        ),
        Step(
            command="config current-context",
            guarantee="the kubeconfig has a context to begin with",
            prints=(r"^\S+$",),
        ),
    ),
)
