"""The GPUs we know: memory, bandwidth, peaks by type, MIOpen's algorithms by type, each with its public source.

One card stands for each architecture, with the number of compute units that AMD's own records have, where there are
any. Nothing here was measured: bandwidth = bus width x rate of a pin / 8, and a peak = compute units x operations a
clock x clock, at the highest clock that the maker names. The tests hold the products against published figures.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from factory.errors import ShapeError, Unsupported
from factory.language import Text

DTYPES = ("float32", "float16", "bfloat16")


class Rate(NamedTuple):
    """What one compute unit does in a clock for a type, a multiplication and an addition counted as two.

    `unit` is what does it: "vector" (64 lanes, one multiply-add each), "packed" (two numbers a lane), "dual issue"
    (two instructions at a time, where the compiler finds a pair), "dot product" (int8, four a lane), "MFMA" or "WMMA"
    (matrix units). `source` is the page that says so.
    """

    per_clock: int
    unit: str
    source: str


class Solver(NamedTuple):
    """One of MIOpen's forward solvers: its name, number, algorithm, and in words which problems it takes.

    `workspace` says in words whether it needs one, `switch` which environment variable turns it off, and `needs` is the
    library that MIOpen must have been built with: "", "CK" or "rocMLIR" (AMD's builds have both, Debian's neither).
    """

    name: str
    id: int
    algorithm: str
    conditions: str
    workspace: str
    switch: str
    needs: str


@dataclass(frozen=True)
class Gpu:
    """One GPU. `pages` names the public page of each figure, the rates bring their own; `note` tells what is doubtful.

    clock: highest, in Hz. memory: bytes. bus: width in bits; pin: bits a second on each of them. wave: lanes of a
    wavefront as HIP compiles by default. A type for which the GPU has no rate of its own is absent from `rates`.
    """

    arch: str
    name: str
    compute_units: int
    clock: float
    memory: int
    bus: int
    pin: float
    wave: int
    rates: Mapping[str, Rate] = field(default_factory=dict, compare=False, repr=False)
    pages: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    note: Text | None = field(default=None, compare=False, repr=False)

    @property
    def bandwidth(self) -> float:
        """Bytes a second between the GPU and its memory, at most: bus x pin / 8."""
        return self.bus * self.pin / 8

    @cached_property
    def peaks(self) -> Mapping[str, float]:
        """Operations a second by type, at most: compute_units x rate x clock; "float32 matrix" for matrix units."""
        return {dtype: self.compute_units * rate.per_clock * self.clock for dtype, rate in self.rates.items()}

    @cached_property
    def algorithms(self) -> Mapping[str, frozenset[str]]:
        """MIOpen's forward algorithms on this GPU by type: those of its `solvers`. Raises Unsupported as they do."""
        return {dtype: frozenset(solver.algorithm for solver in solvers(self.arch, dtype)) for dtype in DTYPES}

    @property
    def sources(self) -> tuple[str, ...]:
        """Every public page behind these figures, once."""
        return tuple(dict.fromkeys([*self.pages.values(), *(rate.source for rate in self.rates.values())]))

    def __str__(self) -> str:
        return f"{self.arch} ({self.name})"


def find(name: str) -> Gpu:
    """The GPU of an architecture, "gfx900" or as a driver says it, "gfx90a:sramecc+:xnack-".

    Raises Unsupported, naming the known ones, for any other.
    """
    arch = str(name).split(":")[0].strip().lower()
    if arch not in GPUS:
        raise Unsupported("gpu", got=repr(name), known=", ".join(GPUS))
    return GPUS[arch]


def solvers(arch: str, dtype: str) -> tuple[Solver, ...]:
    """MIOpen's forward solvers that exist on a GPU for a type, in the table's order; conditions tell for which sizes.

    The rule, over data/miopen_solvers.csv: MIOpen 3.4.0 has the solver; it takes the type; the GPU's column says yes,
    this very type, or names a library that AMD's builds have (CK, rocMLIR). What is off until a switch is set to 1 is
    left out, and so is what is unknown: bfloat16 in the two rocMLIR solvers. The GPU columns are from MIOpen's source,
    and the real library contradicted none of them. A solver may be there for another layout or 3-D alone.

    Raises Unsupported for an unknown GPU, ShapeError for a type other than float32, float16 and bfloat16.
    """
    if dtype not in DTYPES:
        raise ShapeError("dtype", call="solvers", got=repr(dtype), want="float32", known=", ".join(DTYPES))
    return _solvers(find(arch).arch, dtype)


