"""What the sampler asks of everything that it watches."""

from __future__ import annotations

from typing import Protocol, TypeVar

Usage_co = TypeVar("Usage_co", covariant=True)


class Probe(Protocol[Usage_co]):
    """Something that can be sampled: a process, the host.

    One thread calls it. The baseline of all differences is the instant of its creation.
    """

    def sample(self, at_s: float) -> bool:
        """Take a sample, ``at_s`` seconds after the start; False = nothing more will come."""
        ...

    def usage(self) -> Usage_co | None:
        """Return what the samples say; None where there is no sample."""
        ...
