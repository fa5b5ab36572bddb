"""Graphs of the dashboard: all of one look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import aws_cloudwatch as cloudwatch

_COLUMNS: Final = 24


@dataclass(frozen=True)
class Graph:
    """A graph.

    Attributes:
        title: What it shows.
        unit: What its axis counts.
        metrics: Its lines.
        limit: A value to be kept below, with its name.
    """

    title: str
    unit: str
    metrics: Sequence[cloudwatch.IMetric]
    limit: tuple[float, str] | None = None


def row(*graphs: Graph) -> list[cloudwatch.GraphWidget]:
    """Graphs side by side, over the whole width."""
    return [_widget(graph, _COLUMNS // len(graphs)) for graph in graphs]


def _widget(graph: Graph, width: int) -> cloudwatch.GraphWidget:
    limits = [cloudwatch.HorizontalAnnotation(value=value, label=label) for value, label in filter(None, [graph.limit])]
    return cloudwatch.GraphWidget(
        title=graph.title,
        left=list(graph.metrics),
        left_y_axis=cloudwatch.YAxisProps(min=0, label=graph.unit, show_units=False),
        left_annotations=limits,
        width=width,
        height=6,
    )
