"""hiprtc compiles our kernels for GPUs that are not here."""

from __future__ import annotations

import re

import pytest

from factory.errors import LibraryError
from factory.rocm import compiler

ARCHES = ("gfx900", "gfx906", "gfx908", "gfx90a", "gfx942", "gfx950", "gfx1030", "gfx1100", "gfx1201")
FLOATS = ("float32", "float16", "bfloat16")
KERNELS = {
    *(f"{name}_{dtype}" for name in ("rms_norm", "rotary_cache", "silu_gate", "causal_softmax") for dtype in FLOATS),
    *(f"{name}_{bits}" for name in ("copy", "gather", "pad") for bits in (8, 16, 32)),
    *(f"copy_float32_{dtype}" for dtype in FLOATS[1:]), *(f"copy_{dtype}_float32" for dtype in FLOATS[1:]),
}  # fmt: skip


@pytest.mark.parametrize("arch", ARCHES)
def test_every_kernel_compiles_for_every_gpu(arch, prove):
    code = compiler.code_object(arch, "no GPU")
    assert code.startswith(b"\x7fELF")
    assert set(re.findall(rb"amdgcn-amd-amdhsa--(gfx\w+)", code)) == {arch.encode()}
    # Each kernel has a descriptor, a symbol that ends in .kd.
    assert {name.decode() for name in re.findall(rb"\0(\w+)\.kd(?=\0)", code)} == KERNELS
    prove("kernels compiled", len(KERNELS))


def test_a_code_object_is_kept_and_a_damaged_one_is_made_again(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code = compiler.code_object("gfx900", "no GPU")
    (file,) = (path for path in tmp_path.rglob("gfx900-*"))
    kept = file.read_bytes()
    file.write_bytes(kept[:-1] + b"x")
    assert compiler.code_object("gfx900", "no GPU") == code
    assert file.read_bytes() == kept


def test_a_kernel_that_does_not_compile_is_told_with_the_compilers_own_words(monkeypatch, tmp_path):
    broken = tmp_path / "broken.hip"
    broken.write_text('extern "C" __global__ void wrong(float* x) { x[0] = nothing_of_that_name; }\n')
    monkeypatch.setattr(compiler, "SOURCE", broken)
    with pytest.raises(LibraryError) as error:
        compiler.code_object("gfx900", "no GPU")
    assert error.value.fields["call"] == "hiprtcCompileProgram" and error.value.fields["code"] == 6
    assert "broken.hip:1:" in error.value.fields["log"] and "nothing_of_that_name" in str(error.value)


@pytest.mark.parametrize("name", ["gfx", "sm_90", "gfx9000000", "GFX900", "gfx900:xnack+", ""])
def test_what_is_no_gpus_name_never_reaches_hiprtc(name):
    # hiprtc ends the process for it.
    with pytest.raises(LibraryError, match="no name that hiprtcCompileProgram may be given"):
        compiler.code_object(name, "no GPU")
