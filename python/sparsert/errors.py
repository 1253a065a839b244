"""The exceptions that have no class of their own in Python.

The others are Python's: ValueError (a wrong shape, dtype, device, index or value), TypeError (an object of the wrong
kind), NotImplementedError (valid, but not done by this build or device) and MemoryError.
"""

__all__ = ["CommError", "DeviceLost", "DeviceUnavailable", "FileError"]


class DeviceUnavailable(RuntimeError):
    """The device asked for cannot be used here; the message carries the reason."""

    __module__ = "sparsert"


class DeviceLost(RuntimeError):
    """A sticky device fault: every later operation on that device raises this at once; CPU work goes on."""

    __module__ = "sparsert"


class FileError(OSError):
    """A model file that is missing, truncated, malformed or hostile, or that cannot be written."""

    __module__ = "sparsert"


class CommError(RuntimeError):
    """A collective that failed: a peer died, stalled or disagreed.

    `rank` is whose fault it is, `phase` where: fingerprint, counts, payload or commit; None where that is not known.
    """

    __module__ = "sparsert"
    rank: "int | None" = None
    phase: "str | None" = None
