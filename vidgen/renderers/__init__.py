"""Ways to make a face talk. Strangers to one another; they share `base` only."""
