"""tools/rocm_libraries.py: whole or not at all, from the mirror that apt uses, and loud where that cannot be."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest
import real_rocm  # noqa: F401, finds the tools
import rocm_libraries as tool


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tool.sys, "argv", ["rocm_libraries.py"])
    return tmp_path / "cache" / "inference-factory"


def refuse(*_, **__):
    raise AssertionError("this must not be asked for")


def test_what_is_there_is_used_again(monkeypatch, cache):
    monkeypatch.setattr(tool, "set_up", refuse)
    tool.folder().mkdir(parents=True)
    assert tool.main() == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("shutil", "which", lambda name: None), "Debian's apt-get, dpkg-deb, tar is not here"),
        (("platform", "machine", lambda: "aarch64"), "this is not Linux on x86-64"),
        (("shutil", "disk_usage", lambda _: type("Usage", (), {"free": 5 << 20})), "the disk has 5 MB left, and 3072"),
    ],
)
def test_what_is_missing_is_told_aloud_and_nothing_is_fetched(monkeypatch, capsys, cache, change, said):
    module, name, value = change
    monkeypatch.setattr(tool, "KEYS", tool.Path(__file__))  # as on Debian
    monkeypatch.setattr(getattr(tool, module), name, value)
    monkeypatch.setattr(tool, "fetch", refuse)
    assert tool.main() == 1
    assert said in capsys.readouterr().err
    assert not cache.exists() or [*cache.iterdir()] == []


@pytest.mark.parametrize("hip_alone", [False, True])
def test_what_breaks_off_leaves_nothing_behind(monkeypatch, capsys, cache, hip_alone):
    def half(work, wanted):
        work.mkdir()
        (work / "bad.deb").write_bytes(b"no package")
        return [work / "bad.deb"]

    monkeypatch.setattr(tool, "check_machine", lambda folder: folder.mkdir(parents=True))
    monkeypatch.setattr(tool, "fetch", half)
    monkeypatch.setattr(tool.sys, "argv", ["rocm_libraries.py", *(["--hip"] if hip_alone else [])])
    if not tool.shutil.which("dpkg-deb"):
        pytest.skip("there is no dpkg-deb")
    assert tool.main() == 1
    assert "bad.deb could not be unpacked" in capsys.readouterr().err
    assert [*cache.iterdir()] == []


def test_the_mirror_is_the_one_that_apt_uses(monkeypatch):
    listed = "Debian-Security|http://one.example/\nDebian Backports|http://two.example/\nDebian|http://three.example/\n"
    monkeypatch.setattr(tool, "output", lambda *_: listed)
    assert tool.mirror() == "http://three.example/"
    monkeypatch.setattr(tool, "output", lambda *_: "Ubuntu|http://four.example/\n")
    with pytest.raises(tool.NotHere):
        tool.mirror()


def test_what_a_command_complains_of_is_the_reason():
    with pytest.raises(tool.NotHere, match="sh failed: not like this"):
        tool.output("sh", "-c", "echo first >&2; echo not like this >&2; exit 3")


def test_rocblas_keeps_the_kernels_of_one_gpu():
    folder = "./usr/lib/x86_64-linux-gnu/rocblas/4.4.1/library"
    kept = ("TensileLibrary_Type_SS_Contraction_l_Ailk_Bjlk_Cijk_Dijk_gfx900.co", "Kernels.so-000-gfx900.hsaco",
            "TensileLibrary_Type_SS_Contraction_l_Ailk_Bjlk_Cijk_Dijk_fallback.dat", "TensileLibrary_lazy_gfx900.dat")  # fmt: skip
    left = ("Kernels.so-000-gfx906-xnack-.hsaco", "TensileLibrary_lazy_gfx90a.dat", "TensileLibrary_lazy_gfx1030.dat",
            "TensileLibrary_Type_HH_fallback_gfx942.hsaco", "TensileLibrary_lazy_gfx803.dat")  # fmt: skip
    for names, excluded in ((kept, False), (left, True)):
        for name in names:
            assert any(fnmatch(f"{folder}/{name}", pattern) for pattern in tool.EXCLUDED) is excluded, name


def test_what_would_confuse_this_machine_is_left_out():
    left = ("libc6-dev", "libc-dev-bin", "linux-libc-dev", "libgcc-16-dev", "gcc-16-base", "binutils",
            "binutils-x86-64-linux-gnu", "python3", "libpython3-stdlib", "libssl3t64", "librocrand1")  # fmt: skip
    kept = ("libc6", "libgcc-s1", "libstdc++6", "libllvm21", "libclang-cpp21", "libamd-comgr3", "libhsa-runtime64-1")
    assert [name for name in (*left, *kept) if not tool.LEFT_OUT.fullmatch(name)] == [*kept]
