"""Reviews: who somebody is to the server, and what they may do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from api.access import Attributes, Identity, allows, may_read_path
from api.access.policy import RULES, Rule, paths_of
from api.kubernetes.common_schemas import (
    boolean,
    kind_schema,
    list_of,
    record,
    text,
)
from api.kubernetes.errors import bad_request, forbidden, invalid
from api.kubernetes.served import Json, Served
from crds.access import ROLES, ROLES_OF_ACCOUNTS
from crds.errors import Cause
from crds.meta import GROUP, Resource
from crds.registry import KINDS

AUTHORIZATION: Final = "authorization.k8s.io"
AUTHENTICATION: Final = "authentication.k8s.io"
# Where the account of an account's owner is said, of oneself and in questions about others.
ACCOUNT: Final = "invoker.dev/account"

# The groups of what the policy names by its plural alone.
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    **{kind.PLURAL: (GROUP,) for kind in KINDS.values()},
    "namespaces": ("",),
    "services": ("",),
    "events": ("", "events.k8s.io"),
    "customresourcedefinitions": ("apiextensions.k8s.io",),
    "selfsubjectaccessreviews": (AUTHORIZATION,),
    "selfsubjectrulesreviews": (AUTHORIZATION,),
    "subjectaccessreviews": (AUTHORIZATION,),
    "selfsubjectreviews": (AUTHENTICATION,),
}
NAMESPACED: Final = frozenset(
    {"events", "services", *(kind.PLURAL for kind in KINDS.values() if kind.SCOPE == "Namespaced")}
)
SUBRESOURCES: Final = {
    kind.PLURAL: {"", "status"} | ({"scale"} if kind.scale is not Resource.scale else set())
    for kind in KINDS.values()
}


class _Part(BaseModel):
    """A part of a question; what it has beside these fields does not change the answer."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", hide_input_in_errors=True)


P = TypeVar("P", bound=_Part)


class _ResourceAttributes(_Part):
    namespace: str = ""
    verb: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""


class _NonResourceAttributes(_Part):
    path: str = ""
    verb: str = ""


class _AccessSpec(_Part):
    resource_attributes: _ResourceAttributes | None = None
    non_resource_attributes: _NonResourceAttributes | None = None
    user: str = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}


class _RulesSpec(_Part):
    namespace: str = ""


async def answer(kind: str, body: Json, identity: Identity) -> Json:
    """Answer a review.

    Args:
        kind: SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview or
            SelfSubjectReview.
        body: The question, as it was sent.
        identity: Who asks.

    Returns:
        The question with its answer as its status.

    Raises:
        ApiError: 400, the question cannot be read; 422, it asks nothing; 403, it is about others
            and not the asker's to ask.
    """
    match kind:
        case "SelfSubjectReview":
            return _answered(kind, body, {"userInfo": _user(identity)})
        case "SelfSubjectRulesReview":
            asked = _read(_RulesSpec, body)
            return _answered(kind, body, _rules(identity, asked.namespace))
        case "SelfSubjectAccessReview":
            return _answered(kind, body, _access(kind, identity, _read(_AccessSpec, body)))
        case "SubjectAccessReview":
            if not allows(identity, Attributes("create", "subjectaccessreviews")):
                raise forbidden(
                    f"User {identity.subject!r} may not ask what others may do",
                    kind="subjectaccessreviews",
                    group=AUTHORIZATION,
                )
            spec = _read(_AccessSpec, body)
            return _answered(kind, body, _access(kind, _subject(spec), spec))
        case _:
            raise bad_request(f"{kind} is no review")


def may(identity: Identity, group: str, asked: Attributes) -> bool:
    """Whether somebody may do something, told also by the resource's group.

    A namespace says nothing of a resource that has none, although clients name one.
    """
    if group not in GROUPS.get(asked.resource, ()):
        return False
    if asked.resource not in NAMESPACED:
        asked = Attributes(asked.verb, asked.resource, asked.subresource, "", asked.name)
    return allows(identity, asked)


def _read(model: type[P], body: Json) -> P:
    try:
        return model.model_validate(body.get("spec") or {})
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
        raise bad_request(f"spec cannot be read: {fields[:200]}") from None


def _answered(kind: str, body: Json, status: Json) -> Json:
    group = AUTHENTICATION if kind == "SelfSubjectReview" else AUTHORIZATION
    question = {"spec": body.get("spec") or {}} if kind != "SelfSubjectReview" else {}
    return {
        "apiVersion": f"{group}/v1",
        "kind": kind,
        "metadata": {"creationTimestamp": None},
        **question,
        "status": status,
    }


def _user(identity: Identity) -> Json:
    extra = {"extra": {ACCOUNT: [identity.account]}} if identity.account else {}
    return {"username": identity.subject, "groups": list(identity.groups), **extra}


def _subject(spec: _AccessSpec) -> Identity:
    """Whoever is asked about: their groups tell the role, as in the answer on oneself."""
    role = next((role for role in ROLES if f"invoker:{role}" in spec.groups), None)
    (account, *_) = spec.extra.get(ACCOUNT) or [""]
    if role in ROLES_OF_ACCOUNTS and not account:
        account = spec.user.removeprefix("user:")
    return Identity(spec.user, role, account)


def _access(kind: str, identity: Identity, spec: _AccessSpec) -> Json:
    resource, path = spec.resource_attributes, spec.non_resource_attributes
    if resource is not None and path is None:
        asked = Attributes(
            resource.verb,
            resource.resource,
            resource.subresource,
            resource.namespace,
            resource.name,
        )
        allowed = may(identity, resource.group, asked)
    elif path is not None and resource is None:
        allowed = may_read_path(identity, path.verb, path.path)
    else:
        message = "exactly one of resourceAttributes and nonResourceAttributes must be given"
        raise invalid(kind, AUTHORIZATION, "", [Cause("spec", message)])
    # People see the reason behind the answer: where it is yes, there is nothing to explain.
    reason = {} if allowed else {"reason": f"the role {identity.role or 'of nobody'} may not"}
    return {"allowed": allowed, **reason}


