"""Runs the machine code of AMD GPUs on the CPU: what hip_runtime.c is asked to load and launch comes here.

It drives the emulator in tinygrad's repository (test/mockgpu/amd, MIT; tried at a9069c177a), of which TINYGRAD names a
checkout; the package on PyPI does not have it. It knows CDNA3, RDNA3 and RDNA4, and code for the other GPUs of those
families is near enough: every result is compared with NumPy. What it cannot do it says, and the launch fails; gaps.py
fills what matters here.
"""

from __future__ import annotations

import ctypes
import io
import math
import mmap
import os
import struct
import sys
import traceback
import zlib
from functools import cache

GFX = os.environ.get("EMULATED_GFX", "gfx900")
FAMILY = "rdna3" if GFX.startswith("gfx11") else "rdna4" if GFX.startswith("gfx12") else "cdna"
BEFORE_90A = GFX in ("gfx803", "gfx900", "gfx906", "gfx908")
VERBOSE = bool(os.environ.get("EMULATED_VERBOSE"))
ARGUMENTS = 4096  # bytes that every kernel may read where its arguments are, at least
PRIVATE = 1 << 23  # in the last word of a buffer's descriptor: each lane has its piece of it


@cache
def engine():
    """The emulator, with its gaps filled; a second to import, so not before something is launched."""
    sys.path.insert(0, os.environ["TINYGRAD"])
    import gaps
    from test.mockgpu.amd import emu

    gaps.fill(emu, GFX, FAMILY, BEFORE_90A)
    return emu