@cache
def _solvers(arch: str, dtype: str) -> tuple[Solver, ...]:
    return tuple(
        Solver(
            row["solver"], int(row["id"]), row["algorithm"], row["conditions"], row["workspace"], row["switch"],
            needs=row[arch] if row[arch] in ("CK", "rocMLIR") else "",
        )
        for row in table()
        if row["in_3_4_0"] == "yes"
        and (row[dtype] == "yes" or arch in row[dtype].split())
        and row[arch] in ("yes", dtype, "CK", "rocMLIR")
    )  # fmt: skip


@cache
def table() -> tuple[dict[str, str], ...]:
    """The rows of data/miopen_solvers.csv, read at the first call; its head says where they come from."""
    with (Path(__file__).parent / "data" / "miopen_solvers.csv").open(encoding="utf-8", newline="") as lines:
        return tuple(csv.DictReader(line for line in lines if not line.startswith("#")))


_ROCM = "https://rocm.docs.amd.com/en/latest/reference/gpu-specs.html"
_MI100 = "https://rocm.docs.amd.com/en/docs-6.2.2/conceptual/gpu-arch/mi100.html"
_MI250 = "https://rocm.docs.amd.com/en/docs-6.2.2/conceptual/gpu-arch/mi250.html"
_MI300 = "https://rocm.docs.amd.com/en/docs-6.2.2/conceptual/gpu-arch/mi300.html"
_MATRIX = "https://gpuopen.com/learn/using_matrix_core_amd_rdna4/"
_INSTINCT = "https://www.anandtech.com/show/17326/amd-releases-instinct-mi210-accelerator-cdna-2-on-a-pcie-card"
_RADEON_VII = "https://guru3d.com/review/amd-radeon-vii-16-gb-review/page-5"
_7900 = "https://www.guru3d.com/review/powercolor-radeon-rx-7900-xtx-hellhound-spectral-white-review/page-4/"
_9070 = "https://pocketmags.com/it/linux-format-magazine/june-2025/articles/inside-the-dna-of-amd"
_CARDS = "https://www.techpowerup.com/gpu-specs/"


def _pages(default: str, **others: str) -> dict[str, str]:
    """AMD's table gives units, memory and wave, another page clock and bandwidth, unless said otherwise."""
    usual = {"compute_units": _ROCM, "memory": _ROCM, "wave": _ROCM, "clock": default, "bandwidth": default}
    return {**usual, **others}


_VEGA_56, _RX_6800_XT = _CARDS + "radeon-rx-vega-56.c2993", _CARDS + "radeon-rx-6800-xt.c3694"
_MI300X, _RX_9070_XT = _CARDS + "radeon-instinct-mi300x.c4179", _CARDS + "radeon-rx-9070-xt.c4229"

