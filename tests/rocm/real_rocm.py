"""The real libraries of ROCm as tools/rocm_libraries.py unpacked them, and a Python that runs on them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.append(str(ROOT / "tools"))

import rocm_libraries  # noqa: E402
from rocm_libraries import LIB, LLVM  # noqa: E402

MISSING = "real: the libraries of ROCm are not unpacked (python tools/rocm_libraries.py), or there is no gcc"


def folder() -> Path | None:
    """Where the libraries are; None where they were not unpacked, or there is no C compiler."""
    found = rocm_libraries.folder()
    return found if found.is_dir() and shutil.which("gcc") else None


def hip() -> Path | None:
    """Where HIP and hiprtc are, with the others or alone (python tools/rocm_libraries.py --hip)."""
    alone = rocm_libraries.folder(hip_alone=True)
    return folder() or (alone if alone.is_dir() and shutil.which("gcc") else None)


def headers() -> Path | None:
    """Where hip/, rocblas/ and miopen/ are, and no C library's own headers."""
    found = rocm_libraries.folder() / "usr" / "include"
    return found if found.is_dir() else None


def build_runtime(into: Path) -> Path:
    """Build the HIP runtime without a GPU; `into`, in which a loader finds it."""
    source = HERE / "emulated" / "hip_runtime.c"
    _gcc(into / "libamdhip64.so.6", source, f"-I{headers()}", "-Wl,-soname,libamdhip64.so.6",
         f"-Wl,--version-script={source.with_suffix('.map')}")  # fmt: skip
    (into / "libamdhip64.so").symlink_to("libamdhip64.so.6")
    return into


def python(into: Path, runtime: Path | None = None) -> Path:
    """A copy of this virtual environment whose Python, and every Python it starts, loads the real libraries.

    It is started by the C library that they need. `runtime` is a folder whose libraries come before them.
    """
    unpacked = hip()
    assert unpacked, MISSING
    lib = unpacked / LIB
    _gcc(into / "compiler_path.so", HERE / "compiler_path.c")
    for name in ("pyvenv.cfg", "lib"):
        (into / name).symlink_to(Path(sys.prefix) / name)
    script = into / "bin" / "python"
    script.parent.mkdir()
    pairs = "".join(f"{old}\t{new}\t" for old, new in _compiler(unpacked).items())
    path = f"{runtime}:{lib}" if runtime else lib
    script.write_text(
        f"""#!/bin/sh
export POPEN_REPLACE="${{POPEN_REPLACE-{pairs}}}"
exec {lib}/ld-linux-x86-64.so.2 --argv0 "$0" --library-path {path} --preload {into}/compiler_path.so \\
  {Path(sys.executable).resolve()} "$@"
"""
    )
    script.chmod(0o755)
    return script


def _compiler(unpacked: Path) -> dict[str, str]:
    """What MIOpen's commands to its compiler hold of the machine that it was built on, and what they are to hold."""
    if unpacked != folder():
        return {}
    start = f"env LD_LIBRARY_PATH={unpacked / LIB} {unpacked / LLVM / 'bin'}"
    (assembler,) = set(re.findall(rb"/build/[^\0]*/clang-21", (unpacked / LIB / "libMIOpen.so").read_bytes()))
    return {
        "/usr/bin/clang++-21": f"{start}/clang++",
        assembler.decode(): f"{start}/clang",
        "-isystem /usr/include": f"-isystem {unpacked / 'usr' / 'include'}",
    }


def _gcc(target: Path, *arguments: object) -> None:
    command = ["gcc", "-O1", "-shared", "-fPIC", "-w", *map(str, arguments), "-o", str(target)]
    subprocess.run(command, check=True, capture_output=True, text=True)
