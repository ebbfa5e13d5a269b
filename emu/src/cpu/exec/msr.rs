//! Model-specific registers.
//!
//! IA32_APIC_BASE, the time-stamp counter and the SYSENTER registers act; MTRRs
//! and a few others are storage, since memory types change nothing here. Any
//! other number raises #GP(0), as on hardware, and is counted; under `--strict`
//! it ends the run.
//! (SDM vol. 4, "MSRs in the P6 Family Processors".)

use super::cpuid::feature;
use super::system::{ring0, tsc};
use crate::bus::Bus;
use crate::cpu::exception::Exception;
use crate::cpu::op::{CS, Flow, Op, Step};
use crate::cpu::{Cpu, Request};
use crate::ledger::Kind;
use crate::stop::Stop;

/// IA32_TIME_STAMP_COUNTER.
const TSC: u32 = 0x10;
/// IA32_APIC_BASE.
const APIC_BASE: u32 = 0x1b;
/// EBL_CR_POWERON: bus configuration.
const EBL_CR_POWERON: u32 = 0x2a;
/// IA32_BIOS_SIGN_ID: microcode revision.
const BIOS_SIGN: u32 = 0x8b;
/// IA32_MTRRCAP, read only.
const MTRR_CAP: u32 = 0xfe;
/// IA32_SYSENTER_CS, followed by _ESP and _EIP.
const SYSENTER_CS: u32 = 0x174;
/// IA32_MCG_CAP, read only.
const MCG_CAP: u32 = 0x179;
/// IA32_MTRR_DEF_TYPE.
const MTRR_DEF_TYPE: u32 = 0x2ff;

/// Eight variable ranges, fixed ranges, write combining.
const MTRR_CAP_VALUE: u64 = 8 | 1 << 8 | 1 << 10;
/// IA32_APIC_BASE: the APIC is on.
const APIC_BASE_ENABLE: u64 = 1 << 11;
/// Bits of it that may be written: enable and a 36-bit page address.
const APIC_BASE_WRITABLE: u64 = 0xf_ffff_f000 | APIC_BASE_ENABLE;
/// Bootstrap processor; read only.
const APIC_BASE_BSP: u64 = 1 << 8;

/// What a number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Msr {
    Tsc,
    ApicBase,
    Sysenter(usize),
    /// Reads as this value; writes raise #GP(0).
    Constant(u64),
    /// Reads what was written, at first 0.
    Stored,
    Unknown,
}

fn classify(cpu: &Cpu, number: u32) -> Msr {
    let mtrr = cpu.identity.has(feature::MTRR);
    match number {
        TSC if cpu.identity.has(feature::TSC) => Msr::Tsc,
        // Present even while software has switched the APIC off.
        APIC_BASE if cpu.identity.has(feature::APIC) => Msr::ApicBase,
        SYSENTER_CS..=0x176 if cpu.identity.has(feature::SEP) => {
            Msr::Sysenter((number - SYSENTER_CS) as usize)
        }
        MCG_CAP => Msr::Constant(0),
        MTRR_CAP if mtrr => Msr::Constant(MTRR_CAP_VALUE),
        0x200..=0x20f | 0x250 | 0x258 | 0x259 | 0x268..=0x26f | MTRR_DEF_TYPE if mtrr => Msr::Stored,
        EBL_CR_POWERON | BIOS_SIGN => Msr::Stored,
        _ => Msr::Unknown,
    }
}

/// An MSR that is not there: #GP(0), or the end of the run under `--strict`.
#[cold]
fn unknown(cpu: &mut Cpu, bus: &Bus, op: &Op, msr: u32) -> Result<u64, Flow> {
    cpu.need_care()?;
    cpu.count.unknown_msrs += 1;
    if bus.strict {
        cpu.eip = cpu.this_eip(op);
        let at = cpu.seg[usize::from(CS)].base.wrapping_add(cpu.eip);
        cpu.request = Some(Request::Stop(Stop::UnknownMsr { cpu: cpu.id, at, msr }));
        return Err(Flow::Request);
    }
    cpu.raise(Exception::GP0)
}

/// `rdmsr`.
pub fn rdmsr(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    ring0(cpu)?;
    let number = cpu.regs[1];
    let v = match classify(cpu, number) {
        Msr::Tsc => tsc(cpu, op),
        Msr::ApicBase => cpu.msr.apic_base,
        Msr::Sysenter(i) => cpu.msr.sysenter.get(i).copied().map_or(0, u64::from),
        Msr::Constant(v) => v,
        Msr::Stored => cpu.msr.stored.get(&number).copied().unwrap_or(0),
        Msr::Unknown => unknown(cpu, bus, op, number)?,
    };
    cpu.regs[0] = v as u32;
    cpu.regs[2] = (v >> 32) as u32;
    cpu.charge(Kind::System, cpu.costs.msr);
    cpu.end_block(op)
}

/// `wrmsr`.
pub fn wrmsr(cpu: &mut Cpu, bus: &mut Bus, op: &Op) -> Step {
    ring0(cpu)?;
    cpu.need_care()?;
    let number = cpu.regs[1];
    let v = u64::from(cpu.regs[0]) | u64::from(cpu.regs[2]) << 32;
    match classify(cpu, number) {
        Msr::Tsc => cpu.msr.tsc_offset = v.wrapping_sub(cpu.now(op)),
        Msr::ApicBase => {
            if v & !(APIC_BASE_WRITABLE | APIC_BASE_BSP) != 0 {
                return cpu.raise(Exception::GP0);
            }
            let now = cpu.now(op);
            cpu.apic.at(now);
            let on = cpu.apic.switch(v & APIC_BASE_ENABLE != 0);
            let enable = if on { APIC_BASE_ENABLE } else { 0 };
            cpu.msr.apic_base =
                v & APIC_BASE_WRITABLE & !APIC_BASE_ENABLE | enable | cpu.msr.apic_base & APIC_BASE_BSP;
            // The timer is gone with it.
            bus.attention = true;
        }
        Msr::Sysenter(i) => {
            if let Some(r) = cpu.msr.sysenter.get_mut(i) {
                *r = v as u32;
            }
        }
        Msr::Constant(_) => return cpu.raise(Exception::GP0),
        Msr::Stored => {
            cpu.msr.stored.insert(number, v);
        }
        Msr::Unknown => {
            unknown(cpu, bus, op, number)?;
        }
    }
    cpu.charge(Kind::System, cpu.costs.msr);
    cpu.end_block(op)
}
