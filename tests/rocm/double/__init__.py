"""The double of HIP, hiprtc, rocBLAS and MIOpen: built by g++, loaded in the tests' process, and told what to do.

It works on this computer's CPU and memory and is no GPU. Built against ROCm's own headers, a wrong signature does not
compile; without them it is built on `declarations.h`, and proves nothing about signatures.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent.parent
# What hip-python and the project look for, the name that a library asks for in another, and its sources.
LIBRARIES = {
    "amdhip64": ("libamdhip64.so.6", ("hip.cpp", "engine.cpp")),
    "hiprtc": ("libhiprtc.so.6", ("hiprtc.cpp",)),
    "rocblas": ("librocblas.so.4", ("rocblas.cpp",)),
    "MIOpen": ("libMIOpen.so.1", ("miopen.cpp",)),
}
NEEDS = {"hiprtc": ("amdhip64",), "rocblas": ("amdhip64",), "MIOpen": ("amdhip64", "rocblas")}
# What leads to the double and to where things are kept; the project gives MIOpen its folders by the last two.
_ENVIRONMENT = ("ROCM_PATH", "XDG_CACHE_HOME", "MIOPEN_USER_DB_PATH", "MIOPEN_CUSTOM_CACHE_DIR")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fopenmp-simd", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared")


def compiler() -> str | None:
    """g++, which the double also calls to compile kernels."""
    return shutil.which("g++")


def headers() -> Path | None:
    """A folder with the headers of ROCm 6 or newer: ROCM_HEADERS, the tests' own ROCm, or an installed one."""
    import real_rocm

    places = (os.environ.get("ROCM_HEADERS"), real_rocm.headers(), "/opt/rocm/include")
    parts = ("hip/hip_runtime_api.h", "hip/hiprtc.h", "rocblas/rocblas.h", "miopen/miopen.h")
    return next((Path(p) for p in places if p and all((Path(p) / part).is_file() for part in parts)), None)


def build(include: Path | None = None, into: Path = ROOT / "build") -> Path:
    """Build the double where it is not built yet; the folder that ROCM_PATH is to name. Raises CalledProcessError."""
    key = hashlib.sha256(repr((FLAGS, include, _processor())).encode())
    for source in sorted([*HERE.glob("*.cpp"), *HERE.glob("*.h")]):
        key.update(source.read_bytes())
    target = into / f"double-{key.hexdigest()[:16]}"
    if target.is_dir():
        return target
    into.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=into))
    try:
        _compile(work, include)
        work.rename(target)  # whole or not at all, whoever else builds it now
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _compile(work: Path, include: Path | None) -> None:
    lib, shown = work / "lib", work / "include"
    lib.mkdir()
    shown.mkdir()
    for folder in ("hip", "rocblas", "miopen") if include else ():
        (shown / folder).symlink_to(include / folder)  # these alone: beside them may stand another system's C library
    for name in ("prelude.h", "module.h"):
        shutil.copy(HERE / name, lib)
    for name, (soname, sources) in LIBRARIES.items():
        subprocess.run(
            ["g++", *FLAGS, *([f"-I{shown}", "-DREAL_HEADERS"] if include else []), *(str(HERE / s) for s in sources),
             "-o", str(lib / f"lib{name}.so"), f"-Wl,-soname,{soname}", "-Wl,-rpath,$ORIGIN", f"-L{lib}",
             *(f"-l{needed}" for needed in NEEDS.get(name, ())), "-ldl"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        (lib / soname).symlink_to(f"lib{name}.so")


def _processor() -> str:
    """What -march=native depends on."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next((line for line in lines if line.startswith("flags")), "")


class Double:
    """The double in this process: what was asked of it, and what it is to do."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hip = ctypes.CDLL(str(path / "lib" / "libamdhip64.so"))
        self._hip.double_calls.restype = self._hip.double_live.restype = ctypes.c_ulong
        self._hip.double_calls.argtypes = [ctypes.c_char_p]
        self._hip.double_fail.argtypes = [ctypes.c_char_p, ctypes.c_ulong, ctypes.c_int]
        self._hip.double_reason.restype = ctypes.c_char_p
        for setting in (self._hip.double_set_memory, self._hip.double_set_others, self._hip.double_set_piece):
            setting.argtypes = [ctypes.c_size_t]
        self._hip.double_set_arch.argtypes = [ctypes.c_char_p]
        self._hip.double_set_patience.argtypes = self._hip.double_set_skew.argtypes = [ctypes.c_double]
        self.defaults()
        self._hip.double_set_devices(0)  # none but for a test that asks for one

    def defaults(self) -> None:
        """One gfx900 with 8 GiB that does its work at once; nothing counted, nothing planned."""
        self._hip.double_set_hang(0)
        self._hip.double_set_hold(0)
        self._hip.double_set_order(0)
        self._hip.double_set_memory(8 * 2**30)
        self._hip.double_set_others(0)
        self._hip.double_set_piece(2**64 - 1)
        self._hip.double_set_skew(0)
        self._hip.double_set_arch(b"gfx900")
        self._hip.double_set_devices(1)
        self._hip.double_reset()

    def calls(self, name: str) -> int:
        """How often a library function was called."""
        return int(self._hip.double_calls(name.encode()))

    def fail(self, name: str, status: int, nth: int = 1) -> None:
        """Plan that the nth call from now on gives a status instead of doing anything; nth 0: every call. Status -1
        ends the process."""
        self._hip.double_fail(name.encode(), nth, status)

    def set(self, **settings: float | str) -> None:
        """devices, memory, what others have of it and the most of one piece (bytes), arch (with commas one for each
        device), hold (work waits to be waited for), hang (it never ends), order, patience, skew (milliseconds that
        events lose)."""
        for name, value in settings.items():
            getattr(self._hip, f"double_set_{name}")(value.encode() if isinstance(value, str) else value)

    @property
    def reason(self) -> str:
        """Why the double refused something last."""
        return str(self._hip.double_reason().decode())

    @property
    def live(self) -> int:
        """Allocations, streams, events, modules, handles and descriptors that were made and not given back."""
        return int(self._hip.double_live())

    @contextmanager
    def present(self, cache: Path) -> Iterator[Double]:
        """The double as the ROCm of this process and its children, with one device; what they keep goes to `cache`."""
        before = {name: os.environ.get(name) for name in _ENVIRONMENT}
        for name in _ENVIRONMENT:
            os.environ.pop(name, None)
        os.environ.update(ROCM_PATH=str(self.path), XDG_CACHE_HOME=str(cache))
        self.defaults()
        try:
            yield self
        finally:
            self.defaults()
            self._hip.double_set_devices(0)
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})
