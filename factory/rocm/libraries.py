"""Finding HIP, hiprtc, rocBLAS and MIOpen where hip-python finds them, and `check`, which turns a status into an error.

Nothing is loaded before a device is opened. All libraries of a process must stand on one HIP runtime: two know nothing
of each other's addresses.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import platformdirs

from factory.errors import LibraryError

OLDEST = 10  # hip-python: hipGetDeviceProperties had another form before


def check(call: str, status: int, words: Callable[[int], str], gpu: str) -> None:
    """Raise LibraryError, with the code in the library's own words, for a status other than 0."""
    if status:
        raise LibraryError("status", call=call, code=int(status), meaning=words(status), gpu=gpu)


@cache
def bindings() -> tuple[ModuleType, ModuleType]:
    """hip-python's modules for HIP and hiprtc, whose libraries are loaded by their first call.

    Raises LibraryError where hip-python is missing or older than 10.
    """
    try:
        found = metadata.version("hip-python")
        from hip import hip, hiprtc

        _ = hip.hipError_t
    except Exception as error:  # missing, or damaged in whatever way
        raise LibraryError("bindings", oldest=OLDEST, found=str(error)) from None
    if int(found.partition(".")[0]) < OLDEST:
        raise LibraryError("bindings", oldest=OLDEST, found=f"hip-python {found}")
    return hip, hiprtc


def where(short: str) -> str:
    """The file that hip-python would load for "amdhip64", "hiprtc", "rocblas" or "MIOpen"; a bare name where the
    system's loader is to look for it."""
    bindings()
    from rocm.bindings.util.paths import get_library_path

    return os.fsdecode(get_library_path(short))


class Checked:
    """A module of hip-python whose functions return their outputs alone, and raise LibraryError for a status.

    `status` is the module's enum of them, `text` its function that says one in words. The attribute `gpu` says which
    GPU the error names.
    """

    def __init__(self, module: ModuleType, status: str, text: str, gpu: str) -> None:
        self.gpu = gpu
        self._module = module
        self._status = getattr(module, status)
        self._text = text

    def raw(self, name: str) -> Callable[..., tuple[Any, ...]]:
        """A function that returns its status, and then its outputs. What it cannot return at all is an error."""
        try:
            function = getattr(self._module, name)
        except AttributeError as error:
            raise LibraryError("absent", library="hip-python", why=str(error)) from None

        def call(*arguments: Any) -> tuple[Any, ...]:
            try:
                return function(*arguments)
            except RuntimeError as error:  # the library, or this function of it, is not there
                raise LibraryError("absent", library=self._module.__name__, why=str(error)) from None
            except ValueError as error:  # "12345 is not a valid hipError_t"
                code = str(error).partition(" ")[0]
                if not code.isdecimal():
                    raise
                raise LibraryError("status", call=name, code=int(code), meaning=str(error), gpu=self.gpu) from None

        return call

    def __getattr__(self, name: str) -> Any:
        function = self.raw(name)

        def checked(*arguments: Any) -> Any:
            result = function(*arguments)
            if result[0]:
                check(name, result[0], self.words, self.gpu)
            return result[1] if len(result) == 2 else result[1:]

        setattr(self, name, checked)
        return checked

    def words(self, code: int) -> str:
        """A status by its name, and in the library's words."""
        status = self._status(code)
        said = getattr(self._module, self._text)(status)
        text = said[-1] if isinstance(said, tuple) else said
        return f"{status.name}: {text.decode() if isinstance(text, bytes) else text}"


def load(short: str, functions: Mapping[str, Sequence[Any]]) -> SimpleNamespace:
    """A library through ctypes: its functions by name, each with its argument types, returning an int.

    Raises LibraryError where the library or one of the functions is not there, or where it came with a HIP runtime
    other than the one that is loaded.
    """
    path = where(short)
    resolved = SimpleNamespace()
    try:
        library = ctypes.CDLL(path)
        for name, arguments in functions.items():
            function = getattr(library, name)
            function.argtypes, function.restype = list(arguments), ctypes.c_int
            setattr(resolved, name, function)
    except (OSError, AttributeError) as error:
        raise LibraryError("absent", library=short, why=str(error)) from None
    one_runtime()
    return resolved


def one_runtime() -> None:
    """Raise LibraryError where two HIP runtimes are loaded in this process."""
    found = runtimes()
    if len(found) > 1:
        raise LibraryError("two_runtimes", paths=", ".join(found))


def runtimes() -> list[str]:
    """Files of HIP runtimes that are loaded in this process."""
    return loaded("amdhip64")


def loaded(short: str) -> list[str]:
    """Files that this process has loaded of a library; none where the system does not tell."""
    try:
        lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
    except OSError:  # not Linux
        return []
    return sorted({line.split(maxsplit=5)[-1] for line in lines if f"/lib{short}.so" in line})


def cache_folder(name: str) -> Path | None:
    """A folder of ours that lasts, made where it is missing; None where it cannot be written."""
    folder = Path(platformdirs.user_cache_dir("inference-factory")) / "rocm" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / f".{os.getpid()}"
        trial.touch()
        trial.unlink()
    except OSError:
        return None
    return folder
