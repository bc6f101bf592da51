"""The Prometheus metrics as OpenTelemetry's values: the same families under the same names, sums since the start.

One set of metrics is kept, and read in two ways. Pure.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import cast

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

import oc_trio

_CUMULATIVE = AggregationTemporality.CUMULATIVE


def metrics_data(registry: CollectorRegistry, resource: Resource, began_ns: int, now_ns: int) -> MetricsData:
    """Every family that has a value; times are nanoseconds since the epoch."""
    found = [_metric(family, began_ns, now_ns) for family in registry.collect()]
    metrics = [metric for metric in found if metric.data.data_points]
    scope = ScopeMetrics(InstrumentationScope("oc_trio", oc_trio.__version__), metrics, "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _metric(family: Family, began_ns: int, now_ns: int) -> Metric:
    data: Sum | Gauge | Histogram
    if family.type == "histogram":
        data = Histogram(_histograms(family.samples, began_ns, now_ns), _CUMULATIVE)
    elif family.type == "counter":
        totals = [sample for sample in family.samples if sample.name.endswith("_total")]
        data = Sum(_numbers(totals, began_ns, now_ns), _CUMULATIVE, is_monotonic=True)
    else:
        data = Gauge(_numbers(family.samples, began_ns, now_ns))
    # Without a unit: a backend that speaks Prometheus would append it to a name that has it.
    return Metric(family.name, family.documentation, "", data)


def _numbers(samples: Iterable[Sample], began_ns: int, now_ns: int) -> list[NumberDataPoint]:
    return [NumberDataPoint(dict(sample.labels), began_ns, now_ns, sample.value) for sample in samples]


def _histograms(samples: Iterable[Sample], began_ns: int, now_ns: int) -> list[HistogramDataPoint]:
    by_labels: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
    for sample in samples:
        labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        by_labels.setdefault(labels, []).append(sample)
    return [_histogram(labels, each, began_ns, now_ns) for labels, each in by_labels.items()]


def _histogram(
    labels: tuple[tuple[str, str], ...], samples: Sequence[Sample], began_ns: int, now_ns: int
) -> HistogramDataPoint:
    buckets = sorted((float(each.labels["le"]), each.value) for each in samples if each.name.endswith("_bucket"))
    # Prometheus counts up to each bound, OpenTelemetry between two.
    counts = [int(upper - lower) for lower, upper in pairwise([0.0, *(count for _, count in buckets)])]
    total = sum(each.value for each in samples if each.name.endswith("_sum"))
    return HistogramDataPoint(
        dict(labels),
        began_ns,
        now_ns,
        count=sum(counts),
        sum=total,
        bucket_counts=counts,
        explicit_bounds=[bound for bound, _ in buckets[:-1]],  # the last one is infinite
        # Unknown here, and optional in the protocol.
        min=cast("float", None),
        max=cast("float", None),
    )
