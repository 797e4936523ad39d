"""What the device's numbers are held against: NumPy in float64, within what the contract allows each type."""

from __future__ import annotations

import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = {"float32": np.dtype("float32"), "float16": np.dtype("float16"), "bfloat16": BFLOAT16}
TOLERANCE = {"float32": 1e-5, "float16": 1e-2, "bfloat16": 1e-2}  # relative L2, as in the contract


def numbers(shape, dtype="float32", seed=0, scale=1.0):
    """Normal random numbers, already rounded to the type."""
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(FLOATS[dtype])


def wide(*arrays):
    """The same numbers in float64."""
    return [np.asarray(array).astype(np.float64) for array in arrays]


def relative(got, want):
    """L2 norm of the difference over the norm of what is wanted."""
    got, want = np.asarray(got).astype(np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape, (got.shape, want.shape)
    return np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-30)


def agree(array, want, tolerance=None):
    """Assert that a DeviceArray or NumPy array holds `want`, within its type's tolerance; returns the error."""
    got = array if isinstance(array, np.ndarray) else array.numpy()
    error = relative(got, want)
    assert error <= (TOLERANCE[got.dtype.name] if tolerance is None else tolerance), error
    return error


def calls(device, name):
    """The commands on the timeline that made a library call."""
    return [command for command in device.timeline if command.call == name]
