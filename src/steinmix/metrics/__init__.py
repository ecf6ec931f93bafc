"""Scores against labels, against a known mixture, and diagnostics without labels.

Importing this package imports NumPy and nothing heavier.
"""

from .agreement import align_labels, cluster_stability, consensus_labels, pairwise_agreement, row_stability
from .anomaly import (
    anomaly_threshold,
    area_under_roc,
    average_precision,
    conformal_pvalues,
    consensus_scores,
    detection_scores,
    false_discovery_control,
    fewest_discoveries,
    marks_outliers,
    precision_recall_f1,
)
from .clustering import (
    adjusted_rand_index,
    best_matching,
    clustering_accuracy,
    clustering_scores,
    contingency_table,
    exemplar_accuracy,
    normalized_mutual_information,
    purity,
)
from .density import mode_recovering_error, total_variance, variance_ratio
from .diagnostics import (
    ClosestPair,
    Occupancy,
    Overlap,
    closest_pair,
    dead_components,
    diagnose,
    distinct_components,
    effective_components,
    occupancy,
    overlap,
)
from .embedding import knn_error, trustworthiness

__all__ = [
    "ClosestPair",
    "Occupancy",
    "Overlap",
    "adjusted_rand_index",
    "align_labels",
    "anomaly_threshold",
    "area_under_roc",
    "average_precision",
    "best_matching",
    "closest_pair",
    "cluster_stability",
    "clustering_accuracy",
    "clustering_scores",
    "conformal_pvalues",
    "consensus_labels",
    "consensus_scores",
    "contingency_table",
    "dead_components",
    "detection_scores",
    "diagnose",
    "distinct_components",
    "effective_components",
    "exemplar_accuracy",
    "false_discovery_control",
    "fewest_discoveries",
    "knn_error",
    "marks_outliers",
    "mode_recovering_error",
    "normalized_mutual_information",
    "occupancy",
    "overlap",
    "pairwise_agreement",
    "precision_recall_f1",
    "purity",
    "row_stability",
    "total_variance",
    "trustworthiness",
    "variance_ratio",
]
