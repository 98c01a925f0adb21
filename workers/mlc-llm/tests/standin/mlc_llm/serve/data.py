"""What goes into the engine and what comes out."""

from dataclasses import dataclass


@dataclass
class TokenData:
    """A prompt."""

    token_ids: list


@dataclass
class SingleRequestStreamOutput:
    """What is new of one generation."""

    delta_token_ids: list
    delta_logprob_json_strs: list | None
    finish_reason: str | None
    request_final_usage_json_str: str | None
    extra_prefix_string: str


class RequestStreamOutput:
    """What is new of one request; as in the original it can be looked at once."""

    def __init__(self, name, output):
        self._name, self._output, self._unpacked = name, output, False

    def unpack(self):
        """The name of the request and its outputs."""
        if self._unpacked:
            raise RuntimeError("one RequestStreamOutput can be unpacked once")
        self._unpacked = True
        return self._name, [self._output]
