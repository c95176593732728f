"""oneDNN's kernels on every x86 processor.

TensorFlow turns them on by itself only on processors with AVX-512 VNNI. On others, a training step takes about twice as
long without them. TensorFlow reads the variable on import, so it must be set before.
"""

import os
import platform
import sys
import warnings
from pathlib import Path

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
_X86 = ("x86_64", "AMD64")
_PROCESSOR = Path("/proc/cpuinfo")


def enable_onednn() -> None:
    """Sets the variable, unless the user has; warns where TensorFlow is imported already and runs without oneDNN."""
    if VARIABLE in os.environ or platform.machine() not in _X86:
        return
    if "tensorflow" not in sys.modules:
        os.environ[VARIABLE] = "1"
    elif not _turned_on_by_itself():
        warnings.warn(
            f"TensorFlow was imported before agad_tf and runs without oneDNN, which takes about twice the time on this "
            f"processor; import agad_tf first, or set {VARIABLE}=1.",
            stacklevel=3,
        )


def kernels() -> str:
    """The kernels that TensorFlow uses on the processor, as a phrase."""
    if platform.machine() not in _X86:
        return "TensorFlow's own kernels"
    enabled = os.environ.get(VARIABLE, "1" if _turned_on_by_itself() else "0") != "0"
    return "oneDNN kernels" if enabled else f"TensorFlow's own kernels without oneDNN ({VARIABLE}=0)"


def _turned_on_by_itself() -> bool:
    """Whether the processor has AVX-512 VNNI; true if this is unknown."""
    try:
        return "avx512_vnni" in _PROCESSOR.read_text(encoding="ascii", errors="replace")
    except OSError:
        return True
