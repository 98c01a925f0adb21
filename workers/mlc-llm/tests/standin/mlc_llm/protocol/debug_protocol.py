"""Debug options of a request."""

from dataclasses import dataclass


@dataclass
class DebugConfig:
    """Those that are used."""

    ignore_eos: bool = False
