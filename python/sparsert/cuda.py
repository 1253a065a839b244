"""CUDA as this machine has it. None of the queries raises where CUDA is merely absent."""

from __future__ import annotations

from . import _sparsert
from ._sparsert import DeviceProperties as DeviceProperties

__all__ = [
    "DeviceProperties",
    "current_device",
    "device_count",
    "driver_version",
    "get_device_name",
    "get_device_properties",
    "is_available",
    "set_device",
    "synchronize",
    "unavailable_reason",
    "version",
]


def is_available() -> bool:
    """True where at least one CUDA device can be used."""
    return _sparsert.cuda_is_available()


def unavailable_reason() -> str | None:
    """Why CUDA cannot be used, in a sentence; None where it can."""
    return _sparsert.cuda_unavailable_reason()


def version() -> str | None:
    """The toolkit that sparsert was built with, such as "13.0"; None when built without one."""
    return _sparsert.cuda_version()


def driver_version() -> str | None:
    """The highest CUDA version of the driver; None without a driver."""
    return _sparsert.cuda_driver_version()


def device_count() -> int:
    """Number of usable CUDA devices."""
    return _sparsert.cuda_device_count()


def current_device() -> int:
    """The calling thread's current device. DeviceUnavailable without CUDA."""
    return _sparsert.cuda_current_device()


def set_device(device: int) -> None:
    """Makes a device current for the calling thread. DeviceUnavailable without CUDA, ValueError for a bad id."""
    _sparsert.cuda_set_device(device)


def get_device_properties(device: int = 0) -> DeviceProperties:
    """Name, compute capability, memory and multiprocessors. DeviceUnavailable without CUDA, ValueError for a bad id."""
    return _sparsert.cuda_device_properties(device)


def get_device_name(device: int = 0) -> str:
    """The name of a device. Errors as for `get_device_properties`."""
    return get_device_properties(device).name


def synchronize() -> None:
    """Waits for all work on the current device. DeviceUnavailable without CUDA."""
    _sparsert.cuda_synchronize()
