"""The other side of `cargo xtask fuzz-diff`: runs each case on Unicorn and answers with the state after it.

Frames are little-endian; their layout is in mod.rs. The memory image comes first.
"""

import struct
import sys

from unicorn import Uc, UcError, UC_ARCH_X86, UC_HOOK_CODE, UC_HOOK_INTR, UC_MODE_16, UC_MODE_32
from unicorn import UC_ERR_EXCEPTION, UC_ERR_FETCH_UNMAPPED, UC_ERR_INSN_INVALID
from unicorn import x86_const as x86

MEMORY = 0x20000
PAGE = 4096
CODE = 0x30000
CASE = struct.Struct("<BBBx8II6H")
REGISTERS = [
    x86.UC_X86_REG_EAX, x86.UC_X86_REG_ECX, x86.UC_X86_REG_EDX, x86.UC_X86_REG_EBX,
    x86.UC_X86_REG_ESP, x86.UC_X86_REG_EBP, x86.UC_X86_REG_ESI, x86.UC_X86_REG_EDI,
]
SEGMENTS = [
    x86.UC_X86_REG_ES, x86.UC_X86_REG_CS, x86.UC_X86_REG_SS,
    x86.UC_X86_REG_DS, x86.UC_X86_REG_FS, x86.UC_X86_REG_GS,
]
NONE, OUTSIDE, FAILED = -1, -2, -3
# A GDT of flat ring-0 segments, outside the memory that is compared.
GDT = 0x380000
FLAT = [0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF]


class Peer:
    """One Unicorn in one mode."""

    def __init__(self, mode, image):
        self.real = mode == 16
        self.image = image
        self.uc = Uc(UC_ARCH_X86, UC_MODE_16 if self.real else UC_MODE_32)
        self.uc.ctl_set_cpu_model(x86.UC_CPU_X86_PENTIUM2)
        self.uc.mem_map(0, MEMORY)
        self.uc.mem_write(0, image)
        self.uc.mem_map(CODE, PAGE)
        self.vector = NONE
        self.left = 0
        if not self.real:
            self.uc.mem_map(GDT, PAGE)
            self.uc.mem_write(GDT, struct.pack("<3Q", *FLAT))
            self.uc.reg_write(x86.UC_X86_REG_GDTR, (0, GDT, 8 * len(FLAT) - 1, 0))
            for register in SEGMENTS:
                self.uc.reg_write(register, 0x08 if register == x86.UC_X86_REG_CS else 0x10)
        self.uc.hook_add(UC_HOOK_INTR, self.interrupt)
        self.uc.hook_add(UC_HOOK_CODE, self.instruction)
        # Each case begins anew: an exception of the one before would make a double fault of the next.
        self.fresh = self.uc.context_save()

    def interrupt(self, uc, number, _):
        # What follows from it, without an IDT, is not meant.
        if self.vector == NONE:
            self.vector = number
        uc.emu_stop()

    def instruction(self, uc, *_):
        if self.left == 0:
            uc.emu_stop()
        self.left -= 1

    def run(self, count, until_end, registers, flags, segments, code):
        uc = self.uc
        uc.context_restore(self.fresh)
        uc.mem_write(CODE, code.ljust(PAGE, b"\0"))
        uc.ctl_remove_cache(CODE, CODE + 64)
        if self.real:
            for register, value in zip(SEGMENTS, segments):
                uc.reg_write(register, value)
        for register, value in zip(REGISTERS, registers):
            uc.reg_write(register, value)
        uc.reg_write(x86.UC_X86_REG_EFLAGS, flags)
        self.vector = NONE
        # A repeated instruction is counted once for each round.
        self.left = -1 if until_end else count
        try:
            # In real mode this address is linear.
            uc.emu_start(CODE, CODE + len(code) if until_end else 0xFFFFFFFF)
        except UcError as e:
            # Where a branch leads is not run.
            branched = e.errno == UC_ERR_FETCH_UNMAPPED and self.left <= 0 and not until_end
            if self.vector == NONE and not branched:
                self.vector = 6 if e.errno == UC_ERR_INSN_INVALID else FAILED if e.errno == UC_ERR_EXCEPTION else OUTSIDE
        after = [uc.reg_read(register) & 0xFFFFFFFF for register in REGISTERS]
        eip = uc.reg_read(x86.UC_X86_REG_EIP) & 0xFFFFFFFF
        flags = uc.reg_read(x86.UC_X86_REG_EFLAGS) & 0xFFFFFFFF
        memory = bytes(uc.mem_read(0, MEMORY))
        pages = []
        if memory != self.image:
            for n in range(0, MEMORY, PAGE):
                page = memory[n:n + PAGE]
                if page != self.image[n:n + PAGE]:
                    pages.append((n // PAGE, page))
                    uc.mem_write(n, self.image[n:n + PAGE])
        return after, eip, flags, pages


def main():
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    mode = source.read(1)[0]
    peer = Peer(mode, source.read(MEMORY))
    while True:
        head = source.read(CASE.size)
        if len(head) < CASE.size:
            return
        count, until_end, length, *rest = CASE.unpack(head)
        registers, flags, segments = rest[:8], rest[8], rest[9:]
        code = source.read(length)
        after, eip, flags, pages = peer.run(count, until_end, registers, flags, segments, code)
        sink.write(struct.pack("<h8IIIB", peer.vector, *after, eip, flags, len(pages)))
        for number, page in pages:
            sink.write(bytes([number]) + page)
        sink.flush()


main()
