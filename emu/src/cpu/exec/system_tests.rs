//! Tests of segments, control registers, MSRs and ports: handlers called one by one on a
//! processor in protected mode, with tables in memory, paging off. The tests of
//! `transfer_tests.rs` use the same processor.

use super::super::{far, io, mov, msr, operand, segment};
use super::*;
use crate::apic::{LocalApic, Role};
use crate::bus::ram::Ram;
use crate::cache::Coherence;
use crate::cost::Preset;
use crate::cpu::exec::cpuid::Identity;
use crate::cpu::flags::{IF, ZF};
use crate::cpu::op::{CS, DS, ES, FS, NO_REG, SS};
use crate::device::Devices;
use crate::mmu::{Mmu, MmuOptions};
use crate::stop::Stop;

pub(in crate::cpu::exec) const GDT: u32 = 0x1000;
pub(in crate::cpu::exec) const IDT: u32 = 0x2000;
pub(in crate::cpu::exec) const TSS: u32 = 0x3000;
pub(in crate::cpu::exec) const STACK0: u32 = 0x8000;
pub(in crate::cpu::exec) const STACK3: u32 = 0x9000;
pub(in crate::cpu::exec) const DATA: u32 = 0xa000;

pub(in crate::cpu::exec) const CODE0: u16 = 0x08;
pub(in crate::cpu::exec) const DATA0: u16 = 0x10;
pub(in crate::cpu::exec) const CODE3: u16 = 0x1b;
pub(in crate::cpu::exec) const DATA3: u16 = 0x23;
pub(in crate::cpu::exec) const TSS_SEL: u16 = 0x28;
pub(in crate::cpu::exec) const ABSENT: u16 = 0x30;
pub(in crate::cpu::exec) const GATE: u16 = 0x3b;
pub(in crate::cpu::exec) const FRESH: u16 = 0x40;
pub(in crate::cpu::exec) const SMALL_CODE: u16 = 0x48;
pub(in crate::cpu::exec) const SMALL_STACK: u16 = 0x50;
pub(in crate::cpu::exec) const LDT_SEL: u16 = 0x58;
pub(in crate::cpu::exec) const GDT_LIMIT: u16 = 0x5f;

/// A processor in ring 0 of flat protected mode, with GDT, IDT and TSS.
pub(in crate::cpu::exec) struct Rig {
    pub cpu: Cpu,
    pub bus: Bus,
}

pub(in crate::cpu::exec) fn op() -> Op {
    Op {
        run: ud2,
        imm: 0,
        disp: 0,
        mask: u32::MAX,
        before: 0,
        cost: 0,
        at: 0,
        len: 2,
        dst: 0,
        src: 0,
        base: NO_REG,
        index: NO_REG,
        scale: 0,
        seg: DS,
        bits: 0,
    }
}

pub(in crate::cpu::exec) fn mem(at: u32) -> Op {
    Op { disp: at, ..op() }
}

pub(in crate::cpu::exec) fn rig() -> Rig {
    let preset = Preset::builtin("p3").expect("built-in preset");
    let apic = LocalApic::new(0, Role::Bsp, preset.apic, preset.clock_mhz, preset.bus_mhz);
    let options = MmuOptions { front: true, keep: false, caches: false };
    let mut cpu = Cpu::new(0, apic, Mmu::new(&preset, 1, options), preset.costs(), true);
    cpu.identify(&preset);
    let bus = Bus::new(Ram::new(1 << 20), Coherence::new(&preset, 1), Devices::new(&preset), false);
    enter_multiboot(&mut cpu, 0x10_0000, 0);
    cpu.careful = true;
    let mut r = Rig { cpu, bus };
    let gdt: [u64; 12] = [
        0,
        0x00cf_9b00_0000_ffff, // 08 code, ring 0
        0x00cf_9300_0000_ffff, // 10 data, ring 0
        0x00cf_fb00_0000_ffff, // 18 code, ring 3
        0x00cf_f300_0000_ffff, // 20 data, ring 3
        0x0000_8900_3000_0067, // 28 TSS
        0x00cf_1300_0000_ffff, // 30 data, not present
        0x0000_ec02_0008_5678, // 38 call gate to 08:5678, ring 3, two parameters
        0x00cf_9200_0000_ffff, // 40 data, ring 0, not accessed
        0x0000_9b00_0000_0fff, // 48 16-bit code, 4 KiB
        0x0000_9300_0000_0fff, // 50 16-bit stack, 4 KiB
        0x0000_8200_1000_0017, // 58 LDT of three entries (the start of the GDT)
    ];
    for (i, d) in (0u32..).zip(gdt) {
        r.poke64(GDT + 8 * i, d);
    }
    r.cpu.gdtr = Table { base: GDT, limit: GDT_LIMIT };
    r.cpu.idtr = Table { base: IDT, limit: 0x7ff };
    r.poke32(TSS + 4, STACK0);
    r.poke32(TSS + 8, u32::from(DATA0));
    r.poke32(TSS + 0x64, 0x68 << 16);
    r.cpu.regs[0] = u32::from(TSS_SEL);
    assert_eq!(r.run(ltr_reg, op()), Err(Flow::Branch));
    r.cpu.regs = [0; 16];
    r.cpu.regs[4] = STACK0 - 0x100;
    r.cpu.eip = 0x4000;
    r
}