class CodeObject:
    """An ELF file of kernels in memory, with what its notes say of their arguments."""

    def __init__(self, data):
        import msgpack
        from elftools.elf.elffile import ELFFile

        elf = ELFFile(io.BytesIO(data))
        loaded = [segment for segment in elf.iter_segments() if segment["p_type"] == "PT_LOAD"]
        self.size = max(segment["p_vaddr"] + segment["p_memsz"] for segment in loaded)
        self.memory = mmap.mmap(-1, self.size + 2 * mmap.PAGESIZE)  # the decoder reads ahead
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        for segment in loaded:
            start = segment["p_vaddr"]
            self.memory[start : start + segment["p_filesz"]] = segment.data()
        tables = [elf.get_section_by_name(name) for name in (".symtab", ".dynsym")]
        self.symbols = {s.name: s["st_value"] for table in tables if table for s in table.iter_symbols()}
        self.kernels = {}
        for note in elf.get_section_by_name(".note").iter_notes():
            described = note["n_desc"] if isinstance(note["n_desc"], bytes) else note["n_descdata"]
            self.kernels.update({kernel[".name"]: kernel for kernel in msgpack.unpackb(described)["amdhsa.kernels"]})

    def pack(self, name, pointers):
        """Arguments that were given as pointers to each, laid out as the kernel reads them."""
        kernel = self.kernels[name]
        packed = bytearray(kernel[".kernarg_segment_size"])
        told = [argument for argument in kernel[".args"] if not argument[".value_kind"].startswith("hidden")]
        for argument, pointer in zip(told, (ctypes.c_void_p * len(told)).from_address(pointers), strict=True):
            at, size = argument[".offset"], argument[".size"]
            packed[at : at + size] = ctypes.string_at(pointer, size)
        return bytes(packed)

    def launch(self, name, grid, block, arguments, dynamic):
        """Run all blocks of a kernel, as the packet processor would start them from the kernel's descriptor."""
        descriptor = self.memory[self.symbols[name + ".kd"] :][:64]
        shared, private, size = struct.unpack_from("<III", descriptor, 0)
        (entry,) = struct.unpack_from("<q", descriptor, 16)
        (resources,) = struct.unpack_from("<I", descriptor, 52)
        properties, preload = struct.unpack_from("<HH", descriptor, 56)
        shared += dynamic
        packed = bytearray(max(size, ARGUMENTS))
        packed[: len(arguments)] = arguments
        for argument in self.kernels[name][".args"]:
            at, kind = argument[".offset"], argument[".value_kind"]
            if kind.startswith("hidden_block_count_"):
                struct.pack_into("<I", packed, at, grid["xyz".index(kind[-1])])
            elif kind.startswith("hidden_group_size_"):
                struct.pack_into("<H", packed, at, block["xyz".index(kind[-1])])
            elif kind == "hidden_grid_dims":
                struct.pack_into("<H", packed, at, 3)
            elif kind == "hidden_dynamic_lds_size":
                struct.pack_into("<I", packed, at, dynamic)
        where = ctypes.addressof(ctypes.c_char.from_buffer(packed))
        threads = [blocks * threads for blocks, threads in zip(grid, block, strict=True)]
        packet = ctypes.create_string_buffer(
            struct.pack("<HHHHHHIIIIIQQQQ", 0, 3, *block, 0, *threads, private, shared, 0, where, 0, 0), 64
        )
        # What the descriptor asks to find in scalar registers, in this order.
        registers = []
        if properties & 1:  # a descriptor of the private memory of a block's lanes
            assert private < 1 << 14, (name, private)
            room = (ctypes.c_uint32 * ((math.prod(block) + 63) * private // 4 + 1))()
            place = ctypes.addressof(room)
            registers += [place & 0xFFFFFFFF, place >> 32 | private << 16, 0xFFFFFFFF, PRIVATE]
        for bit, address in ((2, ctypes.addressof(packet)), (4, 0), (8, where), (16, 0), (32, 0)):
            if properties & bit:  # packet, queue, arguments, dispatch id, flat scratch
                registers += [address & 0xFFFFFFFF, address >> 32]
        registers += [private] if properties & 64 else []
        first, many = preload >> 7, preload & 0x7F
        registers += [struct.unpack_from("<I", packed, (first + i) * 4)[0] for i in range(many)]
        resources = resources & ~(0x1FF << 15) | (shared + 511) // 512 << 15
        start = self.symbols[name + ".kd"] + entry
        engine().run_asm(
            self.base + start, self.size - start, *grid, *block, where, resources, private, FAMILY, registers or None
        )


def unbundle(data, more):
    """The code object for this GPU in a plain, bundled or compressed file; `more(n)` reads n bytes of a cut one."""
    if data[:4] == b"CCOB":
        import zstandard

        version, method = struct.unpack_from("<HH", data, 4)
        (total,) = struct.unpack_from("<Q" if version == 3 else "<I", data, 8)
        body = more(total)[{1: 16, 2: 24, 3: 32}[version] :]
        whole = zstandard.ZstdDecompressor().decompressobj().decompress(body) if method else zlib.decompress(body)
        return unbundle(whole, lambda size: whole[:size])
    if data[:24] != b"__CLANG_OFFLOAD_BUNDLE__":
        return data
    at = 32
    for _ in range(struct.unpack_from("<Q", data, 24)[0]):
        offset, size, length = struct.unpack_from("<QQQ", data, at)
        target = data[at + 24 : at + 24 + length].decode()
        at += 24 + length
        if target.split("--")[-1].split(":")[0] == GFX:
            return more(offset + size)[offset:]
    return None


def image_at(pointer):
    """The beginning of what lies at an address, and how to read more: an ELF file says how long it is."""

    def more(size):
        return ctypes.string_at(pointer, size)

    data = more(4096)
    if data[:4] == b"\x7fELF":
        (sections,), (each, number) = struct.unpack_from("<Q", data, 40), struct.unpack_from("<HH", data, 58)
        data = more(sections + each * number)
    return data, more


modules, functions, launches = [], [], []


def load(pointer, file):
    """A module's number from 1 up, 0 where it has nothing for this GPU."""
    if file == b"fat":  # a library's own: the third field points to the bundle
        pointer = struct.unpack("<IIQ", ctypes.string_at(pointer, 16))[2]
    if pointer:
        found = unbundle(*image_at(pointer))
    else:
        with open(file, "rb") as opened:
            data = opened.read()
        found = unbundle(data, lambda size: data[:size])
    if not found:
        return 0
    modules.append(CodeObject(found))
    return len(modules)


def find(module, name):
    """A function's number from 1 up, 0 where the module has none of that name."""
    if name.decode() not in modules[module - 1].kernels:
        return 0
    functions.append((modules[module - 1], name.decode()))
    return len(functions)


def launch(function, sizes, pointers, packed, size):
    """0 once the kernel has run."""
    code, name = functions[function - 1]
    grid, block, shared = tuple(sizes[0:3]), tuple(sizes[3:6]), sizes[6]
    arguments = ctypes.string_at(packed, size) if packed else code.pack(name, pointers)
    code.launch(name, grid, block, arguments, shared)
    launches.append(name)
    if VERBOSE:
        print(f"  ran {name[:90]} grid {grid} block {block}", file=sys.stderr, flush=True)
    return 0


def safely(function, failed):
    """A callback that tells what went wrong on standard error, since C cannot."""

    def call(*arguments):
        try:
            return function(*arguments)
        except Exception:
            traceback.print_exc()
            return failed

    return call


CALLBACKS = (
    ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_char_p)(safely(load, 0)),
    ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_char_p)(safely(find, 0)),
    ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.c_uint64, ctypes.POINTER(ctypes.c_uint32), ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t
    )(safely(launch, 1)),
)  # fmt: skip


def attach():
    """Let the emulated runtime hand its launches to this module."""
    ctypes.CDLL("libamdhip64.so.6", mode=ctypes.RTLD_GLOBAL).hipEmulatedAttach(*CALLBACKS)
