"""What happens to manifests that are wrong."""

from typing import Final

from tests.kubectl.script.manifests import ACCOUNT, workspace
from tests.kubectl.steps import Step, Topic

_UNKNOWN = workspace("odd") + "  colour: blue\n"

VALIDATING: Final = Topic(
    name="validating",
    given=ACCOUNT,
    files={
        "unknown.yaml": _UNKNOWN,
        "typed.yaml": workspace("odd") + "  volumeGb: plenty\n",
        "two.yaml": workspace("odd", power="Flying") + "  region: moon\n",
        "missing.yaml": workspace("odd").replace("  subdomain: ${sub}\n", ""),
        "named.yaml": workspace("Odd_Name"),
        "kind.yaml": workspace("odd").replace("kind: Workspace", "kind: Nothing"),
        "version.yaml": workspace("odd").replace("invoker.dev/v1", "invoker.dev/v9"),
        "labelled.yaml": workspace("odd", labels="{tier: 'no spaces'}"),
    },
    steps=(
        Step(
            command="create -f unknown.yaml",
            guarantee="an unknown field is refused, with its path",
            code=1,
            says=(
                (
                    r'^Error from server \(BadRequest\): error when creating "unknown\.yaml": '
                    r'Workspace in version "v1" cannot be handled as a Workspace: '
                    r'strict decoding error: unknown field "spec\.colour"$'
                ),
            ),
        ),
        Step(
            command="create -f unknown.yaml --validate=warn --dry-run=server",
            guarantee="an unknown field can be warned of",
            prints=(r"odd created \(server dry run\)$",),
            says=(r'^Warning: unknown field "spec\.colour"$',),
        ),
        Step(
            command="create -f unknown.yaml --validate=ignore",
            guarantee="an unknown field can be ignored",
            exactly="workspace.invoker.dev/odd created",
            hides=(r"Warning",),
        ),
        Step(
            command="get ws odd -n $ns -o yaml",
            guarantee="an ignored field is not kept",
            hides=(r"colour",),
        ),
        Step(
            command="""patch ws odd -n $ns --type=merge -p '{"spec":{"colour":"red"}}'""",
            guarantee="patches say so as well",
            says=(r"colour",),
        ),
        Step(
            command="apply -f unknown.yaml",
            guarantee="apply is strict too",
            code=1,
            says=(r'strict decoding error: unknown field "spec\.colour"',),
        ),
        Step(
            command="create -f typed.yaml",
            guarantee="a value of the wrong type is refused, with its field",
            code=1,
            says=(r'^The Workspace "odd" is invalid: spec\.volumeGb: ',),
        ),
        Step(
            command="create -f two.yaml",
            guarantee="everything that is wrong is told at once",
            code=1,
            says=(
                r'^The Workspace "odd" is invalid: $',
                r"^\* spec\.power: ",
                r"^\* spec\.region: must be one of ams, ",
            ),
        ),
        Step(
            command="create -f missing.yaml",
            guarantee="a field that has to be there is named",
            code=1,
            says=(r'^The Workspace "odd" is invalid: spec\.subdomain: ',),
        ),
        Step(
            command="create -f named.yaml",
            guarantee="names keep RFC 1123",
            code=1,
            says=(r'^The Workspace "Odd_Name" is invalid: metadata\.name: .*RFC 1123',),
        ),
        Step(
            command="create -f labelled.yaml",
            guarantee="labels keep the rules of labels",
            code=1,
            says=(r'^The Workspace "odd" is invalid: metadata\.labels',),
        ),
        Step(
            command="create -f kind.yaml",
            guarantee="an unknown kind is found out from discovery",
            code=1,
            says=(r'no matches for kind "Nothing" in version "invoker\.dev/v1"',),
        ),
        Step(
            command="create -f version.yaml",
            guarantee="an unknown version is found out from discovery",
            code=1,
            says=(r'no matches for kind "Workspace" in version "invoker\.dev/v9"',),
        ),
        Step(
            command="create -f unknown.yaml -n elsewhere",
            guarantee="a manifest's namespace is not overruled",
            code=1,
            says=(r"^error: the namespace from the provided object .* does not match",),
        ),
        Step(
            command="create --raw /apis/invoker.dev/v1/namespaces/$ns/workspaces -f -",
            stdin="{",
            guarantee="a body that cannot be read is refused as such",
            code=1,
            says=(r"^Error from server \(BadRequest\): ",),
        ),
        Step(
            command="create --raw /apis/invoker.dev/v1/namespaces/elsewhere/workspaces -f -",
            stdin="""
            {"apiVersion": "invoker.dev/v1", "kind": "Workspace",
             "metadata": {"name": "odd", "namespace": "$ns"}, "spec": {"subdomain": "${sub}x"}}
            """,
            guarantee="an object and its path agree on the namespace",
            code=1,
            says=(r"^Error from server \(BadRequest\): .*namespace",),
        ),
        Step(
            command="create -f unknown.yaml --validate=false --dry-run=client -o name",
            guarantee="trying at home asks the server nothing",
            exactly="workspace.invoker.dev/odd",
        ),
    ),
)
