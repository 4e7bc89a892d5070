#!/usr/bin/env python3
"""Compares what Prometheus and Grafana are told with what the pool says of itself.

    check.py METRICS_RS RULES TESTS DASHBOARD >EXPRESSIONS

Rules and dashboard may use only metrics that src/status/metrics.rs describes, every alert needs a test
in which it fires and one in which it does not, and the dashboard has to hold together. EXPRESSIONS are
the dashboard's queries as a file of rules, which promtool can read.
"""

import json
import re
import sys

import yaml

# How the source describes a metric, and what the text formats append to its name.
SUFFIXES = {
    "gauge": [""],
    "maybe": [""],
    "counter": ["_total"],
    "by_reason": ["_total"],
    "info": ["_info"],
    "histogram": ["_bucket", "_sum", "_count"],
}
DESCRIPTION = re.compile(
    r'\b(?:(gauge|maybe|counter|by_reason|histogram)\(\s*|(?:by_shard|by_method|family)\(\s*Kind::(\w+),\s*)'
    r'"(gopool_\w+)"'
)
# What is used; recording rules have a colon and are looked for by themselves.
USED = re.compile(r"\bgopool_\w+|\bgopool:[\w:]+")
# Grafana's own words in a query, and something of their kind that promtool takes.
VARIABLES = {"$__rate_interval": "5m", "$pool": "main"}

faults = []


def fault(text):
    faults.append(text)


def metrics(path):
    source = open(path, encoding="utf-8").read().split("#[cfg(test)]")[0]
    understood = DESCRIPTION.findall(source)
    described = len(re.findall(r'"gopool_\w+"', source))
    if described != len(understood) or not understood:
        fault(f"{path} has {described} names, of which {len(understood)} were understood: mend this check")
    return {name + suffix for call, kind, name in understood for suffix in SUFFIXES[call or kind.lower()]}


def check_names(where, text, known):
    for name in sorted(set(USED.findall(text)) - known):
        fault(f"{where}: the pool has no metric {name}")


def check_tests(alerts, tests):
    cases = [case for test in tests["tests"] for case in test.get("alert_rule_test", [])]
    for alert in alerts:
        fires = [bool(case.get("exp_alerts")) for case in cases if case["alertname"] == alert]
        if set(fires) != {True, False}:
            fault(f"{alert} needs a test in which it fires and one in which it does not")
    for name in {case["alertname"] for case in cases} - set(alerts):
        fault(f"the tests name an alert {name} that is not there")


def check_dashboard(dashboard):
    """Returns the queries, each with the title of its panel."""
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    queries = []
    taken = {}
    ids = set()
    for panel in dashboard["panels"]:
        title = panel["title"]
        if panel["id"] in ids:
            fault(f"dashboard: two panels have the id {panel['id']}")
        ids.add(panel["id"])
        at = panel["gridPos"]
        if at["x"] + at["w"] > 24:
            fault(f"dashboard: {title} is wider than the page")
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            if taken.setdefault(cell, title) != title:
                fault(f"dashboard: {title} lies over {taken[cell]}")
        if panel["type"] == "row":
            continue
        if not panel.get("targets"):
            fault(f"dashboard: {title} asks for nothing")
        for source in [panel, *panel["targets"]]:
            if source["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
                fault(f"dashboard: {title} is tied to one Prometheus")
        queries += [(title, target["expr"]) for target in panel["targets"]]
    queries += [(a["name"], a["expr"]) for a in dashboard["annotations"]["list"] if "expr" in a]
    for title, query in queries:
        for variable in re.findall(r"\$\{?(\w+)", query):
            if variable not in variables | {"__rate_interval"}:
                fault(f"dashboard: {title} uses ${variable}, which is not defined")
    return queries


def as_rules(queries):
    rules = []
    for number, (title, query) in enumerate(queries):
        for variable, value in VARIABLES.items():
            query = query.replace(variable, value)
        rules.append({"record": f"dashboard:query:{number}", "expr": query, "labels": {"panel": title}})
    return {"groups": [{"name": "dashboard", "rules": rules}]}


def main():
    metrics_path, rules_path, tests_path, dashboard_path = sys.argv[1:]
    rules_text = open(rules_path, encoding="utf-8").read()
    rules = [rule for group in yaml.safe_load(rules_text)["groups"] for rule in group["rules"]]
    known = metrics(metrics_path) | {rule["record"] for rule in rules if "record" in rule}
    for rule in rules:
        check_names(f"{rules_path}: {rule.get('alert') or rule.get('record')}", rule["expr"], known)
    tests = yaml.safe_load(open(tests_path, encoding="utf-8"))
    for test in tests["tests"]:
        for series in test["input_series"]:
            check_names(f"{tests_path}: {test['name']}", series["series"], known)
    check_tests([rule["alert"] for rule in rules if "alert" in rule], tests)
    queries = check_dashboard(json.load(open(dashboard_path, encoding="utf-8")))
    for title, query in queries:
        check_names(f"dashboard: {title}", query, known)
    if faults:
        sys.exit("\n".join(faults))
    print(yaml.safe_dump(as_rules(queries)))
    print(f"{len(known)} names known, {len(rules)} rules, {len(queries)} queries", file=sys.stderr)


main()
