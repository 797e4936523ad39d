"""From the source of our kernels to a code object for one GPU: hiprtc once, then a file that every process finds."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path

from factory.errors import LibraryError
from factory.rocm.libraries import Checked, bindings, cache_folder

SOURCE = Path(__file__).with_name("kernels.hip")
_ARCH = re.compile(r"gfx[0-9]{1,2}[0-9a-f]{2}")
_DIGEST = hashlib.sha256().digest_size


def code_object(arch: str, gpu: str) -> bytes:
    """The kernels compiled for an architecture ("gfx900"), from the cache where they are there.

    Raises LibraryError for a name that is none, which hiprtc must not see (it ends the process), and with hiprtc's
    own log where it cannot compile.
    """
    if not _ARCH.fullmatch(arch):
        raise LibraryError("arch", call="hiprtcCompileProgram", gpu=repr(arch))
    source = SOURCE.read_bytes()
    options = [f"--offload-arch={arch}".encode()]
    key = hashlib.sha256(repr((source, options, _versions(gpu))).encode()).hexdigest()[:32]
    folder = cache_folder("kernels")
    file = folder and folder / f"{arch}-{key}"
    code = _read(file)
    if code is None:
        code = _compile(source, options, gpu)
        _write(file, code)
    return code


def _versions(gpu: str) -> tuple[object, ...]:
    hip, hiprtc = bindings()
    checked = Checked(hiprtc, "hiprtcResult", "hiprtcGetErrorString", gpu)
    return *checked.hiprtcVersion(), Checked(hip, "hipError_t", "hipGetErrorString", gpu).hipRuntimeGetVersion()


def _compile(source: bytes, options: list[bytes], gpu: str) -> bytes:
    _, module = bindings()
    hiprtc = Checked(module, "hiprtcResult", "hiprtcGetErrorString", gpu)
    program = hiprtc.hiprtcCreateProgram(source, SOURCE.name.encode(), 0, None, None)
    try:
        hiprtc.hiprtcCompileProgram(program, len(options), options)
        code = bytearray(hiprtc.hiprtcGetCodeSize(program))
        hiprtc.hiprtcGetCode(program, code)
    except LibraryError as error:
        if error.key != "status" or error.call != "hiprtcCompileProgram":
            raise
        log = bytearray(hiprtc.hiprtcGetProgramLogSize(program))
        hiprtc.hiprtcGetProgramLog(program, log)
        text = log.rstrip(b"\0").decode(errors="replace").strip()
        raise LibraryError("compile", **error.fields, log=text) from None
    finally:
        hiprtc.hiprtcDestroyProgram(program.createRef())
    return bytes(code)


def _read(file: Path | None) -> bytes | None:
    """A code object that was kept; None where there is none, or where it is damaged (HIP would not survive it)."""
    try:
        content = file.read_bytes() if file else b""
    except OSError:
        return None
    digest, code = content[:_DIGEST], content[_DIGEST:]
    return code if code and hashlib.sha256(code).digest() == digest else None


def _write(file: Path | None, code: bytes) -> None:
    """Keep a code object where that is possible: whole or not at all, whoever else writes the same."""
    if file is None:
        return
    with contextlib.suppress(OSError):
        descriptor, name = tempfile.mkstemp(dir=file.parent)
        try:
            with os.fdopen(descriptor, "wb") as part:
                part.write(hashlib.sha256(code).digest() + code)
            os.replace(name, file)
        except OSError:
            os.unlink(name)
