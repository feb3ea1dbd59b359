"""Finding out what is served."""

from typing import Final

from tests.kubectl.steps import Step, Topic

_RESOURCE = "/apis/invoker.dev/v1"

DISCOVERING: Final = Topic(
    name="discovering",
    steps=(
        Step(
            command="api-versions",
            guarantee="our group-version and the core one are served",
            prints=(r"^invoker\.dev/v1$", r"^v1$"),
        ),
        Step(
            command="api-resources --api-group=invoker.dev",
            guarantee="every kind is there with its short names and scope",
            prints=(
                r"^accounts +invoker\.dev/v1 +false +Account$",
                r"^machines +invoker\.dev/v1 +true +Machine$",
                r"^devenvs +de +invoker\.dev/v1 +true +DevEnv$",
                r"^vpses +invoker\.dev/v1 +true +Vps$",
                r"^sessions +sess +invoker\.dev/v1 +true +Session$",
                r"^authorizedkeys +ak +invoker\.dev/v1 +true +AuthorizedKey$",
                r"^platforms +invoker\.dev/v1 +false +Platform$",
                r"^routes +invoker\.dev/v1 +false +Route$",
                r"^workspaces +ws +invoker\.dev/v1 +true +Workspace$",
            ),
        ),
        Step(
            command="api-resources --api-group=invoker.dev --namespaced=false -o name",
            guarantee="scopes are told apart",
            exactly="accounts.invoker.dev\nplatforms.invoker.dev\nroutes.invoker.dev",
        ),
        Step(
            command="api-resources --api-group=invoker.dev -o wide",
            guarantee="verbs are told, so that clients know what they may try",
            prints=(r"^workspaces .*create,delete.*get,list,patch,update,watch",),
        ),
        Step(
            command="api-resources --verbs=watch,patch --namespaced -o name",
            guarantee="resources can be chosen by verb",
            prints=(r"^workspaces\.invoker\.dev$",),
        ),
        Step(
            command="get workspaces -n $ns -v=6 --cache-dir=cold",
            guarantee="with a cold cache one aggregated answer tells everything",
            says=(r"/api\?timeout", r"/apis\?timeout"),
            hides=(r"/apis/invoker\.dev/v1\?timeout", r"/api/v1\?timeout"),
        ),
        Step(
            command="get workspaces -n $ns -v=6 --cache-dir=cold",
            guarantee="the discovery's answer can be cached",
            hides=(r"/apis\?timeout",),
        ),
        Step(
            command="version",
            guarantee="the server has a version that kubectl can read",
            prints=(r"^Client Version: v1\.", r"^Server Version: v\d+\.\d+"),
        ),
        Step(
            command="version -o json",
            guarantee="the version's parts are told",
            prints=(r'"serverVersion": \{', r'"gitVersion": "v', r'"major": "\d+"'),
        ),
        Step(
            command="cluster-info",
            guarantee="the address of the control plane is told",
            prints=(r"control plane.* is running at .*https://127\.0\.0\.1:\d+",),
        ),
        Step(
            command="get --raw /version",
            guarantee="any path can be read as it is",
            prints=(r'"gitVersion"',),
        ),
        Step(
            command="get --raw /api",
            guarantee="legacy discovery lists the core versions",
            prints=(r'"kind": ?"APIVersions"', r'"v1"'),
        ),
        Step(
            command="get --raw /apis",
            guarantee="legacy discovery lists the groups",
            prints=(r'"kind": ?"APIGroupList"', r'"invoker\.dev"'),
        ),
        Step(
            command="get --raw /apis/invoker.dev",
            guarantee="legacy discovery tells of one group",
            prints=(r'"kind": ?"APIGroup"', r'"preferredVersion"'),
        ),
        Step(
            command=f"get --raw {_RESOURCE}/",
            guarantee="legacy discovery lists resources, subresources too, with a slash at the end",
            prints=(
                r'"kind": ?"APIResourceList"',
                r'"workspaces/status"',
                r'"workspaces/scale"',
            ),
        ),
        Step(
            command="get --raw /api/v1",
            guarantee="the core group's resources are listed",
            prints=(r'"namespaces"', r'"events"'),
        ),
        Step(
            command="get --raw /openapi/v3",
            guarantee="OpenAPI v3 has an index by group-version, with hashes for caches",
            prints=(r"/openapi/v3/apis/invoker\.dev/v1\?hash=",),
        ),
        Step(
            command="get --raw /openapi/v3/apis/invoker.dev/v1",
            guarantee="the schemas carry their kinds and the writes their fieldValidation",
            prints=(r"x-kubernetes-group-version-kind", r"fieldValidation", r'"Workspace"'),
        ),
        Step(
            command="get --raw /readyz",
            guarantee="readiness can be asked for as of any API server",
            prints=(r"^ok",),
        ),
        Step(
            command="get --raw /apis/nothing.example/v1",
            guarantee="an unknown path is a NotFound status",
            code=1,
            says=(r"^Error from server \(NotFound\): the server could not find the requested",),
        ),
        Step(
            command="get nothings",
            guarantee="an unknown resource is found out from discovery",
            code=1,
            says=(r"""^error: the server doesn't have a resource type "nothings"$""",),
        ),
        Step(
            command="config view --minify -o jsonpath={.clusters[0].cluster.server}",
            guarantee="the kubeconfig leads to TLS on this machine",
            prints=(r"^https://127\.0\.0\.1:\d+$",),
        ),
    ),
)

_THROUGH = "--kubeconfig=/dev/null --server=http://127.0.0.1:$port"

PROXYING: Final = Topic(
    name="proxying",
    steps=(
        Step(
            command="proxy --port=0",
            guarantee="others can come in through kubectl's proxy, watches too",
            begins=r"Starting to serve on 127\.0\.0\.1:(?P<port>\d+)",
            meanwhile=(
                f"{_THROUGH} get --raw /version",
                f"{_THROUGH} get workspaces -n $ns",
                (
                    f"{_THROUGH} get --raw "
                    f"'{_RESOURCE}/namespaces/$ns/workspaces?watch=true&timeoutSeconds=1'"
                ),
            ),
            until=(r"Starting to serve",),
        ),
    ),
)
