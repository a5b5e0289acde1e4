"""Measuring images: what is in the pixels, never what a model thinks of them."""

from core.metrics.cells import shrink_to_cells
from core.metrics.finished import finish
from core.metrics.measure import measure, measure_many
from core.metrics.profile import TrainingProfile, learn_profile
from core.metrics.tables import ISSUES, METRICS, SCORES, explained, metric_versions

__all__ = [
    "ISSUES",
    "METRICS",
    "SCORES",
    "TrainingProfile",
    "explained",
    "finish",
    "learn_profile",
    "measure",
    "measure_many",
    "metric_versions",
    "shrink_to_cells",
]
