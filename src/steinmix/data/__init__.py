"""Data: sources of rows, what is known of their columns, how they are scaled. Data sets are in `datasets`."""

from .prepare import ColumnStatistics, Scaling, choose_scaling, column_statistics
from .sources import as_source

__all__ = ["ColumnStatistics", "Scaling", "as_source", "choose_scaling", "column_statistics"]
