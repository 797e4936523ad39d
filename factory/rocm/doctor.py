"""What this computer's ROCm can do for the course: HIP, hiprtc, rocBLAS and MIOpen, each with its level of support.

The probes run in other processes, since a library may abort or hang. The five levels and their words are those of the
page theory/what-support-means of AETS-MAGI/ROCm-docs, not AMD's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from factory.child import Child
from factory.errors import LibraryError
from factory.gpus import GPUS
from factory.language import Text
from factory.rocm import libraries, probes

LIBRARIES = ("HIP", "hiprtc", "rocBLAS", "MIOpen")
UNSUPPORTED, BUILDABLE, RUNNABLE, OPTIMIZED, RECOMMENDED = range(5)
LEVELS = (
    Text("対応していない", "unsupported"),
    Text("ビルドできる", "buildable"),
    Text("実行できる", "runnable"),
    Text("最適化されている", "optimized"),
    Text("公式に推奨", "officially recommended"),
)

MATRIX = "https://rocm.docs.amd.com/en/latest/compatibility/compatibility-matrix.html"
# The row "GPU / LLVM target" of AMD's matrix, by the first HIP version that it holds for (read up to ROCm 7.1).
_SINCE_6_0 = {"gfx908", "gfx90a", "gfx942", "gfx1030", "gfx1100"}
_SINCE_6_4 = _SINCE_6_0 | {"gfx1101", "gfx1200", "gfx1201"}
_OFFICIAL = {
    (6, 0): ("6.0", _SINCE_6_0),
    (6, 4): ("6.4.1", _SINCE_6_4),
    (7, 0): ("7.0", _SINCE_6_4 | {"gfx950"}),
}

_SECONDS = 600  # for one fact; MIOpen compiles its first kernels in it
# What hides GPUs: https://rocm.docs.amd.com/projects/HIP/en/latest/reference/env_variables.html
_HIDING = ("ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
_AMD, _DISPLAY, _ACCELERATOR = "0x1002", "0x03", "0x12"  # PCI's numbers of a maker and of two classes of device

TEXTS = {
    "bindings": Text(
        "hip-python {oldest} 以降がないので調べられません。", "not looked at: it takes hip-python {oldest} or newer."
    ),
    "absent": Text("見つかりません。シミュレーターには必要ありません。", "not found; the simulator does not need it."),
    "died": Text("試した別のプロセスが止まりました({why})。", "the other process that tried it went down ({why})."),
    "no_gpu": Text("読み込めました。AMD GPU がないので、動かすことはできません。", "it loads; there is no AMD GPU to run it on."),
    "memory": Text("{gpu} で、メモリの確保とコピーができました。", "took memory on {gpu} and copied to it and back."),
    "compiled": Text("この教材のカーネルを {gpu} 用にコンパイルできました。", "compiled this course's kernels for {gpu}."),
    "kernels": Text(
        "この教材のカーネルを {gpu} 用にコンパイルし、動かすと正しい答えが出ました。",
        "compiled this course's kernels for {gpu}; they ran and were right.",
    ),
    "gemm": Text("{gpu} での行列のかけ算が正しかった型: {types}。", "multiplied matrices rightly on {gpu}: {types}."),
    "not_gemm": Text("{dtype} はできません: {why}", "{dtype} fails: {why}"),
    "tensile": Text(
        "{gpu} 用のカーネルのファイル: {kernels} 個、うち専用に調整されたもの {tuned} 個。",
        "kernel files for {gpu}: {kernels}, of which tuned for it: {tuned}.",
    ),
    "activation": Text("{gpu} での活性化は正しく計算できました。", "computed an activation rightly on {gpu}."),
    "convolution": Text(
        "{gpu} での活性化と畳み込みは正しく計算できました(試した畳み込みに使える solver: {solvers})。",
        "computed an activation and a convolution rightly on {gpu} (solvers for that convolution: {solvers}).",
    ),
    "records": Text("{gpu} 用に入っている記録とカーネル: {names}。", "made for {gpu}, and installed: {names}."),
    "no_records": Text(
        "{gpu} 用の記録とカーネルは入っていません。初めての計算のたびに、その場でコンパイルします。",
        "no records or kernels for {gpu} are installed, so it compiles at each first use.",
    ),
    "level": Text("対応の段階: {name}(0 から 4 のうち {level})。{why}", "support: {name} ({level} of 0 to 4): {why}"),
    "no_level": Text("対応の段階: GPU がないので決められません。", "support: not to be told without a GPU."),
    "level_failed": Text("{gpu} では動きませんでした。", "it did not run on {gpu}."),
    "level_kernels": Text("{gpu} 用のカーネルはありますが、動きませんでした。", "it has kernels for {gpu} and did not run."),
    "level_compiled": Text("{gpu} 用にコンパイルできましたが、動かしてはいません。", "compiled for {gpu}, and not run."),
    "level_ran": Text("{gpu} で正しく動きました。", "it ran rightly on {gpu}."),
    "level_untuned": Text(
        "{gpu} で正しく動きましたが、専用に調整されたものは見つかりません。",
        "it ran rightly on {gpu}, and nothing tuned for that was found.",
    ),
    "level_tuned": Text(
        "{gpu} 専用に調整されたものがあり、正しく動きました。", "it ran rightly on {gpu}, with what was tuned for that."
    ),
    "level_official": Text(
        "{gpu} で正しく動き、AMD の対応表(ROCm {release})にもあります。カードごとの条件は表で: {page}",
        "it ran rightly on {gpu}, which AMD's matrix for ROCm {release} names; conditions of single cards: {page}",
    ),
    "gpus": Text(
        "{all}。使うのは {index} 番です(ほかを使うには、環境変数 HIP_VISIBLE_DEVICES にその番号を)。",
        "{all}; number {index} is used (for another, set HIP_VISIBLE_DEVICES to its number).",
    ),
    "gpu_none": Text("AMD GPU はありません。", "there is none."),
    "gpu_elsewhere": Text(
        "hip-python は Linux(x86-64)にしかないので、GPU は調べません。",
        "not looked for: hip-python exists for Linux on x86-64 alone.",
    ),
    "gpu_no_driver": Text(
        "AMD GPU が挿さっていますが、/dev/kfd がありません。ドライバー(amdgpu)がないか、コンテナーに渡されていません。",
        "an AMD GPU is plugged in, and /dev/kfd is missing: there is no driver (amdgpu), or a container was not given it.",
    ),
    "gpu_denied": Text(
        "AMD GPU がありますが、{file} を開く許可がありません(グループ {group} だけが開けます)。",
        "there is an AMD GPU, and no permission to open {file}, which belongs to the group {group}.",
    ),
    "gpu_unseen": Text(
        "AMD GPU とドライバーはありますが、HIP からは見えません{hidden}。",
        "there is an AMD GPU and its driver, and HIP does not see it{hidden}.",
    ),
    "hidden": Text("(環境変数 {names} が隠しているかもしれません)", " (the environment's {names} may hide it)"),
    "next_prove": Text(
        "準備ができています。python -m factory prove で、この GPU での計算をすべて確かめられます。",
        "all is ready. python -m factory prove checks everything on this GPU.",
    ),
    "next_simulator": Text(
        "足りないものはありません。どのレッスンもシミュレーターで動きます。ほかの GPU のまねもできます: "
        'factory.open("simulator", gpu="gfx900")。',
        "nothing is missing: every lesson runs on the simulator, which can also play a GPU: "
        'factory.open("simulator", gpu="gfx900").',
    ),
    "next_bindings": Text(
        "pip install 'hip-python>={oldest}' を実行し、もう一度 doctor で調べてください。それまではシミュレーターで動きます。",
        "run pip install 'hip-python>={oldest}', and ask doctor again; until then the simulator does the work.",
    ),
    "next_rocm": Text(
        "ROCm を入れ(https://rocm.docs.amd.com/projects/install-on-linux/)、もう一度 doctor で調べてください。"
        "それまではシミュレーターで動きます。",
        "install ROCm (https://rocm.docs.amd.com/projects/install-on-linux/), and ask doctor again; until then the "
        "simulator does the work.",
    ),
    "next_driver": Text(
        "ドライバー amdgpu を入れるか、コンテナーなら --device=/dev/kfd --device=/dev/dri を付けて始め直してください。"
        "それまではシミュレーターで動きます。",
        "install the driver amdgpu, or start the container anew with --device=/dev/kfd --device=/dev/dri; until then the "
        "simulator does the work.",
    ),
    "next_denied": Text(
        'sudo usermod -aG render,video "$USER" を実行し、ログインし直してください。それまではシミュレーターで動きます。',
        'run sudo usermod -aG render,video "$USER", and log in again; until then the simulator does the work.',
    ),
    "next_unseen": Text(
        "ROCm の rocminfo が GPU を挙げるか調べ、再起動も試してください。それまではシミュレーターで動きます。",
        "see whether ROCm's rocminfo lists the GPU, and try a restart; until then the simulator does the work.",
    ),
    "next_two_runtimes": Text(
        "ROCm を 1 つにそろえてください(上の行の説明のとおりです)。それまではシミュレーターで動きます。",
        "keep to one ROCm, as the line above says; until then the simulator does the work.",
    ),
    "next_kernels": Text(
        "入っている ROCm の {library} は {gpu} で動きません。この GPU 用のカーネルを含む版の ROCm(AMD の対応表: {page})か、"
        "配布元の {library} を試してください。それまではシミュレーターで動きます: {simulator}",
        "the {library} of this ROCm does not work on {gpu}: try a ROCm that has kernels for it (AMD's matrix: {page}), or "
        "your system's own {library}; until then the simulator does the work: {simulator}",
    ),
    "next_broken": Text(
        "{library} の行の説明を見てください。それまではシミュレーターで動きます。",
        "see the line of {library}; until then the simulator does the work.",
    ),
}  # fmt: skip

Facts = Mapping[str, Any]


class Finding(NamedTuple):
    """What was found of one library: how good that is (None: it is merely not there), in words, and its level."""

    library: str
    good: bool | None
    lines: tuple[Text, ...]
    version: str | None = None
    path: str | None = None
    level: int | None = None


def examine(trying: Callable[[str], object] = lambda step: None) -> dict[str, dict[str, Any]]:
    """Facts of each step of the probes, on the GPU that `factory.open` would take, which is the first that works; where
    none does, those of the first that was tried. The fact "index" of HIP says which it is. `trying` is told of each
    step as it starts."""
    first = _probe(0, trying)
    for nth in range(len(first["HIP"].get("gpus", ()))):
        facts = _probe(nth, trying) if nth else first
        if all("ran" in facts[step] for step in ("HIP", "hiprtc", "rocBLAS float32")):
            return facts
    return first


def _probe(nth: int, trying: Callable[[str], object]) -> dict[str, dict[str, Any]]:
    """Facts of one GPU. After a step that brings its process down, another goes on with the next."""
    facts: dict[str, dict[str, Any]] = {step: {} for step in probes.STEPS}
    left = list(probes.STEPS)
    while left:
        child = Child(f"from factory.rocm import probes; probes.run({left!r}, {nth})", _SECONDS)
        step = left[0]
        for step, name, value in child:
            facts[step][name] = value
            if name == "trying":
                trying(step)
        if child.death is None:
            break
        facts[step]["died"] = child.death
        left = left[left.index(step) + 1 :]
    return facts


def findings(facts: Mapping[str, Facts]) -> list[Finding]:
    """What the facts say of each library."""
    gpu = _arch(facts)
    return [_finding(library, facts, gpu) for library in LIBRARIES]


def number(facts: Mapping[str, Facts]) -> int:
    """Which GPU was probed, counted from 0 as HIP does."""
    return int(facts["HIP"].get("index", 0))


def gpus(facts: Mapping[str, Facts]) -> list[str]:
    """All that HIP sees, in a few words each."""
    return [f"{arch} ({name}, {units} CU)" for arch, name, units in facts["HIP"].get("gpus", ())]


def _arch(facts: Mapping[str, Facts]) -> str | None:
    """The architecture of the GPU that was probed."""
    seen = facts["HIP"].get("gpus", ())
    return str(seen[number(facts)][0]) if seen else None


def _finding(library: str, facts: Mapping[str, Facts], gpu: str | None) -> Finding:
    own = facts[library]
    path, version = own.get("path"), own.get("version")
    trouble = _trouble(own)
    key, fields = own.get("error", ("", {}))
    if trouble and key == "bindings":
        return Finding(
            library, None, (trouble if library == "HIP" else TEXTS["bindings"].format(oldest=libraries.OLDEST),)
        )
    if key == "absent" and fields["library"] != "hip-python" and not os.path.isfile(path or ""):
        return Finding(library, None, (TEXTS["absent"],))
    where = " ".join(filter(None, (version, path)))
    lines = [Text(where, where)] if where else []
    if trouble:
        lines.append(trouble)
    elif gpu is None and "compiled" not in own:
        lines.append(TEXTS["no_gpu"])
    lines += _works(library, facts, gpu)
    level, why = _level(library, facts, gpu)
    if level is None:
        lines.append(TEXTS["no_level"])
    else:
        lines.append(TEXTS["level"].format(level=level, name=LEVELS[level], why=why))
    good = not trouble and (gpu is None or level not in (UNSUPPORTED, BUILDABLE))
    return Finding(library, good, tuple(lines), version, path, level)


def _trouble(facts: Facts) -> Text | None:
    """What went wrong, in words."""
    if "died" in facts:
        return TEXTS["died"].format(why=facts["died"])
    if "error" in facts:
        key, fields = facts["error"]
        return LibraryError(key, **fields).text
    return Text(facts["fault"], facts["fault"]) if "fault" in facts else None


def _works(library: str, facts: Mapping[str, Facts], gpu: str | None) -> list[Text]:
    """What it did, and which kernels it has for the GPU."""
    own = facts[library]
    lines = []
    if library == "rocBLAS":
        by_type = {dtype: facts[f"rocBLAS {dtype}"] for dtype in probes.TYPES}
        right = [dtype for dtype, found in by_type.items() if "ran" in found]
        if right:
            lines.append(TEXTS["gemm"].format(gpu=gpu, types=", ".join(right)))
        if "kernels" in own:
            lines += [
                TEXTS["not_gemm"].format(dtype=dtype, why=why)
                for dtype, found in by_type.items()
                if (why := _trouble(found))
            ]
            lines.append(TEXTS["tensile"].format(gpu=gpu, kernels=own["kernels"], tuned=own["tuned"]))
    elif "ran" in own:
        lines.append(TEXTS[own["ran"]].format(gpu=gpu, solvers=", ".join(own.get("solvers", ()))))
    elif "compiled" in own:
        lines.append(TEXTS["compiled"].format(gpu=own["compiled"]))
    if "records" in own:
        key = "records" if own["records"] else "no_records"
        lines.append(TEXTS[key].format(gpu=gpu, names=", ".join(own["records"])))
    return lines


def _level(library: str, facts: Mapping[str, Facts], gpu: str | None) -> tuple[int | None, Text]:
    """The level of support on this GPU, and the evidence for it."""
    own = facts[library]
    ran = {"HIP": "memory", "hiprtc": "kernels", "MIOpen": "convolution"}.get(library)
    well = own.get("ran") == ran if ran else "ran" in facts["rocBLAS float32"]
    if gpu is None or not well:
        if "compiled" in own:
            return BUILDABLE, TEXTS["level_compiled"].format(gpu=own["compiled"])
        if gpu is None:
            return None, TEXTS["no_level"]
        if own.get("kernels") or own.get("records"):
            return BUILDABLE, TEXTS["level_kernels"].format(gpu=gpu)
        return UNSUPPORTED, TEXTS["level_failed"].format(gpu=gpu)
    release, named = _official(facts["HIP"]["version"])
    if gpu in named:
        return RECOMMENDED, TEXTS["level_official"].format(gpu=gpu, release=release, page=MATRIX)
    if library in ("HIP", "hiprtc"):  # what they have is the same for every GPU
        return RUNNABLE, TEXTS["level_ran"].format(gpu=gpu)
    if own.get("tuned") or own.get("records"):
        return OPTIMIZED, TEXTS["level_tuned"].format(gpu=gpu)
    return RUNNABLE, TEXTS["level_untuned"].format(gpu=gpu)


def _official(version: str) -> tuple[str, set[str]]:
    """The newest release of AMD's matrix that is no newer than a HIP version, and the GPUs in it."""
    installed = tuple(map(int, version.split(".")[:2]))
    known = [first for first in _OFFICIAL if first <= installed]
    return _OFFICIAL[max(known)] if known else ("", set())


