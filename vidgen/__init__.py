"""A talking-head video from one portrait photo and one voice recording."""

__version__ = "0.1.0"