impl Rig {
    pub fn run(&mut self, handler: crate::cpu::op::Handler, op: Op) -> Step {
        handler(&mut self.cpu, &mut self.bus, &op)
    }

    pub fn poke32(&mut self, at: u32, v: u32) {
        assert!(self.bus.ram.poke(u64::from(at), &v.to_le_bytes()));
    }

    pub fn poke64(&mut self, at: u32, v: u64) {
        assert!(self.bus.ram.poke(u64::from(at), &v.to_le_bytes()));
    }

    pub fn peek32(&self, at: u32) -> u32 {
        let mut b = [0; 4];
        assert!(self.bus.ram.peek(u64::from(at), &mut b));
        u32::from_le_bytes(b)
    }

    pub fn gate(&mut self, vector: u32, selector: u16, offset: u32, kind: u32) {
        self.poke32(IDT + 8 * vector, u32::from(selector) << 16 | offset & 0xffff);
        self.poke32(IDT + 8 * vector + 4, offset & 0xffff_0000 | kind << 8);
    }

    /// Goes to ring 3 through `iret`, with IF set.
    pub fn enter_ring3(&mut self) {
        for (i, v) in (0u32..).zip([0x5000, u32::from(CODE3), IF | 2, STACK3, u32::from(DATA3)]) {
            let at = self.cpu.regs[4] + 4 * i;
            self.poke32(at, v);
        }
        assert_eq!(self.run(far::iret, op()), Err(Flow::Branch));
        assert_eq!((self.cpu.cpl, self.cpu.eip, self.cpu.regs[4]), (3, 0x5000, STACK3));
    }

    pub fn fault(&mut self, step: Step) -> Exception {
        assert_eq!(step, Err(Flow::Fault));
        self.cpu.fault.take().expect("a fault is noted")
    }

    pub fn selector(&self, n: u8) -> u16 {
        self.cpu.seg[usize::from(n)].selector
    }

    /// What a fault must not change.
    pub fn state(&self) -> ([u32; 16], u32, u32, u8, Vec<Segment>, u32) {
        let c = &self.cpu;
        (c.regs, c.eip, c.flags.get(), c.cpl, c.seg.to_vec(), c.cr0)
    }
}

#[test]
fn segment_loads_check_and_mark_the_descriptor() {
    let mut r = rig();
    let load = |r: &mut Rig, n: u8, selector: u16| {
        r.cpu.regs[0] = u32::from(selector);
        r.run(segment::mov_sreg_reg, Op { dst: n, ..op() })
    };
    for (n, selector, expected) in [
        (SS, 0, Exception::GP0),
        (SS, DATA3, Exception::with_code(vector::GP, 0x20)),
        (SS, DATA0 | 1, Exception::with_code(vector::GP, 0x10)),
        (SS, ABSENT, Exception::with_code(vector::SS, 0x30)),
        (DS, ABSENT, Exception::with_code(vector::NP, 0x30)),
        (DS, TSS_SEL, Exception::with_code(vector::GP, 0x28)),
        (DS, 0x1f8, Exception::with_code(vector::GP, 0x1f8)),
        (DS, DATA0 | 3, Exception::with_code(vector::GP, 0x10)),
        (DS, 0x0c, Exception::with_code(vector::GP, 0x0c)), // LDT without an LDT
        (CS, CODE0, Exception::UD),
    ] {
        let before = r.state();
        let step = load(&mut r, n, selector);
        assert_eq!(r.fault(step), expected, "segment {n} selector {selector:#x}");
        let mut after = r.state();
        after.0[0] = before.0[0];
        assert_eq!(after, before);
    }
    assert_eq!(r.peek32(GDT + u32::from(FRESH) + 4), 0x00cf_9200);
    assert_eq!(load(&mut r, DS, FRESH), Err(Flow::Branch));
    assert_eq!(r.peek32(GDT + u32::from(FRESH) + 4), 0x00cf_9300, "accessed");
    assert!(!r.cpu.shadow);
    assert_eq!(load(&mut r, SS, DATA0), Err(Flow::Branch));
    assert!(r.cpu.shadow, "interrupts wait for the load of ESP");
    assert_eq!(load(&mut r, DS, 3), Err(Flow::Branch), "null selectors may be loaded");
    assert_eq!(r.cpu.seg[usize::from(DS)].attr, 0);
}

