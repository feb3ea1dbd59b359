"""Alerts: they fire when they should, ask for what there is, and say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.observability.catalogue import BUILT_IN, EDGE, catalogue, words_of
from tests.observability.expressions import Selected, selectors
from tests.observability.tools import (
    ALERTMANAGER,
    PROMETHEUS,
    RULES,
    alerts,
    loaded,
    rules,
    run,
    tool,
)

ROOT = Path(__file__).parents[2]
JOBS = {job["job_name"] for job in loaded(PROMETHEUS / "prometheus.yaml")["scrape_configs"]}
SEVERITIES = {"critical", "warning", "info", "none"}
# What an operator must be told of; more may be.
WANTED = """
    ApiDown ControllerDown MachineUnreachable MachinesCrashLooping WishesBudgetFast QueueNotDraining
    StuckWorkers ProviderBreakerOpen ProviderThrottled ProviderBudgetExhausted SpendCapNear
    LeaksGrowing NoLeader DatabaseDown RoutingBudgetFast EventsDropped DevEnvDegraded DevEnvUnsafe
    DevEnvMoveStuck DevEnvRlsDrift AutoStopBlind GrantsRevoked VpsProvisioningTimeout
    GatewaysOffline
""".split()


def test_the_rules_are_rules() -> None:
    """Prometheus takes every rule file and the configuration that names them."""
    promtool = tool("promtool")
    run(promtool, "check", "rules", *RULES)
    said = run(promtool, "check", "config", "--syntax-only", PROMETHEUS / "prometheus.yaml")

    assert "SUCCESS" in said


@pytest.mark.slow
def test_the_stories_come_out_as_told() -> None:
    """In every story of the unit tests exactly the expected alerts fire; days pass in them."""
    said = run(tool("promtool"), "test", "rules", "alerts.yaml", cwd=PROMETHEUS / "tests")

    assert "SUCCESS" in said


def test_every_alert_has_a_story() -> None:
    """No alert is there that never fired in a test, and all that are wanted are there."""
    told = (PROMETHEUS / "tests" / "alerts.yaml").read_text(encoding="utf-8")
    fired = {name for name in alerts() if f"'{{alertname=\"{name}\"}}'" in told}

    assert {"Watchdog"} == alerts().keys() - fired
    assert set() == set(WANTED) - alerts().keys()


def slugs(page: Path) -> set[str]:
    """The anchors that headings of a page have, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in words}


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_what_to_do(name: str) -> None:
    """Who is woken knows how bad it is, what it is about, and where to read on."""
    alert = alerts()[name]
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")

    assert alert["labels"]["severity"] in SEVERITIES
    assert alert["labels"]["component"]
    assert alert["annotations"]["summary"].endswith(".")
    assert anchor in slugs(ROOT / page)


def asked() -> Iterator[tuple[str, Selected]]:
    """Every selector of every rule, with the rule's name."""
    for rule in rules():
        for selected in selectors(rule["expr"]):
            yield rule.get("alert") or rule["record"], selected


def test_rules_ask_for_what_there_is() -> None:
    """Every name is a series of ours, one that Prometheus makes, or another rule's."""
    ours = {name for families in catalogue().values() for each in families for name in each.series}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    unknown = {
        (rule, selected.metric)
        for rule, selected in asked()
        if selected.metric not in ours | recorded | BUILT_IN
    }

    assert set() == unknown


def problems(selected: Selected) -> Iterator[str]:
    """What is wrong with the labels that a selector asks for."""
    families = {
        name: family for group in catalogue().values() for family in group for name in family.series
    }
    family = families.get(selected.metric)
    for label, _, value in selected.matchers:
        words = re.split(r"\|", value)
        if label == "job":
            yield from (f"no job {word}" for word in words if word not in JOBS)
        elif family is None or label == "le":
            continue
        elif label not in family.labels:
            yield f"{family.name} has no label {label}"
        elif not re.search(r"[.*+]", value):
            allowed = words_of(family.name, label)
            yield from (f"{label} is never {word}" for word in words if not allowed.allow(word))


# Kinds that the objective is for, whether or not they are there yet.
PLANNED = {"kind is never DevEnv", "kind is never Vps"}


def test_rules_ask_for_labels_that_there_are() -> None:
    """A matcher for a label or a value that never comes would make an alert that never fires."""
    wrong = {(rule, each) for rule, selected in asked() for each in problems(selected)}

    assert set() == {(rule, each) for rule, each in wrong if each not in PLANNED}


def test_the_routing_objective_counts_the_edges_words() -> None:
    """What counts as wrong, and as nothing, is the same to the Worker, the docs and the alerts."""
    text = (PROMETHEUS / "rules" / "slo.yaml").read_text(encoding="utf-8")
    found = set(re.findall(r'outcome(=~|!~)"([^"]*)"', text.partition("slo-routing")[2]))

    wrong, nothing = "|".join(EDGE["wrong"]), "|".join(EDGE["uncounted"])
    assert {("=~", wrong), ("!~", nothing)} == found


ROUTES = {
    ("alertname=Watchdog", "severity=none"): "nobody",
    ("alertname=ApiDown", "severity=critical"): "slack-and-email",
    ("alertname=MachineUnreachable", "severity=warning"): "slack",
    ("alertname=SpendCapNear", "severity=warning", "component=cost"): "email,slack",
    ("alertname=SpendCapReached", "severity=critical", "component=cost"): "slack-and-email",
    ("alertname=DevEnvRlsDrift", "severity=info"): "slack",
    ("alertname=Whatever",): "slack",
}


@pytest.mark.parametrize(("labels", "receivers"), ROUTES.items())
def test_alerts_reach_whom_they_are_for(labels: tuple[str, ...], receivers: str) -> None:
    """Warnings go to the channel, what cannot wait to the mailbox too, money to its owner."""
    amtool = tool("amtool")
    config = f"--config.file={ALERTMANAGER}"
    run(amtool, "check-config", ALERTMANAGER)

    run(amtool, "config", "routes", "test", config, f"--verify.receivers={receivers}", *labels)


def test_inhibition_names_alerts_that_there_are() -> None:
    """A rule that silences one alert for another knows both."""
    named: set[str] = set()
    for rule in loaded(ALERTMANAGER)["inhibit_rules"]:
        for matcher in [*rule["source_matchers"], *rule["target_matchers"]]:
            label, _, value = re.split(r"(=~|=)", matcher, maxsplit=1)
            if label == "alertname":
                pattern = value.strip('"')
                matching = {name for name in alerts() if re.fullmatch(pattern, name)}
                named |= {f"nothing is called {pattern}"} if not matching else set()

    assert set() == named
