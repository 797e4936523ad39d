"""The table of MIOpen's solvers against the real MIOpen: which it offers on which GPU for which type."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from miopen_search import PROBLEMS

from factory.gpus import DTYPES, GPUS, table

ROWS = {row["solver"]: row for row in table()}
# What Debian's MIOpen was built without, and what is for another layout or type than these problems have.
OTHER = {"ConvAsmImplicitGemmGTCDynamicFwdDlopsNCHWC", "GemmFwd1x1_0_1_int8", "ConvCkIgemmFwdV6r1DlopsNchw"}
BUILT_WITHOUT = {"CK", "rocMLIR"}


@cache
def searched(arch, assembler, **switches):
    """The log of the program miopen_search.py on a GPU of a kind."""
    names = os.environ["POPEN_REPLACE"].split("\t")[::2]
    with_nothing_compiled = "".join(f"{name}\tfalse\t" for name in names if "clang" in name)
    folder = assembler.parent / "-".join([arch, *switches])
    environment = {
        "EMULATED_GFX": arch, "EMULATED_CUS": str(GPUS[arch].compute_units), "POPEN_REPLACE": with_nothing_compiled,
        "MIOPEN_EXPERIMENTAL_GCN_ASM_PATH": str(assembler), "MIOPEN_FIND_MODE": "NORMAL", "MIOPEN_LOG_LEVEL": "6",
        "MIOPEN_ENABLE_LOGGING": "0", "XDG_CACHE_HOME": str(folder), **switches,
    }  # fmt: skip
    program = Path(__file__).with_name("miopen_search.py")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIOPEN_")}
    ended = subprocess.run(
        [sys.executable, program], env={**kept, **environment}, capture_output=True, text=True, errors="replace"
    )
    assert ended.returncode == 0 and ended.stderr.rstrip().endswith("@ end"), ended.stderr[-2000:]
    return ended.stderr


def offered(log):
    """(solver, dtype) of what a search named as applicable."""
    found, searches = set(), re.split(r"\n@ search ", log.partition("\n@ solver")[0])[1:]
    assert len(searches) == len(PROBLEMS) * len(DTYPES)
    for part in searches:
        dtype = part.split()[0]
        found |= {(name, dtype) for name in re.findall(r"\[SearchForAllSolutions\] (\S+): Success", part)}
    return found


def told(arch, *cells):
    """(solver, dtype) of what the table says of a GPU."""
    return {
        (name, dtype)
        for name, row in ROWS.items()
        for dtype in DTYPES
        if row["in_3_4_0"] == "yes" and name not in OTHER
        and (row[dtype] == "yes" or arch in row[dtype].split())
        and row[arch] in ({dtype} if "of the type" in cells else set()) | set(cells)
    }  # fmt: skip


@pytest.mark.parametrize("arch", GPUS)
def test_what_the_table_says_of_a_gpu_is_what_miopen_offers(arch, assembler, prove):
    seen = offered(searched(arch, assembler))
    assert seen == told(arch, "yes", "of the type")
    for name, row in ROWS.items():
        noted = dict(part.split("=") for part in row["observed"].split("; ") if part)
        want = "+".join(sorted(dtype for solver, dtype in seen if solver == name))
        assert noted.get(arch, "") == want, name
    unchecked = sum(row[arch] in BUILT_WITHOUT or name in OTHER for name, row in ROWS.items())
    prove("cells of the table of solvers", (len(ROWS) - unchecked) * len(DTYPES))
    prove("cells that this build cannot show", unchecked * len(DTYPES))


@pytest.mark.parametrize("arch", [arch for arch in GPUS if told(arch, "opt-in")])
def test_what_is_off_by_default_is_offered_once_its_switch_is_on(arch, assembler, prove):
    rows = {name: ROWS[name] for name, _ in told(arch, "opt-in")}
    switches = {row["switch"].split()[0]: "1" for row in rows.values()}
    seen = offered(searched(arch, assembler, **switches))
    assert seen - told(arch, "yes", "of the type") == told(arch, "opt-in")
    prove("solvers that a switch turns on", len(rows))


def test_every_number_is_the_solver_of_that_name(assembler, prove):
    log = searched("gfx900", assembler).partition("\n@ solver")[2]
    for part in re.split(r"\n@ solver", log):
        number = part.split()[0]
        (row,) = (row for row in ROWS.values() if row["id"] == number)
        (name,) = set(re.findall(r"solver_id = (\S+)", part))
        if row["in_3_4_0"] == "yes":
            assert name == row["solver"]
            prove("names of solvers", 1)
        else:
            assert name == f"INVALID_SOLVER_ID_{number}"