#[test]
fn pop_segment_moves_esp_only_when_it_succeeds() {
    let mut r = rig();
    let esp = r.cpu.regs[4];
    r.poke32(esp, 0xffff_0000 | u32::from(ABSENT));
    let step = r.run(segment::pop_sreg, Op { dst: ES, ..op() });
    assert_eq!(r.fault(step).vector, vector::NP);
    assert_eq!(r.cpu.regs[4], esp);
    r.poke32(esp, 0xffff_0000 | u32::from(DATA3));
    assert_eq!(r.run(segment::pop_sreg, Op { dst: ES, ..op() }), Err(Flow::Branch));
    assert_eq!((r.cpu.regs[4], r.selector(ES)), (esp + 4, DATA3));
    assert_eq!(r.run(segment::push_sreg, Op { src: ES, ..op() }), Ok(()));
    assert_eq!(r.peek32(esp), 0xffff_0000 | u32::from(DATA3), "a P6 writes the low half only");
}

#[test]
fn far_pointers_load_both_or_neither() {
    let mut r = rig();
    r.poke32(DATA, 0x1234_5678);
    r.poke32(DATA + 4, u32::from(ABSENT));
    r.cpu.regs[1] = 7;
    let load = Op { dst: 1, src: FS, ..mem(DATA) };
    let step = r.run(segment::load_far, load);
    assert_eq!(r.fault(step).vector, vector::NP);
    assert_eq!(r.cpu.regs[1], 7);
    r.poke32(DATA + 4, u32::from(DATA3));
    assert_eq!(r.run(segment::load_far, load), Err(Flow::Branch));
    assert_eq!((r.cpu.regs[1], r.selector(FS)), (0x1234_5678, DATA3));
}

#[test]
fn rights_and_limits_are_told_only_where_visible() {
    let mut r = rig();
    let ask = |r: &mut Rig, h: crate::cpu::op::Handler, selector: u16| {
        r.cpu.regs[1] = u32::from(selector);
        r.cpu.regs[2] = 0xdead;
        assert_eq!(r.run(h, Op { dst: 2, src: 1, ..op() }), Err(Flow::Branch));
        (r.cpu.flags.get() & ZF != 0).then_some(r.cpu.regs[2])
    };
    assert_eq!(ask(&mut r, segment::lar_reg, CODE0), Some(0x00cf_9b00));
    assert_eq!(ask(&mut r, segment::lsl_reg, CODE0), Some(u32::MAX));
    assert_eq!(ask(&mut r, segment::lsl_reg, SMALL_CODE), Some(0xfff));
    assert_eq!(ask(&mut r, segment::lar_reg, GATE), Some(0x0000_ec00));
    assert_eq!(ask(&mut r, segment::lsl_reg, GATE), None, "gates have no limit");
    assert_eq!(ask(&mut r, segment::lar_reg, 0), None);
    assert_eq!(ask(&mut r, segment::lar_reg, DATA0 | 3), None, "RPL 3 may not see ring 0");
    assert_eq!(r.cpu.regs[2], 0xdead, "the destination stays");
    assert!(ask(&mut r, segment::verw_reg, DATA0).is_some());
    assert!(ask(&mut r, segment::verw_reg, CODE0).is_none());
    assert!(ask(&mut r, segment::verr_reg, CODE0).is_some());
}

