"""What tinygrad's emulator of AMD machine code lacks for the kernels here, filled from outside."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace

import numpy as np
from emulator import PRIVATE

# Words of an instruction that has nothing to do here (a cache is thrown away): first word, and how many.
INVALIDATE = {"rdna3": {0xE0AC0000: 2, 0xE0B00000: 2}, "rdna4": {0xEE0AC07C: 3}}
NOTHING = 0xBF800000  # s_nop


def fill(emu, gfx, family, before_90a):
    """Teach the emulator `emu` what it lacks."""
    _give_stray_loads_room(emu)
    _mend_formulas(emu)
    _heed_signs(emu)
    if before_90a:
        _unpack_ids(emu)
    if family == "cdna":
        _part_private_memory(emu)
    _do_by_hand(emu)
    _rewrite(emu, family, old=before_90a or gfx == "gfx90a")


def _give_stray_loads_room(emu):
    """Lanes that are switched off still load from shared memory, wherever their address leads: put it at the start of
    4 GiB of nothing."""
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    room = libc.mmap(None, (1 << 32) + 65536, 3, 0x4022, -1, 0)  # private, anonymous, nothing reserved
    plain = emu.Buffer

    def buffer(device, size, dtype, options=None):
        if options is None and dtype == emu.dtypes.uint32 and sys._getframe(1).f_code.co_name == "run_asm":
            options = emu.BufferSpec(external_ptr=room)
        return plain(device, size, dtype, options=options) if options else plain(device, size, dtype)

    emu.Buffer = buffer


def _unpack_ids(emu):
    """Before gfx90a the three ids of a thread come in three registers, not packed in one."""
    plain = emu._init_wave

    def init_wave(lib, start, total, lx, ly, lz, *rest, **more):
        state = plain(lib, start, total, lx, ly, lz, *rest, **more)
        for lane in range(min(state.wave_size, total - start)):
            thread = start + lane
            for register, value in enumerate((thread % lx, thread // lx % ly, thread // (lx * ly))):
                state._write_vgpr(register, lane, value)
        return state

    emu._init_wave = init_wave


def _part_private_memory(emu):
    """Each wave of a block has private memory of its own, and finds in a scalar register where it starts."""
    plain = emu._init_wave

    def init_wave(lib, start, total, lx, ly, lz, arguments, resources, private, *rest, **more):
        state = plain(lib, start, total, lx, ly, lz, arguments, resources, private, *rest, **more)
        if resources & 1:  # after those that the kernel asked for, and the block's three ids and its size
            state._write_sgpr((resources >> 1 & 31) + (resources >> 7 & 15).bit_count(), start * private)
        return state

    emu._init_wave = init_wave


def _mend_formulas(emu):
    """CDNA's v_cmpx writes two masks in one line of its formula, of which the emulator makes a comparison."""
    plain = emu.get_pcode
    emu.get_pcode = lambda op: plain(op).replace("EXEC.u64[laneId] = D0.u64[laneId] = ", "D0.u64[laneId] = ")


def _heed_signs(emu):
    """Instructions that take a part of a register (SDWA) may take it negated, or without its sign."""
    plain, select, apply = emu._compile_sdwa, emu._sdwa_select, emu._apply_src_mods

    def compile_sdwa(inst, ctx):
        taken = []

        def signed(*what):
            source = f"src{len(taken)}"
            taken.append(source)
            negated, absolute = (bool(getattr(inst, f"{source}_{sign}", 0)) for sign in ("neg", "abs"))
            bits = inst.canonical_op_bits[source.replace("rc", "")]
            return apply(select(*what), 0, absolute, negated, bits)

        emu._sdwa_select = signed
        try:
            return plain(inst, ctx)
        finally:
            emu._sdwa_select = select

    for kind, handler in emu._INST_HANDLERS.items():
        if handler is plain:
            emu._INST_HANDLERS[kind] = compile_sdwa


