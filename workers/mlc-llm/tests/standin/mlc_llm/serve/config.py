"""Settings of the engine."""

from dataclasses import dataclass


@dataclass
class EngineConfig:
    """Those fields that are used."""

    max_num_sequence: int | None = None
    max_total_sequence_length: int | None = None
    max_single_sequence_length: int | None = None
    prefill_chunk_size: int | None = None
    prefix_cache_mode: str = "radix"
    prefill_mode: str = "hybrid"
    verbose: bool = True
