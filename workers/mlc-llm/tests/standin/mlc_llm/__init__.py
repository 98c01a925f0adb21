"""A stand-in for MLC-LLM with the part of its surface that Tokometer's worker uses; see the README beside it."""

from .libinfo import __version__