#[test]
fn control_registers_refuse_what_the_manual_forbids() {
    let mut r = rig();
    let write = |r: &mut Rig, n: u8, v: u32| {
        r.cpu.regs[0] = v;
        r.run(mov_to_cr, Op { dst: n, src: 0, ..op() })
    };
    for (n, v) in [(0, cr0::PG), (0, cr0::PE | cr0::NW), (4, 1), (4, cr4::MCE), (4, 1 << 11)] {
        let step = write(&mut r, n, v);
        assert_eq!(r.fault(step), Exception::GP0, "cr{n} = {v:#x}");
    }
    assert_eq!(r.cpu.cr0, cr0::PE | cr0::ET);
    // PAE paging with a reserved bit in a PDPTE.
    assert_eq!(write(&mut r, 4, cr4::PAE), Err(Flow::Branch));
    assert_eq!(write(&mut r, 3, 0xb020), Err(Flow::Branch));
    assert_eq!(r.cpu.cr3, 0xb020, "a PAE base is 32-byte aligned");
    r.poke64(0xb028, 0xc001);
    r.poke64(0xb038, 0xd003);
    let step = write(&mut r, 0, cr0::PG | cr0::PE);
    assert_eq!(r.fault(step), Exception::GP0);
    assert_eq!(r.cpu.cr0 & cr0::PG, 0);
    r.poke64(0xb038, 0xd001);
    assert_eq!(write(&mut r, 0, cr0::PG | cr0::PE), Err(Flow::Branch));
    assert_eq!(r.cpu.mmu.pdptes, [0, 0xc001, 0, 0xd001]);
    // Ring 3 may not.
    r.cpu.cpl = 3;
    let step = write(&mut r, 3, 0);
    assert_eq!(r.fault(step), Exception::GP0);
}

#[test]
fn flushes_are_counted_and_charged_as_such() {
    let mut r = rig();
    let flush = |r: &Rig| r.cpu.ledger.totals(r.cpu.clock).kind[Kind::Flush as usize];
    let write = |r: &mut Rig, n: u8, v: u32| {
        r.cpu.regs[0] = v;
        assert_eq!(r.run(mov_to_cr, Op { dst: n, src: 0, ..op() }), Err(Flow::Branch));
    };
    write(&mut r, 4, cr4::TSD);
    assert_eq!((r.cpu.count.global_flushes, flush(&r)), (0, 0), "no paging bit changed");
    write(&mut r, 4, cr4::PGE);
    write(&mut r, 4, 0);
    assert_eq!(r.cpu.count.global_flushes, 1, "off and on is one");
    assert_eq!(flush(&r), 2 * u64::from(r.cpu.costs.cr4_pge_write));
    write(&mut r, 3, 0x5000);
    assert_eq!((r.cpu.count.cr3_loads, r.cpu.count.global_flushes), (1, 1));
    assert_eq!(flush(&r), u64::from(2 * r.cpu.costs.cr4_pge_write + r.cpu.costs.cr3_load));
    assert_eq!(r.run(invlpg, mem(0x1234)), Err(Flow::Branch));
    assert_eq!(r.cpu.count.invlpg, 1);
    let kinds = r.cpu.ledger.totals(r.cpu.clock).kind;
    assert_eq!(kinds[Kind::Invlpg as usize], u64::from(r.cpu.costs.invlpg));
    assert!(r.cpu.ledger.check(r.cpu.clock));
}

#[test]
fn lmsw_sets_but_never_clears_pe() {
    let mut r = rig();
    r.cpu.regs[0] = cr0::TS;
    assert_eq!(r.run(lmsw_reg, op()), Err(Flow::Branch));
    assert_eq!(r.cpu.cr0, cr0::PE | cr0::ET | cr0::TS);
    assert_eq!(r.run(clts, op()), Err(Flow::Branch));
    assert_eq!(r.cpu.cr0 & cr0::TS, 0);
}

