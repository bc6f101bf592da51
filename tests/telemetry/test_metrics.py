"""Metrics: every family in Prometheus' text form, and none with labels that grow without bound."""

import pytest
from prometheus_client.metrics import MetricWrapperBase

from oc_trio.telemetry.metrics import Metrics

BOUNDED = {"account", "state", "reason", "result", "kind", "decision", "outcome", "why", "direction"}


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
