"""Metrics: every family in Prometheus' text form, and none with labels that grow without bound. The pages that name
them name those that exist.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics import MetricWrapperBase

from oc_trio.telemetry.metrics import Metrics

DOCS = Path(__file__).resolve().parents[2] / "docs"
_METRIC = re.compile(r"\boc_trio_\w+")
BOUNDED = {"account", "state", "reason", "result", "kind", "decision", "outcome", "why", "direction", "model"}


def families(metrics: Metrics) -> dict[str, MetricWrapperBase]:
    return {name: value for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)}


def test_every_family_is_rendered_under_our_name() -> None:
    """Each has a help text, and the prefix tells whose it is."""
    metrics = Metrics()
    text = metrics.render().decode()
    helps = [line for line in text.splitlines() if line.startswith("# HELP ")]
    assert len(helps) >= len(families(metrics)) > 10
    assert all(line.startswith("# HELP oc_trio_") and len(line.split(maxsplit=3)) == 4 for line in helps)


@pytest.mark.parametrize("name", sorted(families(Metrics())))
def test_labels_are_bounded(name: str) -> None:
    """No label holds a user, a channel or a post."""
    assert set(families(Metrics())[name]._labelnames) <= BOUNDED


def test_two_gateways_in_one_process_count_apart() -> None:
    """Each `Metrics` has a registry of its own."""
    one, two = Metrics(), Metrics()
    one.restarts.labels("default").inc()
    assert 'oc_trio_account_restarts_total{account="default"} 1.0' in one.render().decode()
    assert "account_restarts_total{" not in two.render().decode()


def samples() -> dict[str, set[str]]:
    """The names that Prometheus stores, each with its labels."""
    found: dict[str, set[str]] = {}
    for family in families(Metrics()).values():
        labels = set(family._labelnames)
        for name in [metric.name for metric in family.describe()]:
            match family._type:
                case "counter":
                    found[f"{name}_total"] = labels
                case "histogram":
                    found |= {name: labels, f"{name}_count": labels, f"{name}_sum": labels}
                    found[f"{name}_bucket"] = labels | {"le"}
                case _:
                    found[name] = labels
    return found


def queries() -> Iterator[tuple[str, str]]:
    """Each query of the dashboard, with the title of its panel."""
    board: dict[str, Any] = json.loads((DOCS / "grafana" / "oc-trio.json").read_text(encoding="utf-8"))
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("title", "query"), list(queries()))
def test_the_dashboard_asks_for_what_exists(title: str, query: str) -> None:
    """Each metric of a query exists, and has the labels by which it is chosen and summed up."""
    known, named = samples(), _METRIC.findall(query)
    assert named
    assert [name for name in named if name not in known] == []
    chosen = {label for text in re.findall(r"\{([^}]*)\}", query) for label in re.findall(r"(\w+)=", text)}
    summed = {label for text in re.findall(r"by \(([^)]*)\)", query) for label in text.split(", ")}
    assert chosen | summed <= set.union(*(known[name] for name in named))


def test_the_dashboard_is_laid_out() -> None:
    """Panels have ids of their own, and none covers another."""
    panels = json.loads((DOCS / "grafana" / "oc-trio.json").read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 20
    cells = [
        (place["x"] + column, place["y"] + line)
        for place in (panel["gridPos"] for panel in panels)
        for column in range(place["w"])
        for line in range(place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(column for column, _ in cells) < 24


def test_every_metric_is_documented() -> None:
    """The table of the page lists them all, with their labels, and nothing else."""
    rows = re.findall(
        r"^\| `(oc_trio_\w+)` \|([^|]*)\|", (DOCS / "metrics.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    listed = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    known = {name: labels for name, labels in samples().items() if not re.search(r"_(bucket|count|sum)$", name)}
    assert listed == known


def test_alerts_name_metrics_that_exist() -> None:
    """So does the page for operators."""
    named = set(_METRIC.findall((DOCS / "operating.md").read_text(encoding="utf-8")))
    assert named
    assert named - samples().keys() == set()
