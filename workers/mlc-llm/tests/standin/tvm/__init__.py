"""A stand-in for TVM: there is no GPU."""


def device(kind, index=0):
    """A device that is not there."""
    raise ValueError(f"the stand-in has no {kind}:{index}")
