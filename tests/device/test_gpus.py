"""What we say of the GPUs: published figures come out of the formulas, and MIOpen's support is what MIOpen said."""

import dataclasses

import pytest

from factory import gpus
from factory.errors import ShapeError, Unsupported
from factory.gpus import GPUS, Gpu, find, solvers

# Figures as the pages in `Gpu.sources` or TechPowerUp's print them: operations a second, in 10^12.
PUBLISHED = {
    "gfx900": {"float32": "10.54", "float16": "21.09"},
    "gfx906": {"float32": "13.3", "float16": "26.5"},
    "gfx908": {
        "float32": "23.1", "float32 matrix": "46.1", "float16": "184.6", "bfloat16": "92.3", "int8": "184.6"
    },
    "gfx90a": {"float32": "22.6", "float32 matrix": "45.3", "float16": "181", "bfloat16": "181", "int8": "181"},
    "gfx942": {
        "float32": "163.4", "float32 matrix": "163.4", "float16": "1307.4", "bfloat16": "1307.4", "int8": "2614.9"
    },
    "gfx1030": {"float32": "20.74", "float16": "41.47"},
    "gfx1100": {"float32": "61.4", "float16": "122.8"},
    "gfx1201": {"float32": "48.66"},
}  # fmt: skip
BANDWIDTH = {  # 10^9 bytes a second
    "gfx900": 409.6, "gfx906": 1024, "gfx908": 1228.8, "gfx90a": 1638.4, "gfx942": 5300, "gfx1030": 512, "gfx1100": 960,
    "gfx1201": 640,
}  # fmt: skip
LANES = 64  # of a compute unit, on each of these


@pytest.mark.parametrize("arch", GPUS)
def test_peaks_are_the_published_ones_to_a_unit_of_their_last_digit(arch):
    for dtype, printed in PUBLISHED[arch].items():
        unit = 10.0 ** -len(printed.partition(".")[2])
        assert GPUS[arch].peaks[dtype] / 1e12 == pytest.approx(float(printed), abs=unit), (arch, dtype)


@pytest.mark.parametrize("gpu", GPUS.values(), ids=str)
def test_a_vector_peak_is_units_times_lanes_times_two_times_clock(gpu):
    each = {"vector": 2, "packed": 4, "dual issue": 4, "dot product": 8}
    for dtype, rate in gpu.rates.items():
        if rate.unit in each:
            assert gpu.peaks[dtype] == gpu.compute_units * LANES * each[rate.unit] * gpu.clock


def test_the_int8_rate_of_gfx906_gives_what_amd_prints_for_the_radeon_vii():
    assert GPUS["gfx906"].rates["int8"].per_clock * 60 * 1.8e9 / 1e12 == pytest.approx(55.3, abs=0.05)


@pytest.mark.parametrize("arch", GPUS)
def test_bandwidth_is_bus_width_times_pin_rate(arch):
    gpu = GPUS[arch]
    assert gpu.bandwidth == gpu.bus * gpu.pin / 8
    assert gpu.bandwidth / 1e9 == pytest.approx(BANDWIDTH[arch], rel=0.005)


def test_vega_56_does_not_have_the_bandwidth_of_vega_64():
    vega = GPUS["gfx900"]
    assert (vega.name, vega.memory) == ("Radeon RX Vega 56", 8 * 2**30)
    assert vega.bandwidth == 409.6e9
    assert dataclasses.replace(vega, pin=1.89e9).bandwidth == pytest.approx(484e9, rel=0.001)


def test_the_cards_are_those_of_the_records():
    recorded = {"gfx900": 56, "gfx906": 60, "gfx908": 120, "gfx90a": 104, "gfx942": 304, "gfx1030": 72}
    assert {arch: GPUS[arch].compute_units for arch in recorded} == recorded


def test_wavefronts_are_64_wide_on_gcn_and_cdna_and_32_on_rdna():
    assert {arch: gpu.wave for arch, gpu in GPUS.items()} == {
        arch: 64 if arch.startswith("gfx9") else 32 for arch in GPUS
    }


def test_a_gpu_without_a_rate_for_a_type_gives_none():
    without_bfloat16 = [arch for arch, gpu in GPUS.items() if "bfloat16" not in gpu.peaks]
    assert without_bfloat16 == ["gfx900", "gfx906", "gfx1030"]
    assert [arch for arch, gpu in GPUS.items() if "int8" not in gpu.peaks] == ["gfx900"]


@pytest.mark.parametrize("gpu", GPUS.values(), ids=str)
def test_every_figure_has_its_public_page(gpu):
    assert set(gpu.pages) == {"compute_units", "clock", "memory", "bandwidth", "wave"}
    assert set(gpu.sources) == {*gpu.pages.values(), *(rate.source for rate in gpu.rates.values())}
    assert all(page.startswith("https://") for page in gpu.sources)
    assert len(gpu.sources) == len(set(gpu.sources))


@pytest.mark.parametrize("gpu", [gpu for gpu in GPUS.values() if gpu.note], ids=str)
def test_a_doubt_is_told_in_both_languages(gpu):
    assert gpu.note.en.isascii() and not gpu.note.ja.isascii()


