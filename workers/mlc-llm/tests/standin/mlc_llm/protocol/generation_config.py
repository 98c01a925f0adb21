"""What a request asks for."""

from dataclasses import dataclass

from .debug_protocol import DebugConfig


@dataclass
class GenerationConfig:
    """Those fields that are used."""

    temperature: float | None = None
    max_tokens: int = -1
    seed: int | None = None
    debug_config: DebugConfig | None = None
