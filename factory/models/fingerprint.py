"""A model's weights in one short number, to see whether anything changed them."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Protocol

import numpy as np

from factory.array import DeviceArray


class Weighted(Protocol):
    """A model that can list its weights."""

    def weights(self) -> Iterator[DeviceArray]:
        """All weights on the device, in order."""


def fingerprint(model: Weighted) -> str:
    """SHA-256 of all weights as they lie on the device, names and bytes, as 64 hexadecimal digits.

    They are copied back to the host for it, one array at a time; the timeline shows it.
    """
    digest = sha256()
    for weight in model.weights():
        digest.update(f"{weight.name} {weight.shape} {weight.dtype.name}\n".encode())
        digest.update(np.ascontiguousarray(weight.numpy()).data)
    return digest.hexdigest()