def _rewrite(emu, family, old):
    """Instructions are rewritten where they are about to be decoded: those that do nothing here, and gfx9's
    multiply-add, which CDNA3 no longer has (its fused twin rounds once less)."""
    plain = emu._decode_at
    nothing = INVALIDATE.get(family, {})
    v_mac_f32, v_fmac_f32 = 0x16, 0x3B
    longer = {0xD116: 0xD13B, 0xD1C1: 0xD1CB}  # v_mac_f32 and v_mad_f32 in eight bytes, to v_fmac_f32 and v_fma_f32

    def decode_at(pc, arch):
        code = (ctypes.c_uint32 * 3).from_address(pc)
        if code[0] in nothing:
            code[: nothing[code[0]]] = [NOTHING] * nothing[code[0]]
        elif old and code[0] >> 25 == v_mac_f32:
            code[0] = code[0] & 0x01FFFFFF | v_fmac_f32 << 25
        elif old and code[0] >> 16 in longer:
            code[0] = code[0] & 0xFFFF | longer[code[0] >> 16] << 16
        return plain(pc, arch)

    emu._decode_at = decode_at


class Wave:
    """The registers of a wave, as NumPy sees them: vector (register, lane), and which lanes are switched on; and where
    its block's shared memory is."""

    def __init__(self, scalars, vectors, shared, size):
        self.shared = shared  # address
        self.scalars = np.ctypeslib.as_array((ctypes.c_uint32 * 260).from_address(scalars))
        self.vectors = np.ctypeslib.as_array((ctypes.c_uint32 * (256 * size)).from_address(vectors)).reshape(256, size)
        mask = self.scalars[126:128].view(np.uint64)[0] if size == 64 else self.scalars[126]
        self.active = (np.uint64(mask) >> np.arange(size, dtype=np.uint64) & np.uint64(1)).astype(bool)

    @property
    def pc(self):
        """Address of the instruction; 4 or 8 is added to it when that is done."""
        return self.scalars[256:258].view(np.uint64)[0]

    @pc.setter
    def pc(self, address):
        self.scalars[256:258] = np.atleast_1d(address).view(np.uint32)

    def source(self, operand):
        """The 32 bits of an operand in each lane: a vector register (from 256 on), or a scalar or constant."""
        return self.vectors[operand.offset - 256].copy() if operand.offset >= 256 else self.scalars[operand.offset]

    def write(self, operand, bits):
        """Write the lanes that are switched on."""
        np.copyto(self.vectors[operand.offset - 256], bits, where=self.active)


def _swizzle(wave, inst):
    """ds_swizzle_b32: each lane gets another's bits. A mask on the lane's number in its 32, or a choice among four."""
    lanes = np.arange(len(wave.active))
    pattern = int(inst.offset0) | int(inst.offset1) << 8
    if pattern & 0x8000:
        source = lanes & ~3 | pattern >> 2 * (lanes & 3) & 3
    else:
        source = lanes & ~31 | (lanes & pattern & 31 | pattern >> 5 & 31) ^ pattern >> 10 & 31
    bits = wave.source(inst.addr)
    wave.write(inst.vdst, np.where(wave.active[source], bits[source], 0))


def _div_fixup_f16(wave, inst):
    """v_div_fixup_f16: the quotient as it was refined, but for the special cases of a division."""
    assert not (inst.neg or inst.abs or inst.opsel or inst.clmp or inst.omod), inst
    quotient, denominator, numerator = (
        np.broadcast_to(np.asarray(wave.source(s) & 0xFFFF, np.uint16), wave.active.shape).view(np.float16)
        for s in (inst.src0, inst.src1, inst.src2)
    )
    with np.errstate(all="ignore"):
        exact = numerator.astype(np.float32) / denominator
        special = ~np.isfinite(exact) | (exact == 0) | ~np.isfinite(denominator) | ~np.isfinite(numerator)
        result = np.where(special, exact, np.copysign(quotient, exact)).astype(np.float16)
    bits = result.view(np.uint16).astype(np.uint32)
    wave.write(inst.vdst, wave.vectors[inst.vdst.offset - 256] & 0xFFFF0000 | bits)


