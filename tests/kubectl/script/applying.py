"""Applying manifests: from the client, and on the server with field managers."""

from typing import Final

from tests.kubectl.script.manifests import ACCOUNT, together, workspace
from tests.kubectl.steps import Step, Topic

_WITH_REGION = workspace("main", labels="{tier: one}") + "  region: ams\n"

APPLYING: Final = Topic(
    name="applying",
    given=ACCOUNT,
    files={
        "main.yaml": _WITH_REGION,
        "less.yaml": workspace("main", power="Running"),
        "many.yaml": together(workspace("one", "one"), workspace("two", "two")),
        "one.yaml": workspace("one", "one"),
    },
    steps=(
        Step(
            command="diff -f main.yaml",
            guarantee="what would be made is shown as added",
            code=1,
            prints=(r"^\+  region: ams$",),
        ),
        Step(
            command="apply -f main.yaml --dry-run=server",
            guarantee="an apply can be tried on the server",
            exactly="workspace.invoker.dev/main created (server dry run)",
        ),
        Step(
            command="apply -f main.yaml --dry-run=client",
            guarantee="an apply can be tried at home",
            exactly="workspace.invoker.dev/main created (dry run)",
        ),
        Step(
            command="get ws main -n $ns",
            guarantee="what was only tried is not there",
            code=1,
            says=(r"NotFound",),
        ),
        Step(
            command="apply -f main.yaml",
            guarantee="apply makes what is not there",
            exactly="workspace.invoker.dev/main created",
        ),
        Step(
            command="apply -f main.yaml",
            guarantee="apply leaves alone what is as wished",
            exactly="workspace.invoker.dev/main unchanged",
        ),
        Step(
            command="diff -f main.yaml",
            guarantee="nothing differs after an apply",
            exactly="",
        ),
        Step(
            command="diff -f less.yaml",
            guarantee="what an apply would change is shown, by the server's own account",
            code=1,
            prints=(r"^-  region: ams$", r"^\+  power: Running$", r"^-  power: Stopped$"),
        ),
        Step(
            command="apply -f less.yaml",
            guarantee="apply changes what differs",
            exactly="workspace.invoker.dev/main configured",
        ),
        Step(
            command="get ws main -n $ns"
            " -o jsonpath={.spec.power}/{.spec.region}/{.metadata.labels}",
            guarantee="apply takes back what it had made and no longer wishes",
            exactly="Running//",
        ),
        Step(
            command="apply view-last-applied ws main -n $ns",
            guarantee="what was last applied is kept on the object",
            prints=(r"^  power: Running$",),
        ),
        Step(
            command="apply -f many.yaml -o name",
            guarantee="several objects are applied at once",
            exactly="workspace.invoker.dev/one\nworkspace.invoker.dev/two",
        ),
        Step(
            command="apply -f one.yaml -l '!nothing' -n $ns --prune"
            " --prune-allowlist=invoker.dev/v1/Workspace",
            guarantee="what is no longer in the manifests can be pruned",
            prints=(r"/one unchanged$", r"/two pruned$"),
        ),
        Step(
            command="apply -f -",
            stdin=workspace("main", power="Flying"),
            guarantee="an apply that breaks a rule is refused with the field",
            code=1,
            says=(r"spec\.power",),
        ),
    ),
)

SERVER_SIDE: Final = Topic(
    name="server-side",
    given=ACCOUNT,
    files={
        "main.yaml": _WITH_REGION,
        "less.yaml": workspace("main"),
        "theirs.yaml": workspace("main", power="Running"),
        "volume.yaml": workspace("main").replace("  power: Stopped\n", "  volumeGb: 5\n"),
    },
    steps=(
        Step(
            command="apply --server-side -f main.yaml",
            guarantee="server-side apply makes what is not there",
            exactly="workspace.invoker.dev/main serverside-applied",
        ),
        Step(
            command="get ws main -n $ns --show-managed-fields"
            " -o 'jsonpath={.metadata.managedFields[*].manager}/"
            "{.metadata.managedFields[*].operation}'",
            guarantee="who manages which fields is kept",
            exactly="kubectl/Apply",
        ),
        Step(
            command="apply --server-side -f main.yaml -o jsonpath={.metadata.generation}",
            guarantee="applying the same again changes nothing",
            exactly="1",
        ),
        Step(
            command="apply --server-side -f theirs.yaml --field-manager=other",
            guarantee="a field that somebody else manages is a conflict, named",
            code=1,
            says=(
                r'^error: Apply failed with 1 conflict: conflict with "kubectl".*: \.spec\.power',
                r"^Please review the fields above",
            ),
        ),
        Step(
            command="apply --server-side -f volume.yaml --field-manager=other",
            guarantee="several managers share an object when they agree on what they share",
            exactly="workspace.invoker.dev/main serverside-applied",
        ),
        Step(
            command="apply --server-side -f theirs.yaml --field-manager=other --force-conflicts",
            guarantee="a manager can take a field over",
            exactly="workspace.invoker.dev/main serverside-applied",
        ),
        Step(
            command="get ws main -n $ns"
            " -o 'jsonpath={.spec.power}/{.spec.volumeGb}/{.spec.region}'",
            guarantee="a field goes when its only manager no longer applies it; others' stay",
            exactly="Running//ams",
        ),
        Step(
            command="apply --server-side -f main.yaml",
            guarantee="whoever lost a field hears of it",
            code=1,
            says=(r'conflict with "other".*: \.spec\.power',),
        ),
        Step(
            command="apply --server-side -f main.yaml --force-conflicts --dry-run=server",
            guarantee="a server-side apply can be tried",
            exactly="workspace.invoker.dev/main serverside-applied (server dry run)",
        ),
        Step(
            command="""patch ws main -n $ns --type=merge -p '{"spec":{"region":"fra"}}'"""
            " --field-manager=patcher",
            guarantee="other writes take fields over without asking",
            prints=(r"patched$",),
        ),
        Step(
            command="apply --server-side -f main.yaml --force-conflicts=false",
            guarantee="but a later apply hears of those too",
            code=1,
            says=(r"^error: Apply failed with 2 conflicts: ", r'with "patcher"', r"\.spec\.region"),
        ),
        Step(
            command="diff --server-side -f main.yaml --force-conflicts",
            guarantee="server-side differences are shown",
            code=1,
            prints=(r"^\+  region: ams$",),
        ),
        Step(
            command="apply --server-side -f -",
            stdin=workspace("main") + "  colour: blue\n",
            guarantee="an unknown field is refused in server-side applies too",
            code=1,
            says=(r"(?i)colour",),
        ),
    ),
)