#[test]
fn table_registers_load_and_store() {
    let mut r = rig();
    assert_eq!(r.run(sidt, mem(DATA)), Err(Flow::Branch));
    assert_eq!((r.peek32(DATA) & 0xffff, r.peek32(DATA + 2)), (0x7ff, IDT));
    // The task register is busy: a second load is refused.
    assert_eq!(r.peek32(GDT + u32::from(TSS_SEL) + 4) >> 8 & 15, u32::from(system_type::TSS32_BUSY));
    r.cpu.regs[0] = u32::from(TSS_SEL);
    let step = r.run(ltr_reg, op());
    assert_eq!(r.fault(step), Exception::with_code(vector::GP, u32::from(TSS_SEL)));
    // Through the LDT (an alias of the GDT's start) ring-0 data can be had.
    r.cpu.regs[0] = u32::from(LDT_SEL);
    assert_eq!(r.run(lldt_reg, op()), Err(Flow::Branch));
    r.cpu.regs[0] = 0x14;
    assert_eq!(r.run(segment::mov_sreg_reg, Op { dst: ES, ..op() }), Err(Flow::Branch));
    assert_eq!(r.selector(ES), 0x14);
    r.cpu.regs[0] = 0x1c;
    let step = r.run(segment::mov_sreg_reg, Op { dst: ES, ..op() });
    assert_eq!(r.fault(step), Exception::with_code(vector::GP, 0x1c), "beyond the LDT's limit");
    assert_eq!(r.run(str_reg, Op { dst: 3, ..op() }), Err(Flow::Branch));
    assert_eq!(r.cpu.regs[3], u32::from(TSS_SEL));
}

#[test]
fn privileged_instructions_fault_in_ring_3() {
    let mut r = rig();
    r.enter_ring3();
    let table: [crate::cpu::op::Handler; 10] =
        [mov_to_cr, mov_from_cr, mov_to_dr, lgdt, lidt, clts, invlpg, hlt, wbinvd, msr::rdmsr];
    for h in table {
        let before = r.state();
        let step = r.run(h, op());
        assert_eq!(r.fault(step), Exception::GP0);
        assert_eq!(r.state(), before);
    }
    // RDTSC is free unless TSD is set.
    assert_eq!(r.run(rdtsc, op()), Err(Flow::Branch));
    r.cpu.cr4 = cr4::TSD;
    let step = r.run(rdtsc, op());
    assert_eq!(r.fault(step), Exception::GP0);
}

#[test]
fn msrs_hold_and_unknown_ones_fault_or_stop() {
    let mut r = rig();
    let write = |r: &mut Rig, n: u32, v: u64| {
        (r.cpu.regs[1], r.cpu.regs[0], r.cpu.regs[2]) = (n, v as u32, (v >> 32) as u32);
        r.run(msr::wrmsr, op())
    };
    let read = |r: &mut Rig, n: u32| {
        r.cpu.regs[1] = n;
        let step = r.run(msr::rdmsr, op());
        (step, u64::from(r.cpu.regs[0]) | u64::from(r.cpu.regs[2]) << 32)
    };
    assert_eq!(write(&mut r, 0x200, 0xf_1234_5006), Err(Flow::Branch));
    assert_eq!(read(&mut r, 0x200), (Err(Flow::Branch), 0xf_1234_5006));
    assert_eq!(write(&mut r, 0x10, 1 << 40), Err(Flow::Branch));
    let cost = u64::from(r.cpu.costs.msr);
    assert_eq!(read(&mut r, 0x10).1, (1 << 40) + cost, "counts on from the written value");
    let base = read(&mut r, 0x1b).1;
    assert_eq!(base, 0xfee0_0900);
    assert_eq!(write(&mut r, 0x1b, 0xfee0_0800), Err(Flow::Branch));
    assert_eq!(read(&mut r, 0x1b).1, base, "the BSP bit is read only");
    let step = write(&mut r, 0x1b, 1);
    assert_eq!(r.fault(step), Exception::GP0);
    let step = read(&mut r, 0xc000_0080).0;
    assert_eq!(r.fault(step), Exception::GP0);
    assert_eq!(r.cpu.count.unknown_msrs, 1);
    r.bus.strict = true;
    let at = r.cpu.eip;
    assert_eq!(read(&mut r, 0xc000_0080).0, Err(Flow::Request));
    let stop = Stop::UnknownMsr { cpu: 0, at, msr: 0xc000_0080 };
    assert_eq!(r.cpu.request, Some(Request::Stop(stop)));
}

#[test]
fn no_counter_can_be_read_at_any_level() {
    for pce in [0, cr4::PCE] {
        for ring3 in [false, true] {
            let mut r = rig();
            r.cpu.cr4 = pce;
            if ring3 {
                r.enter_ring3();
            }
            for number in [0, 1, 0x4000_0000] {
                r.cpu.regs[1] = number;
                let step = r.run(rdpmc, op());
                assert_eq!(r.fault(step), Exception::GP0);
            }
        }
    }
}