def _rules(identity: Identity, namespace: str) -> Json:
    rules = RULES[identity.role] if identity.role else ()
    found = [part for rule in rules for part in _parts(rule, identity, namespace)]
    paths = [{"verbs": ["get"], "nonResourceURLs": list(paths_of(identity.role))}]
    return {"resourceRules": found, "nonResourceRules": paths, "incomplete": False}


def _parts(rule: Rule, identity: Identity, namespace: str) -> Iterator[Json]:
    """A rule of the policy as Kubernetes lists rules, one a group and set of names."""
    for group in sorted({group for resource in rule.resources for group in GROUPS[resource]}):
        of_group = sorted(each for each in rule.resources if group in GROUPS[each])
        for namespaced in (True, False):
            resources = [each for each in of_group if (each in NAMESPACED) is namespaced]
            if not resources or (rule.own and namespaced and namespace != identity.account):
                continue
            names = [identity.account] if rule.own and not namespaced else []
            yield {
                "verbs": sorted(rule.verbs),
                "apiGroups": [group],
                "resources": list(_with_subresources(resources, rule)),
                **({"resourceNames": names} if names else {}),
            }


def _with_subresources(resources: Iterable[str], rule: Rule) -> Iterator[str]:
    for resource in resources:
        for subresource in sorted(rule.subresources & SUBRESOURCES.get(resource, {""})):
            yield f"{resource}/{subresource}" if subresource else resource


def _served(group: str, kind: str, description: str, **parts: Json) -> Served:
    return Served(
        group=group,
        version="v1",
        kind=kind,
        plural=f"{kind.lower()}s",
        namespaced=False,
        verbs=frozenset({"create"}),
        schema=kind_schema(f"{group}/v1", kind, description, **parts),
    )


_ATTRIBUTES: Final = {
    "resourceAttributes": record(
        "An action on objects.",
        namespace=text("The namespace of the objects."),
        verb=text("Such as get, list, watch, create, update, patch or delete."),
        group=text("The group of the resource."),
        version=text("The version of the resource."),
        resource=text("The resource's plural."),
        subresource=text("Such as status or scale."),
        name=text("The name of the one object."),
        fieldSelector=record(
            "Only objects whose fields have these values.",
            rawSelector=text("The selector as it is written."),
            requirements=list_of(record("A requirement."), "The selector's parts."),
        ),
        labelSelector=record(
            "Only objects with these labels.",
            rawSelector=text("The selector as it is written."),
            requirements=list_of(record("A requirement."), "The selector's parts."),
        ),
    ),
    "nonResourceAttributes": record(
        "An action at a path that is no resource's.",
        path=text("The path."),
        verb=text("The method, lowercase."),
    ),
}
_TEXTS: Final = {"type": "string", "default": ""}
_DECISION: Final = record(
    "The answer.",
    ("allowed",),
    allowed=boolean("Whether it may be done."),
    denied=boolean("Whether it is expressly refused."),
    reason=text("Why, for people."),
    evaluationError=text("What went wrong meanwhile."),
)
_USER: Final = record(
    "Somebody.",
    username=text("The name."),
    uid=text("The identity beyond the name."),
    groups=list_of(_TEXTS, "The groups, among them the role."),
    extra={
        "type": "object",
        "description": "What else is known.",
        "additionalProperties": {"type": "array", "items": _TEXTS},
    },
)

SERVED: Final[tuple[Served, ...]] = (
    _served(
        AUTHORIZATION,
        "SelfSubjectAccessReview",
        "Asks whether one may do something.",
        spec=record("The question.", **_ATTRIBUTES),
        status=_DECISION,
    ),
    _served(
        AUTHORIZATION,
        "SelfSubjectRulesReview",
        "Asks for all that one may do in a namespace.",
        spec=record("The question.", namespace=text("The namespace.")),
        status=record(
            "The answer.",
            incomplete=boolean("Whether more may be allowed than is listed."),
            evaluationError=text("What went wrong meanwhile."),
            resourceRules=list_of(
                record(
                    "Verbs on resources.",
                    verbs=list_of(_TEXTS, "The verbs."),
                    apiGroups=list_of(_TEXTS, "The groups of the resources."),
                    resources=list_of(_TEXTS, "The resources and subresources."),
                    resourceNames=list_of(_TEXTS, "Only the objects of these names."),
                ),
                "What may be done with objects.",
            ),
            nonResourceRules=list_of(
                record(
                    "Verbs at paths.",
                    verbs=list_of(_TEXTS, "The verbs."),
                    nonResourceURLs=list_of(_TEXTS, "The paths."),
                ),
                "What may be done at paths that are no resources'.",
            ),
        ),
    ),
    _served(
        AUTHORIZATION,
        "SubjectAccessReview",
        "Asks whether somebody may do something.",
        spec=record(
            "The question.",
            **_ATTRIBUTES,
            user=text("Who."),
            uid=text("Their identity beyond the name."),
            groups=list_of(_TEXTS, "Their groups, among them the role."),
            extra=_USER["properties"]["extra"],
        ),
        status=_DECISION,
    ),
    _served(
        AUTHENTICATION,
        "SelfSubjectReview",
        "Asks who one is to the server.",
        status=record("The answer.", userInfo=_USER),
    ),
)
