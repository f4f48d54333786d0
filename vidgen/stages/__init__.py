"""The steps of a run. Strangers to one another; they share `base` only."""