def _read_u16(wave, inst):
    """ds_read_u16, also from an odd address."""
    start = wave.source(inst.addr)[wave.active].astype(np.int64) + (int(inst.offset0) | int(inst.offset1) << 8)
    bytes_ = np.ctypeslib.as_array((ctypes.c_uint8 * 65536).from_address(wave.shared))
    wave.vectors[inst.vdst.offset - 256, wave.active] = bytes_[start] | bytes_[start + 1].astype(np.uint32) << 8


def _buffer(wave, inst):
    """Buffer instructions on private memory, of which each lane has its piece, and buffer_atomic_cmpswap."""
    assert not (inst.idxen or inst.lds or inst.acc), inst
    low, high, size, last = map(int, wave.scalars[inst.srsrc.offset :][:4])
    offsets = np.full(wave.active.shape, int(inst.offset))
    if inst.offen:
        offsets += wave.source(inst.vaddr)
    inside = wave.active & (offsets < size)
    start = (low | (high & 0xFFFF) << 32) + int(wave.scalars[inst.soffset.offset])
    if last & PRIVATE:
        offsets += np.arange(len(offsets)) * (high >> 16 & 0x3FFF)
    atomic, store = "ATOMIC" in inst.op.name, "STORE" in inst.op.name
    loads = inst.sc0 if atomic else not store
    registers = wave.vectors[inst.vdata.offset - 256 :]
    for number in range(1 if atomic else int(inst.op.name.partition("DWORD")[2][1:] or 1)):
        register = registers[number]
        for lane in np.flatnonzero(inside):
            word = ctypes.c_uint32.from_address(start + int(offsets[lane]) + 4 * number)
            before, after = word.value, int(register[lane])
            if store or (atomic and before == registers[1, lane]):
                word.value = after
            if loads:
                register[lane] = before
        if loads:
            register[wave.active & ~inside] = 0


def _getpc(wave, inst):
    """s_getpc_b64: the address of the next instruction."""
    start = inst.sdst.offset
    wave.scalars[start : start + 2] = np.atleast_1d(wave.pc + np.uint64(inst.size())).view(np.uint32)


def _setpc(wave, inst):
    """s_setpc_b64: go on there."""
    start = inst.ssrc0.offset
    wave.pc = wave.scalars[start : start + 2].view(np.uint64)[0] - np.uint64(inst.size())


BY_HAND = {
    "ds_swizzle_b32": _swizzle,
    "v_div_fixup_f16": _div_fixup_f16,
    "ds_read_u16": _read_u16,
    "buffer_atomic_cmpswap": _buffer,
    "s_getpc_b64": _getpc,
    "s_setpc_b64": _setpc,
}


# What the emulator knows of buffer instructions; it would take any other for a load of a word.
WHOLE_WORDS = {f"buffer_{what}_dword{many}" for what in ("load", "store") for many in ("", "x2", "x3", "x4")}


def _do_by_hand(emu):
    """A few instructions are done here, on the registers themselves."""
    plain = emu._decode_at

    def decode_at(pc, arch):
        inst = emu.decode_inst(bytes((ctypes.c_char * 16).from_address(pc).raw), arch)
        name = getattr(getattr(inst, "op", None), "name", "").lower()
        do, otherwise, uses = BY_HAND.get(name), None, (0, 1, 3)  # of the emulator's buffers
        if do is None:
            (program, compiled), inst = plain(pc, arch)
            if not name.startswith("buffer_") or arch != "cdna":
                return (program, compiled), inst
            if name not in WHOLE_WORDS:
                raise NotImplementedError(name)
            do, otherwise, own = _buffer, compiled.fxn, program.arg.globals
            uses = (0, 1, 3, *own)

        def run(scalars, vectors, shared, *buffers):
            if otherwise:
                descriptor = (ctypes.c_uint32 * 4).from_address(scalars.value + 4 * inst.srsrc.offset)
                if not descriptor[3] & PRIVATE:
                    return otherwise(*buffers)
            wave = Wave(scalars.value, vectors.value, shared.value, emu._wave_size(arch))
            do(wave, inst)
            wave.pc += np.uint64(inst.size())

        return (SimpleNamespace(arg=SimpleNamespace(globals=uses)), SimpleNamespace(fxn=run)), inst

    emu._decode_at = decode_at
