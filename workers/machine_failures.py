"""Distinguishes failures of the machine, which cost no trial, from failures of a trial."""

from __future__ import annotations

import errno

_LINES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EMFILE: "this process has no file handles left",
    errno.ENFILE: "the machine has no file handles left",
    errno.EIO: "the disk can't be read or written",
    errno.ESTALE: "a network disk is gone",
    errno.ENOTCONN: "a network disk is not connected",
    errno.EROFS: "the disk has become read-only",
    errno.ECONNREFUSED: "a server can't be reached",
    errno.ECONNRESET: "a server closed the connection",
}
_DEVICE = ("CUDA error", "CUDA driver error", "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", "NCCL error")
"""Beginnings of torch's error messages for a lost device; out of memory, a failure of the trial, has another one."""


class MachineFailure(Exception):
    """The machine failed, not the trial, which is run again later. The message is one line."""


def machine_failure(error: BaseException) -> str | None:
    """Return the failure of the machine that caused an error, in one line; None if the trial failed.

    Args:
        error: the error; the errors that it was raised from are checked too.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MachineFailure):
            return str(seen)
        if isinstance(seen, OSError) and seen.errno in _LINES:
            where = f" ({seen.filename})" if seen.filename else ""
            return f"{_LINES[seen.errno]}{where}"
        message = " ".join(str(seen).split())
        if isinstance(seen, RuntimeError) and message.startswith(_DEVICE):
            return f"the device is lost ({message[:120]})"
        seen = seen.__cause__ or seen.__context__
    return None
