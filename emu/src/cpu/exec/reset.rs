//! What puts a processor into a defined state: INIT, the start-up IPI, and the
//! entry that a Multiboot loader gives a kernel. (RESET itself is `Cpu::new`.)
//!
//! INIT leaves MSRs, the time-stamp counter and the cache bits of CR0 as they
//! are; the bootstrap processor begins again at the reset vector, another one waits.
//! (SDM vol. 3A, "Processor State After Reset", "INIT Reset" and
//! "Multiple-Processor (MP) Initialization".)

use crate::apic::Role;
use crate::bus::Bus;
use crate::cost::Preset;
use crate::cpu::op::{CS, DS, ES, FS, GS, SS};
use crate::cpu::segment::{Segment, attr};
use crate::cpu::{Cpu, NOT_OFF, State, Table, cr0};
use crate::mmu;
use shootdown_abi::Activity;

/// EAX at the entry of a Multiboot-1 kernel.
const MULTIBOOT_MAGIC: u32 = 0x2bad_b002;

impl Cpu {
    /// Takes over who the processor says it is. Its signature is in EDX after RESET and INIT.
    pub fn identify(&mut self, preset: &Preset) {
        self.identity = super::cpuid::Identity::new(preset);
        self.regs[2] = self.identity.signature;
    }
}

/// An INIT has arrived.
pub fn init(cpu: &mut Cpu, bus: &mut Bus) {
    let now = cpu.clock;
    mmu::flush_all(cpu, bus, now);
    cpu.regs = [0; 16];
    cpu.regs[2] = cpu.identity.signature;
    cpu.flags.set(0);
    for n in [ES, SS, DS, FS, GS] {
        cpu.set_segment(n, Segment::real(0));
    }
    let code = attr::PRESENT | attr::S | attr::CODE | attr::RW | attr::ACCESSED;
    cpu.set_segment(CS, Segment::new(0xf000, 0xffff_0000, 0xffff, code));
    cpu.eip = 0xfff0;
    cpu.cr0 = cr0::ET | cpu.cr0 & (cr0::CD | cr0::NW);
    (cpu.cr2, cpu.cr3, cpu.cr4) = (0, 0, 0);
    cpu.dr = [0, 0, 0, 0, 0, 0, 0xffff_0ff0, 0x400];
    cpu.gdtr = Table { base: 0, limit: 0xffff };
    cpu.idtr = Table { base: 0, limit: 0xffff };
    cpu.ldtr = Segment::new(0, 0, 0xffff, attr::PRESENT | 2);
    cpu.tr = Segment::new(0, 0, 0xffff, attr::PRESENT | 11);
    cpu.mmu.refresh_mode(cpu.cr0, 0, 0);
    (cpu.fault, cpu.request, cpu.shadow) = (None, None, false);
    (cpu.nmi, cpu.nmi_blocked, cpu.nmi_held) = (false, false, false);
    cpu.apic.init();
    cpu.set_cpl(0, now);
    cpu.drop_debug();
    let (state, activity) = match cpu.apic.role() {
        Role::Bsp => (State::Running, Activity::Kernel),
        Role::Ap => (State::WaitForSipi, Activity::Idle),
    };
    cpu.marked = activity;
    cpu.ledger.switch(activity, now);
    cpu.irqs_off_at = if state == State::Running { now } else { NOT_OFF };
    cpu.state = state;
}

/// A start-up IPI has arrived at a processor that waits for one: it runs in real mode at `vector` * 4 KiB.
pub fn start_up(cpu: &mut Cpu, vector: u8) {
    let cs = Segment { selector: u16::from(vector) << 8, ..cpu.seg[usize::from(CS)] };
    cpu.set_segment(CS, Segment::new(cs.selector, u32::from(vector) << 12, 0xffff, cs.attr));
    cpu.eip = 0;
    cpu.marked = Activity::Kernel;
    cpu.ledger.switch(Activity::Kernel, cpu.clock);
    cpu.irqs_off_at = cpu.clock;
    cpu.state = State::Running;
}

/// The state at the entry of a Multiboot-1 kernel: flat 32-bit segments, paging and interrupts off,
/// EBX = physical address of the information structure. (Multiboot Specification 0.6.96, "Machine state".)
pub fn enter_multiboot(cpu: &mut Cpu, entry: u32, info: u32) {
    let common = attr::PRESENT | attr::S | attr::RW | attr::ACCESSED | attr::BIG;
    cpu.set_segment(CS, Segment::flat(0x08, common | attr::CODE));
    for n in [ES, SS, DS, FS, GS] {
        cpu.set_segment(n, Segment::flat(0x10, common));
    }
    // The loader's own tables are not promised to stay: none are given.
    cpu.gdtr = Table::default();
    cpu.idtr = Table::default();
    cpu.flags.set(0);
    cpu.cr0 = cr0::ET | cr0::PE;
    cpu.mmu.refresh_mode(cpu.cr0, cpu.cr3, cpu.cr4);
    cpu.regs[0] = MULTIBOOT_MAGIC;
    cpu.regs[3] = info;
    cpu.eip = entry;
    cpu.state = State::Running;
}