#[test]
fn init_ends_breakpoints() {
    let mut r = rig();
    (r.cpu.regs[0], r.cpu.dr[0]) = (0x402 | 3 << 16, DATA);
    assert_eq!(r.run(mov_to_dr, Op { dst: 7, ..op() }), Err(Flow::Branch));
    assert!(r.cpu.debug.armed() && r.cpu.debug.sees_memory());
    init(&mut r.cpu, &mut r.bus);
    assert!(!r.cpu.debug.armed() && !r.cpu.debug.sees_memory());
    assert_eq!((r.cpu.dr[6], r.cpu.dr[7]), (0xffff_0ff0, 0x400));
}

#[test]
fn ports_ask_iopl_then_the_tss() {
    let mut r = rig();
    let port = 0x2f0; // nothing there
    r.cpu.regs[2] = port;
    assert_eq!(r.run(io::in_dx::<u8>, op()), Ok(()));
    assert_eq!(r.cpu.regs[0] & 0xff, 0xff, "an empty port floats");
    r.cpu.tr.limit = 0x68 + 0x2000;
    for i in 0..0x801 {
        r.poke32(TSS + 0x68 + 4 * i, u32::MAX);
    }
    r.enter_ring3();
    let step = r.run(io::in_dx::<u8>, op());
    assert_eq!(r.fault(step), Exception::GP0);
    // Allow 0x2f0 and 0x2f1 only.
    r.poke32(TSS + 0x68 + port / 8, 0xffff_fffc);
    assert_eq!(r.run(io::in_dx::<u8>, op()), Ok(()));
    assert_eq!(r.run(io::in_dx::<u16>, op()), Ok(()));
    let step = r.run(io::in_dx::<u32>, op());
    assert_eq!(r.fault(step), Exception::GP0);
    r.cpu.careful = false;
    assert_eq!(r.run(io::in_dx::<u8>, op()), Err(Flow::Careful));
}

#[test]
fn repeated_input_goes_element_by_element() {
    let mut r = rig();
    (r.cpu.regs[1], r.cpu.regs[2], r.cpu.regs[7]) = (2, 0x2f0, DATA);
    let ins = Op { bits: Op::REP, ..op() };
    assert_eq!(r.run(io::ins::<u16>, ins), Err(Flow::Repeat));
    assert_eq!((r.cpu.regs[1], r.cpu.regs[7]), (1, DATA + 2));
    assert_eq!(r.run(io::ins::<u16>, ins), Ok(()));
    assert_eq!((r.cpu.regs[1], r.cpu.regs[7], r.peek32(DATA)), (0, DATA + 4, u32::MAX));
    assert_eq!(r.run(io::ins::<u16>, ins), Ok(()));
    assert_eq!(r.cpu.regs[7], DATA + 4, "count zero does nothing");
}

#[test]
fn identity_comes_from_the_preset() {
    let mut r = rig();
    r.cpu.regs[0] = 1;
    assert_eq!(r.run(cpuid, op()), Err(Flow::Branch));
    assert_eq!((r.cpu.regs[0], r.cpu.regs[3]), (0x683, 0));
    r.cpu.identity = Identity::default();
    r.cpu.regs[0] = cr4::PGE;
    let step = r.run(mov_to_cr, Op { dst: 4, src: 0, ..op() });
    assert_eq!(r.fault(step), Exception::GP0, "CR4 takes only what CPUID offers");
}

#[test]
fn an_exchange_with_the_command_register_waits_before_it_changes_anything() {
    let mut r = rig();
    r.cpu.clock = 100;
    r.cpu.regs[0] = 0x000c_0040;
    let icr = Op { disp: 0xfee0_0300, ..op() };
    // Another processor is behind: messages leave in the order of the clocks.
    r.bus.coherence.horizon = 50;
    let exchange = mov::xchg_mr::<u32, operand::Any>;
    assert_eq!(r.run(exchange, icr), Err(Flow::Order));
    assert_eq!((r.cpu.regs[0], r.bus.outbox.len()), (0x000c_0040, 0));
    r.bus.coherence.horizon = u64::MAX;
    assert_eq!(r.run(exchange, icr), Ok(()));
    assert_eq!((r.cpu.regs[0], r.bus.outbox.len()), (0, 1));
}