# FACTS: gfx900 loses every fp16 Winograd; MIOpen's FFT takes float32 alone; gfx1201 keeps GEMM, FFT, naive Direct.
ALL = {"GEMM", "Direct", "Winograd", "FFT", "ImplicitGEMM"}
ALGORITHMS = {
    "gfx900": (ALL, ALL - {"FFT", "Winograd"}),
    "gfx906": (ALL, ALL - {"FFT"}),
    "gfx908": (ALL, ALL - {"FFT"}),
    "gfx90a": (ALL, ALL - {"FFT"}),
    "gfx942": (ALL, ALL - {"FFT"}),
    "gfx1030": (ALL, ALL - {"FFT"}),
    "gfx1100": (ALL - {"ImplicitGEMM"}, {"GEMM", "Direct", "Winograd"}),
    "gfx1201": ({"GEMM", "Direct", "FFT"}, {"GEMM", "Direct"}),
}


@pytest.mark.parametrize("arch", GPUS)
def test_algorithms_are_those_of_miopen(arch):
    gpu = GPUS[arch]
    assert (gpu.algorithms["float32"], gpu.algorithms["float16"]) == ALGORITHMS[arch]
    # No Winograd or FFT of MIOpen takes bfloat16.
    assert gpu.algorithms["bfloat16"] == ALGORITHMS[arch][0] - {"Winograd", "FFT"}


def ids(arch, dtype):
    return {solver.id for solver in solvers(arch, dtype)}


def test_immediate_mode_answers_are_among_the_solvers():
    # What the real MIOpen 3.4.0 answered to 3x3, 64 to 64 channels, 56 x 56, batch 64.
    assert ids("gfx900", "float32") >= {84, 91, 85}
    assert ids("gfx900", "float16") >= {91, 85} and 84 not in ids("gfx900", "float16")
    for arch in ("gfx90a", "gfx942", "gfx1100"):
        assert ids(arch, "float32") >= {84, 91, 85} and ids(arch, "float16") >= {84, 91, 85}
    assert [solver.name for solver in solvers("gfx1201", "float16") if solver.algorithm == "Direct"] == [
        "ConvDirectNaiveConvFwd"
    ]


def test_support_is_what_the_real_library_was_seen_to_offer():
    seen = {
        (row["solver"], arch, dtype)
        for row in gpus.table()
        for arch, _, dtypes in (part.partition("=") for part in row["observed"].split("; ") if part)
        for dtype in dtypes.split("+")
    }
    # Debian's MIOpen has no CK or rocMLIR, so what needs them could not be seen.
    ours = {
        (solver.name, arch, dtype)
        for arch in GPUS
        for dtype in gpus.DTYPES
        for solver in solvers(arch, dtype)
        if not solver.needs
    }
    assert seen <= ours
    # For another layout than those that were tried.
    assert ours - seen == {("ConvAsmImplicitGemmGTCDynamicFwdDlopsNCHWC", "gfx1030", "float16")}


def test_what_a_release_lacks_or_a_switch_must_allow_is_left_out():
    names = {solver.name for arch in GPUS for dtype in gpus.DTYPES for solver in solvers(arch, dtype)}
    assert not any(name.startswith(("ConvWinoRage", "ConvMPBidirect", "ConvCkIgemmFwdV6r1")) for name in names)
    assert "ConvHipImplicitGemmF16F8F16FwdXdlops" not in names


def test_the_table_says_each_solver_once_with_its_conditions():
    rows = gpus.table()
    assert len(rows) == 49
    assert len({row["solver"] for row in rows}) == len({int(row["id"]) for row in rows}) == 49
    assert {row["algorithm"] for row in rows} == ALL
    assert all(row["conditions"] and row["source_file"] for row in rows)
    cells = {row[arch] for row in rows for arch in GPUS}
    assert cells == {"yes", "no", "float32", "float16", "opt-in", "CK", "rocMLIR"}
    assert {row[dtype] for row in rows for dtype in gpus.DTYPES} == {"yes", "no", "unknown", "gfx90a gfx942"}


def test_bfloat16_implicit_gemm_in_nhwc_begins_with_gfx90a():
    assert 107 in ids("gfx90a", "bfloat16") and 107 in ids("gfx942", "bfloat16")
    assert 107 in ids("gfx908", "float16") and 107 not in ids("gfx908", "bfloat16")


def test_find_takes_an_architecture_as_a_driver_says_it():
    assert find("gfx900") is GPUS["gfx900"]
    assert find("gfx90a:sramecc+:xnack-") is GPUS["gfx90a"]
    assert str(find("gfx900")) == "gfx900 (Radeon RX Vega 56)"


@pytest.mark.parametrize("name", ["gfx9999", "", "Radeon"])
def test_an_unknown_gpu_is_refused_in_both_languages(name):
    for call in (find, lambda name: solvers(name, "float32")):
        with pytest.raises(Unsupported) as caught:
            call(name)
        text = caught.value.text
        assert repr(name) in text.ja and repr(name) in text.en
        assert all(arch in text.ja and arch in text.en for arch in GPUS)
        assert text.en.isascii() and not text.ja.isascii()


def test_solvers_refuse_a_type_that_no_convolution_here_has():
    with pytest.raises(ShapeError) as caught:
        solvers("gfx900", "int8")
    assert "bfloat16" in caught.value.text.en and "bfloat16" in caught.value.text.ja


def test_a_gpu_that_only_the_driver_knows_has_figures_but_no_table():
    card = Gpu(
        "gfx1031", "Radeon RX 6700 XT", compute_units=40, clock=2581e6, memory=12 * 2**30, bus=192, pin=16e9, wave=32
    )
    assert card.bandwidth == 384e9 and card.peaks == {} and card.sources == ()
    with pytest.raises(Unsupported):
        _ = card.algorithms


def test_a_gpu_is_a_fact():
    assert {GPUS["gfx900"]: 1}[find("gfx900")] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        GPUS["gfx900"].memory = 0
