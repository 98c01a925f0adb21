"""What a request asks for."""

from dataclasses import dataclass

from .debug_protocol import DebugConfig


@dataclass
class GenerationConfig:
    """Those fields that are used."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int = -1
    seed: int | None = None
    stop_token_ids: list | None = None
    debug_config: DebugConfig | None = None
