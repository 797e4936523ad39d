"""Unpack the real libraries of ROCm 6.4 for the tests, from Debian unstable: `python tools/rocm_libraries.py`.

Nothing is installed, and neither root nor a GPU is needed: HIP, hiprtc, rocBLAS and MIOpen with their headers, the
compiler that MIOpen calls, and rocBLAS's kernels for one GPU go into a folder of the user's cache, whole or not at
all, and stay there. `--hip` takes HIP and hiprtc alone.

apt fetches the packages from the mirror that this machine uses already, with a state of its own; it checks the
mirror's signature, and the hash of everything that it fetches.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import platformdirs
from install import say, shout

GPU = "gfx900"  # whose kernels of rocBLAS are unpacked; those of all GPUs are 4 GB
HIP = ("libamdhip64-6", "libamdhip64-dev", "libhiprtc6", "libhiprtc-builtins6")
LIBRARIES = ("librocblas4", "librocblas-dev", "libmiopen1", "libmiopen-dev")
COMPILER = (
    "clang-21", "clang-tools-21", "lld-21", "libclang-common-21-dev", "rocm-device-libs-21", "librocrand-dev",
    "libhiprand-dev", "patchelf",
)  # fmt: skip
# What apt adds for their sake and nothing here uses; a second C library's headers would confuse this machine's compiler.
LEFT_OUT = re.compile(
    r".*-dev|libc-dev-bin|(lib|lib.*-)?(gcc|g\+\+|python|binutils|perl)(?!-s1).*|lib(ssl|readline|rocrand).*|debconf"
)
EXCLUDED = (
    "./usr/share/doc/*", "./usr/share/man/*", "./usr/share/locale/*",
    # A file of kernels has its GPU in its name: those that differ from ours in some letter.
    *(f"*/rocblas/*/library/*{GPU[:i]}[!{GPU[i]}]*" for i in range(len("gfx"), len(GPU))),
)  # fmt: skip
LIB = Path("usr/lib/x86_64-linux-gnu")
LLVM = Path("usr/lib/llvm-21")
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SPACE = 3 << 30  # bytes that the packages, and what they become, take while they are unpacked


class NotHere(Exception):
    """Why the packages cannot be had on this machine, in ja and en."""


def folder(hip_alone: bool = False) -> Path:
    """Where the libraries are, once they are unpacked, in this user's cache."""
    facts = (HIP if hip_alone else (*HIP, *LIBRARIES, *COMPILER), LEFT_OUT.pattern, EXCLUDED)
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
    return platformdirs.user_cache_path("inference-factory") / f"rocm-6.4-{'hip-' if hip_alone else ''}{digest}"


def set_up(target: Path, wanted: tuple[str, ...]) -> None:
    """Unpack the wanted packages, and what they stand on, into a new folder. Raises NotHere."""
    check_machine(target.parent)
    work = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        new = work / "new"
        new.mkdir()
        for package in fetch(work / "fetched", wanted):
            unpack(package, new)
        if set(COMPILER) <= set(wanted):
            make_compiler_run(new, target)
        new.rename(target)
    except OSError as error:
        if not target.is_dir():  # no other process was first
            raise NotHere(f"書き込めません({error})", f"it could not be written: {error}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def check_machine(cache: Path) -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise NotHere("Linux x86-64 ではありません", "this is not Linux on x86-64")
    missing = [tool for tool in ("apt-get", "dpkg-deb", "tar") if not shutil.which(tool)]
    if missing or not KEYS.is_file():
        lacking = ", ".join(missing) or str(KEYS)
        raise NotHere(f"Debian の {lacking} がありません", f"Debian's {lacking} is not here")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache).free
    except OSError as error:
        raise NotHere(f"キャッシュに書けません({error})", f"the cache cannot be written: {error}") from None
    if free < SPACE:
        raise NotHere(
            f"ディスクの空きが足りません({free >> 20} MB、必要なのは {SPACE >> 20} MB)",
            f"the disk has {free >> 20} MB left, and {SPACE >> 20} are needed",
        )


