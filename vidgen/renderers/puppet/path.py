"""The cheapest way across a table: how an edge or a line is followed through a strip of a photo."""

import numpy as np

from vidgen.renderers.puppet.grid import Array


def cheapest_path(cost: Array, bend: float = 0.08) -> Array:
    """The cheapest path over the columns, at most a row up or down at a step, which costs `bend`;
    (columns,) rows."""
    rows, columns = cost.shape
    best = cost[:, 0].copy()
    came = np.zeros((columns, rows), np.int64)
    for column in range(1, columns):
        padded = np.pad(best, 1, constant_values=np.inf)
        options = np.stack([padded[:-2] + bend, padded[1:-1], padded[2:] + bend])
        step = options.argmin(0)
        came[column] = np.arange(rows) + step - 1
        best = options[step, np.arange(rows)] + cost[:, column]
    path = np.empty(columns, np.int64)
    path[-1] = best.argmin()
    for column in range(columns - 1, 0, -1):
        path[column - 1] = came[column, path[column]]
    return path
