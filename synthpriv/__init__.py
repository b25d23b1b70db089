"""synthpriv: a table of people becomes a table that can be shared."""

__version__ = "0.1.0"