GPUS: Mapping[str, Gpu] = {
    gpu.arch: gpu
    for gpu in (
        Gpu(
            "gfx900", "Radeon RX Vega 56",
            compute_units=56, clock=1471e6, memory=8 * 2**30, bus=2048, pin=1.6e9, wave=64,
            rates={"float32": Rate(128, "vector", _VEGA_56), "float16": Rate(256, "packed", _VEGA_56)},
            pages=_pages(_VEGA_56, compute_units=_VEGA_56, memory=_VEGA_56),
            note=Text(
                "AMD の記録にある gfx900 は 56 CU なので Vega 56 を選びました。484 GB/s は Vega 64 の値です(ピンが"
                "速い)。int8 の内積命令は gfx906 からなので、int8 の値はありません。",
                "Vega 56, since AMD's records of gfx900 have 56 compute units. 484 GB/s is Vega 64's figure, whose "
                "pins are faster. Dot products of int8 begin with gfx906, so int8 has no figure.",
            ),
        ),
        Gpu(
            "gfx906", "Radeon Instinct MI50",
            compute_units=60, clock=1725e6, memory=16 * 2**30, bus=4096, pin=2e9, wave=64,
            rates={
                "float32": Rate(128, "vector", _INSTINCT),
                "float16": Rate(256, "packed", _INSTINCT),
                "int8": Rate(512, "dot product", _RADEON_VII),
            },
            pages=_pages(_INSTINCT),
            note=Text(
                "クロックは発表時の表の 1725 MHz です。TechPowerUp は 1746 MHz としています。int8 の速さは同じチップの "
                "Radeon VII の値(毎クロック 512)です。16 GB の版です(32 GB の版もあります)。",
                "The clock is the launch table's 1725 MHz; TechPowerUp has 1746 MHz. The int8 rate, 512 a clock, is "
                "that of the Radeon VII, the same chip. This is the card of 16 GB; there is one of 32 GB.",
            ),
        ),
        Gpu(
            "gfx908", "Instinct MI100",
            compute_units=120, clock=1502e6, memory=32 * 2**30, bus=4096, pin=2.4e9, wave=64,
            rates={
                "float32": Rate(128, "vector", _MI100),
                "float32 matrix": Rate(256, "MFMA", _MI100),
                "float16": Rate(1024, "MFMA", _MI100),
                "bfloat16": Rate(512, "MFMA", _MI100),
                "int8": Rate(1024, "MFMA", _INSTINCT),
            },
            pages=_pages(_INSTINCT, bandwidth=_MI100),
        ),
        Gpu(
            "gfx90a", "Instinct MI210",
            compute_units=104, clock=1700e6, memory=64 * 2**30, bus=4096, pin=3.2e9, wave=64,
            rates={
                "float32": Rate(128, "vector", _MI250),
                "float32 matrix": Rate(256, "MFMA", _MI250),
                "float16": Rate(1024, "MFMA", _MI250),
                "bfloat16": Rate(1024, "MFMA", _MI250),
                "int8": Rate(1024, "MFMA", _MI250),
            },
            pages=_pages(_INSTINCT),
            note=Text(
                "MI210 はチップ(GCD)1 個のカードで、MI250 の半分と同じです。float32 のベクトル演算は、2 個ずつ詰めた"
                "命令なら 2 倍になります。",
                "The MI210 has one chip (GCD), and equals half an MI250. Packed instructions, two numbers at a time, "
                "double its float32 vector rate.",
            ),
        ),
        Gpu(
            "gfx942", "Instinct MI300X",
            compute_units=304, clock=2100e6, memory=192 * 2**30, bus=8192, pin=5.2e9, wave=64,
            rates={
                "float32": Rate(256, "packed", _MI300),
                "float32 matrix": Rate(256, "MFMA", _MI300),
                "float16": Rate(2048, "MFMA", _MI300),
                "bfloat16": Rate(2048, "MFMA", _MI300),
                "int8": Rate(4096, "MFMA", _MI300),
            },
            pages=_pages(_MI300X, bandwidth=_MI300),
            note=Text(
                "ピンの速さ 5.2 Gb/s は、AMD の 5.3 TB/s とバス幅 8192 ビットから逆算しました。float32 の値は、"
                "2 個ずつ詰めた命令のときだけ出ます。どの値も疎行列(sparsity)なしです。",
                "The pins' 5.2 Gb/s is worked back from AMD's 5.3 TB/s and the bus of 8192 bits. The float32 figure "
                "needs packed instructions, two numbers at a time. No figure counts sparsity.",
            ),
        ),
        Gpu(
            "gfx1030", "Radeon RX 6800 XT",
            compute_units=72, clock=2250e6, memory=16 * 2**30, bus=256, pin=16e9, wave=32,
            rates={
                "float32": Rate(128, "vector", _RX_6800_XT),
                "float16": Rate(256, "packed", _MATRIX),
                "int8": Rate(512, "dot product", _MATRIX),
            },
            pages=_pages(_RX_6800_XT),
            note=Text(
                "int8 の速さは、同じ gfx1030 の RX 6950 XT の値(毎クロック 512)から計算しました。",
                "The int8 figure is derived from the rate of the RX 6950 XT, also a gfx1030: 512 a clock.",
            ),
        ),
        Gpu(
            "gfx1100", "Radeon RX 7900 XTX",
            compute_units=96, clock=2500e6, memory=24 * 2**30, bus=384, pin=20e9, wave=32,
            rates={
                "float32": Rate(256, "dual issue", _7900),
                "float16": Rate(512, "WMMA", _MATRIX),
                "bfloat16": Rate(512, "WMMA", _MATRIX),
                "int8": Rate(512, "WMMA", _MATRIX),
            },
            pages=_pages(_7900),
            note=Text(
                "float32 の値は、命令を 2 つ同時に出せたときだけ出ます。ふつうはこの半分に近づきます。",
                "The float32 figure needs two instructions at a time; without such pairs it is half.",
            ),
        ),
        Gpu(
            "gfx1201", "Radeon RX 9070 XT",
            compute_units=64, clock=2970e6, memory=16 * 2**30, bus=256, pin=20e9, wave=32,
            rates={
                "float32": Rate(256, "dual issue", _RX_9070_XT),
                "float16": Rate(1024, "WMMA", _MATRIX),
                "bfloat16": Rate(1024, "WMMA", _MATRIX),
                "int8": Rate(2048, "WMMA", _MATRIX),
            },
            pages=_pages(_9070),
            note=Text(
                "帯域は公称 20 Gb/s からの 640 GB/s です。TechPowerUp は 644.6 GB/s としています。どの値も疎行列"
                "(sparsity)なしで、float32 は命令を 2 つ同時に出せたときだけ出ます。",
                "The bandwidth is 640 GB/s, from the nominal 20 Gb/s; TechPowerUp has 644.6 GB/s. No figure counts "
                "sparsity, and the float32 one needs two instructions at a time.",
            ),
        ),
    )
}  # fmt: skip