def fetch(work: Path, wanted: tuple[str, ...]) -> list[Path]:
    """The package files of what is wanted and what it stands on, checked by apt."""
    for name in ("lists/partial", "archives/partial", "packages"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb [arch=amd64 signed-by={KEYS}] {mirror()} sid main\n")
    options = {
        "Dir::Etc::SourceList": work / "sources.list", "Dir::Etc::SourceParts": "/dev/null", "Dir::State": work,
        "Dir::State::Lists": work / "lists", "Dir::State::status": work / "status", "Dir::Cache": work,
        "Dir::Cache::archives": work / "archives", "APT::Install-Recommends": "false", "APT::Sandbox::User": "",
        "APT::Update::Error-Mode": "any", "Debug::NoLocking": "1",
        "Acquire::Check-Valid-Until": "false",  # a mirror may stand still; its signature is checked all the same
    }  # fmt: skip
    apt = ("apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items()))
    output(*apt, "update")
    plan = output(*apt, "--yes", "--print-uris", "install", *wanted)
    found = re.findall(r"^'[^']*' ([^_ ]+)_", plan, re.MULTILINE)
    packages = sorted(name for name in found if name in wanted or not LEFT_OUT.fullmatch(name))
    output(*apt, "download", *packages, cwd=work / "packages")
    return sorted((work / "packages").glob("*.deb"))


def mirror() -> str:
    """The Debian mirror that apt uses on this machine."""
    listed = output("apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages")
    for line in listed.splitlines():
        label, _, address = line.partition("|")
        if label == "Debian":
            return address
    raise NotHere("apt の設定に Debian のミラーがありません", "apt knows no mirror of Debian here")


def output(*command: object, cwd: Path | None = None) -> str:
    """What a command says. Raises NotHere, with the last line of its complaint, where it fails."""
    words = [str(part) for part in command]
    ended = subprocess.run(words, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if ended.returncode:
        said = (ended.stderr.strip().splitlines() or [str(ended.returncode)])[-1]
        raise NotHere(f"{words[0]} が失敗しました({said})", f"{words[0]} failed: {said}")
    return ended.stdout


def unpack(package: Path, target: Path) -> None:
    options = ("--no-same-owner", "--keep-directory-symlink", *(f"--exclude={pattern}" for pattern in EXCLUDED))
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as archive:
        tar = subprocess.run(["tar", "-x", "-C", target, *options], stdin=archive.stdout)
    if tar.returncode or archive.returncode:
        raise NotHere(f"{package.name} を展開できません", f"{package.name} could not be unpacked")
    package.unlink()  # the disk has to hold each only once


def make_compiler_run(here: Path, target: Path) -> None:
    """Let the compiler find what it needs where it will be: its loader, the device libraries, HIP's headers."""
    loader = LIB / "ld-linux-x86-64.so.2"
    patchelf = (here / loader, "--library-path", here / LIB, here / "usr/bin/patchelf")
    for tool in ("clang", "lld", "clang-offload-bundler"):
        output(*patchelf, "--set-interpreter", target / loader, (here / LLVM / "bin" / tool).resolve())
    (version,) = re.findall(r"libamdhip64\.so\.(\d+)\.(\d+)\.(\d+)", " ".join(map(str, (here / LIB).iterdir())))
    about = here / "usr/share/hip/version"
    about.parent.mkdir(parents=True, exist_ok=True)
    about.write_text("HIP_VERSION_MAJOR={}\nHIP_VERSION_MINOR={}\nHIP_VERSION_PATCH={}\n".format(*version))
    (bitcode,) = (here / LLVM).glob("lib/clang/*/amdgcn/bitcode")
    for driver in ("clang", "clang++"):
        (here / LLVM / "bin" / f"{driver}.cfg").write_text(
            f"--rocm-path={target / 'usr'}\n--rocm-device-lib-path={target / bitcode.relative_to(here)}\n"
        )


def main() -> int:
    if sys.argv[1:] not in ([], ["--hip"]):
        print("python tools/rocm_libraries.py [--hip]", file=sys.stderr)
        return 2
    hip_alone = bool(sys.argv[1:])
    target = folder(hip_alone)
    if target.is_dir():
        return 0
    wanted, size = (HIP, "0.3 GB") if hip_alone else ((*HIP, *LIBRARIES, *COMPILER), "1.6 GB")
    say(f"テストのために、本物の ROCm 6.4 のライブラリを展開しています({size}、1〜2 分)…",
        f"Unpacking the real libraries of ROCm 6.4 for the tests ({size}, a minute or two) …")  # fmt: skip
    start = perf_counter()
    try:
        set_up(target, wanted)
    except NotHere as reason:
        ja, en = reason.args
        shout(f"本物の ROCm のライブラリを用意できないので、それを使うテストはとばします({ja})",
              f"the real libraries of ROCm could not be had, and the tests on them are skipped: {en}")  # fmt: skip
        return 1
    seconds = round(perf_counter() - start)
    say(f"展開しました({seconds} 秒): {target}", f"Unpacked in {seconds} seconds: {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