class Hardware(NamedTuple):
    """What the system says of AMD GPUs: "none", "elsewhere" (no Linux), "no_driver", "denied" or "ready"."""

    state: str
    file: str = ""
    group: str = ""


def hardware(root: Path = Path("/")) -> Hardware:
    """Look for AMD GPUs among the system's devices, and for the permission to open them."""
    if sys.platform != "linux":
        return Hardware("elsewhere")
    kfd = root / "dev" / "kfd"
    if not kfd.exists():
        devices = (root / "sys" / "bus" / "pci" / "devices").glob("*")
        found = any(
            _line(device / "vendor") == _AMD and _line(device / "class").startswith((_DISPLAY, _ACCELERATOR))
            for device in devices
        )
        return Hardware("no_driver" if found else "none")
    for file in (kfd, *(root / "dev" / "dri").glob("renderD*")):
        if not os.access(file, os.R_OK | os.W_OK):
            return Hardware("denied", f"/{file.relative_to(root)}", _group(file))
    return Hardware("ready")


def _line(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except OSError:
        return ""


def _group(file: Path) -> str:
    try:
        return file.group()
    except (KeyError, OSError):  # a number without a name, as in a container
        return str(file.stat().st_gid)


def gpu_text(facts: Mapping[str, Facts], seen: Hardware) -> Text:
    """The GPUs, or why none can be used."""
    found = gpus(facts)
    if len(found) == 1:
        return Text(found[0], found[0])
    if found:
        return TEXTS["gpus"].format(
            index=number(facts), all=", ".join(f"{index}: {gpu}" for index, gpu in enumerate(found))
        )
    if seen.state == "ready":
        names = [name for name in _HIDING if name in os.environ]
        hidden = TEXTS["hidden"].format(names=", ".join(names)) if names else ""
        return TEXTS["gpu_unseen"].format(hidden=hidden)
    return TEXTS[f"gpu_{seen.state}"].format(file=seen.file, group=seen.group)


def advice(facts: Mapping[str, Facts], seen: Hardware) -> Text:
    """What to do next."""
    keys = {step: own.get("error", [""])[0] for step, own in facts.items()}
    gpu = _arch(facts)
    if gpu is None and seen.state in ("none", "elsewhere"):
        return TEXTS["next_simulator"]
    if "two_runtimes" in keys.values():
        return TEXTS["next_two_runtimes"]
    if keys["HIP"] == "bindings":
        return TEXTS["next_bindings"].format(oldest=libraries.OLDEST)
    if seen.state in ("no_driver", "denied") and gpu is None:
        return TEXTS["next_driver" if seen.state == "no_driver" else "next_denied"]
    if keys["HIP"] == "absent":
        return TEXTS["next_rocm"]
    if gpu is None:
        return TEXTS["next_unseen"]
    for found in findings(facts):
        if not found.good:
            if keys[found.library] == "absent":
                return TEXTS["next_rocm"]
            if found.level in (UNSUPPORTED, BUILDABLE) and found.library != "HIP":
                known = f', gpu="{gpu}"' if gpu in GPUS else ""
                return TEXTS["next_kernels"].format(
                    library=found.library, gpu=gpu, page=MATRIX, simulator=f'factory.open("simulator"{known})'
                )  # fmt: skip
            return TEXTS["next_broken"].format(library=found.library)
    return TEXTS["next_prove"]
