//! One processor: registers, segment registers, TLBs, local APIC, clock.
//!
//! ```text
//!  decode.rs   bytes -> block of operations (once)
//!  run.rs      the loop over blocks and operations; clock and interrupts
//!  memory.rs   loads and stores: fast path in front of the TLB model
//!  exec/       the handlers, by group
//!  segment.rs, exception.rs, flags.rs, word.rs, op.rs   the data they share
//! ```
//!
//! Time: within a block the processor's clock stands at the block's start;
//! [`Cpu::now`] adds the static cost of the operations before the current one.
//! Dynamic costs (walks, `invlpg`, APIC accesses) go to the clock at once through
//! [`Cpu::charge`]. The static cost is added when the block is left.

pub mod block;
pub mod debug;
pub mod decode;
pub mod exception;
pub mod exec;
pub mod flags;
pub mod memory;
pub mod op;
pub mod run;
pub mod segment;
mod spin;
pub mod word;
pub mod x87;

use crate::apic::LocalApic;
use crate::bus::Bus;
use crate::cache::Private;
use crate::cost::Costs;
use crate::ledger::{Kind, Ledger};
use crate::mmu::Mmu;
use crate::observe::{Wanted, What};
use crate::stats::Counters;
use crate::stop::Stop;
use debug::Debug;
use exception::Exception;
use flags::Flags;
use op::{Flow, Op};
use segment::{Segment, attr};
use shootdown_abi::{Activity, Mark};

/// General registers in encoding order.
pub mod reg {
    /// EAX.
    pub const EAX: usize = 0;
    /// ECX.
    pub const ECX: usize = 1;
    /// EDX.
    pub const EDX: usize = 2;
    /// EBX.
    pub const EBX: usize = 3;
    /// ESP.
    pub const ESP: usize = 4;
    /// EBP.
    pub const EBP: usize = 5;
    /// ESI.
    pub const ESI: usize = 6;
    /// EDI.
    pub const EDI: usize = 7;
}

/// CR0 bits.
pub mod cr0 {
    /// Protected mode.
    pub const PE: u32 = 1;
    /// Monitor coprocessor.
    pub const MP: u32 = 2;
    /// Emulate coprocessor.
    pub const EM: u32 = 4;
    /// Task switched.
    pub const TS: u32 = 8;
    /// Extension type, always one.
    pub const ET: u32 = 16;
    /// Numeric error.
    pub const NE: u32 = 32;
    /// Write protect also in ring 0.
    pub const WP: u32 = 1 << 16;
    /// Alignment mask.
    pub const AM: u32 = 1 << 18;
    /// Not write-through.
    pub const NW: u32 = 1 << 29;
    /// Cache disable.
    pub const CD: u32 = 1 << 30;
    /// Paging.
    pub const PG: u32 = 1 << 31;
}

/// CR4 bits.
pub mod cr4 {
    /// Virtual-8086 extensions.
    pub const VME: u32 = 1;
    /// Protected-mode virtual interrupts.
    pub const PVI: u32 = 2;
    /// RDTSC only in ring 0.
    pub const TSD: u32 = 4;
    /// Debugging extensions.
    pub const DE: u32 = 8;
    /// 4 MiB pages.
    pub const PSE: u32 = 16;
    /// Physical address extension.
    pub const PAE: u32 = 32;
    /// Machine check.
    pub const MCE: u32 = 64;
    /// Global pages.
    pub const PGE: u32 = 128;
    /// RDPMC in all rings.
    pub const PCE: u32 = 256;
    /// FXSAVE, SSE.
    pub const OSFXSR: u32 = 512;
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Linear base address.
    pub base: u32,
    /// Limit in bytes, inclusive.
    pub limit: u16,
}

/// What the processor does between instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Executes instructions.
    Running,
    /// After `hlt`: wakes by an interrupt.
    Halted,
    /// After INIT: wakes by a start-up IPI.
    WaitForSipi,
    /// Triple fault: nothing wakes it.
    Shutdown,
}

/// Why a handler asked the machine to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `hlt`.
    Halt,
    /// The run ends.
    Stop(Stop),
    /// A mark that the machine acts on (region of interest).
    Mark(Mark, u32),
    /// Nothing in particular.
    Look,
}

/// Model-specific registers that are plain storage.
#[derive(Clone, Debug, Default)]
pub struct Msrs {
    /// IA32_APIC_BASE.
    pub apic_base: u64,
    /// Added to the clock to give the time-stamp counter.
    pub tsc_offset: u64,
    /// IA32_SYSENTER_CS, _ESP, _EIP.
    pub sysenter: [u32; 3],
    /// MTRRs and other storage, by number.
    pub stored: std::collections::BTreeMap<u32, u64>,
}

/// Interrupts are not off in ring 0.
pub(crate) const NOT_OFF: u64 = u64::MAX;

/// One processor.
#[derive(Clone)]
pub struct Cpu {
    /// General registers 0..8; 8 is always zero (no base, no index); the rest is padding for masked indexing.
    pub regs: [u32; 16],
    /// Instruction pointer: at the start of the current block while a block runs.
    pub eip: u32,
    /// EFLAGS.
    pub flags: Flags,
    /// ES, CS, SS, DS, FS, GS, the flat pseudo segment, padding.
    pub seg: [Segment; 8],
    /// Clock at the start of the current block plus dynamic costs since, in cycles.
    pub clock: u64,
    /// The translation model with its fast front.
    pub mmu: Mmu,
    /// The private data caches; `None` where only hits are charged.
    pub(crate) cache: Option<Box<Private>>,
    /// Current privilege level, 0..=3.
    pub cpl: u8,
    /// Within a block: run again in careful mode is not needed (see `run.rs`).
    pub(crate) careful: bool,
    /// Static cost of the current block.
    pub(crate) block_cost: u32,
    /// Earliest cycle at which something arrives here (timer, IPI).
    pub(crate) event_at: u64,
    /// End of the current slice: a repeated string instruction pauses there.
    pub(crate) slice_end: u64,
    /// Until then an access waits for the processors that come before it; 0: none does.
    pub(crate) order_until: u64,
    /// The exception behind `Flow::Fault`.
    pub fault: Option<Exception>,
    /// What is behind `Flow::Request`.
    pub request: Option<Request>,
    /// Interrupts are held off until the end of the next instruction (after `sti`, `mov ss`, `pop ss`).
    pub shadow: bool,
    /// Number, 0-based.
    pub id: usize,
    /// CR0, CR2, CR3, CR4.
    pub cr0: u32,
    /// Page-fault linear address.
    pub cr2: u32,
    /// Page-directory base.
    pub cr3: u32,
    /// Control register 4.
    pub cr4: u32,
    /// Debug registers.
    pub dr: [u32; 8],
    /// What the debug registers ask for, and what of it is pending.
    pub(crate) debug: Debug,
    /// Clock at which a repeated string instruction was last left unfinished.
    pub(crate) repeated_at: u64,
    /// GDTR.
    pub gdtr: Table,
    /// IDTR.
    pub idtr: Table,
    /// LDTR.
    pub ldtr: Segment,
    /// Task register.
    pub tr: Segment,
    /// The x87 unit.
    pub fpu: Box<x87::Fpu>,
    /// FERR#: the unit reports an exception to the board, CR0.NE being clear.
    pub(crate) ferr: bool,
    /// MSRs.
    pub msr: Msrs,
    /// Running, halted, ...
    pub state: State,
    /// The local APIC.
    pub apic: LocalApic,
    /// Since when ring 0 runs without interrupts; [`NOT_OFF`]: they are on, or it is another ring.
    pub(crate) irqs_off_at: u64,
    /// Pending NMI.
    pub nmi: bool,
    /// An NMI is being served: the next one waits for an `iret`.
    pub nmi_blocked: bool,
    /// That next one.
    pub nmi_held: bool,
    /// Counters.
    pub count: Counters,
    /// Where the cycles went.
    pub ledger: Ledger,
    /// The kernel's activity as last marked; holds while CPL < 3.
    pub marked: Activity,
    /// Costs in cycles.
    pub costs: Costs,
    /// What CPUID answers; see [`Cpu::identify`].
    pub identity: exec::cpuid::Identity,
    /// Counts segment loads, so that the loop knows when to compute the decoding mode again.
    pub(crate) segment_changes: u64,
}

impl Cpu {
    /// Clock as of the beginning of `op`, in cycles.
    #[inline(always)]
    pub fn now(&self, op: &Op) -> u64 {
        self.clock + u64::from(op.before)
    }

    /// Charges dynamic cycles.
    #[inline]
    pub fn charge(&mut self, kind: Kind, cycles: u32) {
        self.clock += u64::from(cycles);
        self.ledger.add(kind, u64::from(cycles));
    }

    /// After a dynamic charge in the middle of a block: if an event may now fall within the rest of the
    /// block, the operation is run again in careful mode.
    #[inline]
    pub fn settle(&self) -> Result<(), Flow> {
        if !self.careful && self.clock + u64::from(self.block_cost) >= self.event_at {
            return Err(Flow::Careful);
        }
        Ok(())
    }

    /// Outside careful mode, asks for it: the operation must not have changed anything yet.
    #[inline]
    pub fn need_care(&self) -> Result<(), Flow> {
        if self.careful { Ok(()) } else { Err(Flow::Careful) }
    }

    /// Raises an exception: for `return cpu.raise(...)` or `?`.
    #[cold]
    pub fn raise<T>(&mut self, e: Exception) -> Result<T, Flow> {
        self.fault = Some(e);
        Err(Flow::Fault)
    }

    /// Address of the next instruction, as offset in CS (cut to 16 bits by 16-bit code in the caller).
    #[inline(always)]
    pub fn next_eip(&self, op: &Op) -> u32 {
        self.eip.wrapping_add(u32::from(op.at) + u32::from(op.len))
    }

    /// Address of this instruction.
    #[inline(always)]
    pub fn this_eip(&self, op: &Op) -> u32 {
        self.eip.wrapping_add(u32::from(op.at))
    }

    /// Ends the block after this operation, which is complete: `eip` becomes the next instruction.
    #[inline]
    pub fn end_block(&mut self, op: &Op) -> Result<(), Flow> {
        self.eip = self.next_eip(op);
        Err(Flow::Branch)
    }

    /// Ends the block after this complete operation and asks the machine to look.
    pub fn ask(&mut self, op: &Op, request: Request) -> Result<(), Flow> {
        self.eip = self.next_eip(op);
        self.request = Some(request);
        Err(Flow::Request)
    }

    /// Protected mode?
    pub fn protected(&self) -> bool {
        self.cr0 & cr0::PE != 0
    }

    /// Virtual-8086 mode?
    pub fn v86(&self) -> bool {
        self.flags.rest & flags::VM != 0
    }

    /// Code runs with real-mode segments (real or virtual-8086 mode)?
    pub fn real_segments(&self) -> bool {
        !self.protected() || self.v86()
    }

    /// Changes the privilege level at cycle `now`: rights in the front array, and ring 3 is the ledger's `User`.
    pub fn set_cpl(&mut self, cpl: u8, now: u64) {
        if (self.cpl == 3) != (cpl == 3) {
            self.ledger.switch(if cpl == 3 { Activity::User } else { self.marked }, now);
            self.mmu.forget_fetch();
        }
        self.cpl = cpl;
        self.mmu.set_privilege(cpl);
        self.review_debug();
    }

    /// IF or the ring may have changed at cycle `now`: a stretch without interrupts in ring 0 begins, or ends and is told. Instructions
    /// that change either end their block, so that nobody asks in between.
    pub(crate) fn review_interrupts(&mut self, bus: &mut Bus, now: u64) {
        let off = self.cpl == 0 && !self.flags.interrupts();
        if off == (self.irqs_off_at != NOT_OFF) {
            return;
        }
        let off_at = std::mem::replace(&mut self.irqs_off_at, if off { now } else { NOT_OFF });
        if !off {
            bus.events.push(Wanted::INTERRUPTS, self.id, now, What::InterruptsOn { off_at });
        }
    }

    /// The same after an instruction: it counts from its end.
    pub(crate) fn review_interrupts_after(&mut self, bus: &mut Bus, op: &Op) {
        let end = self.now(op) + u64::from(op.cost);
        self.review_interrupts(bus, end);
    }

    /// Replaces a segment register's content (CPL is set apart).
    pub fn set_segment(&mut self, number: u8, s: Segment) {
        self.segment_changes += 1;
        self.seg[(number & 7) as usize] = s;
        if number == op::CS {
            self.mmu.forget_fetch();
        }
    }

    /// Decoding mode of the code at CS:EIP.
    pub fn mode(&self) -> block::Mode {
        let mut m = block::Mode::empty();
        if self.seg[op::CS as usize].big() {
            m |= block::Mode::CODE32;
        }
        if self.seg[op::SS as usize].big() {
            m |= block::Mode::STACK32;
        }
        let flat = |n: u8| self.seg[n as usize].is_flat_data();
        let cs = &self.seg[op::CS as usize];
        // Under breakpoints nothing runs in the fast lane.
        let free = !self.debug.armed();
        if free && flat(op::DS) && flat(op::ES) && flat(op::SS) && cs.base == 0 && cs.read_end == u32::MAX - 2
        {
            m |= block::Mode::FLAT;
        }
        if self.real_segments() {
            m |= block::Mode::REAL;
        }
        m
    }

    /// State after RESET (SDM vol. 3A, "Processor State After Reset"); `bsp` runs, the others wait for SIPI.
    pub fn new(id: usize, apic: LocalApic, mmu: Mmu, costs: Costs, bsp: bool) -> Cpu {
        let data = Segment::real(0);
        let mut cpu = Cpu {
            regs: [0; 16],
            eip: 0xfff0,
            flags: Flags::default(),
            seg: [data; 8],
            clock: 0,
            mmu,
            cache: None,
            cpl: 0,
            careful: false,
            block_cost: 0,
            event_at: u64::MAX,
            slice_end: u64::MAX,
            order_until: 0,
            fault: None,
            request: None,
            shadow: false,
            id,
            cr0: cr0::ET | cr0::CD | cr0::NW,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            dr: [0, 0, 0, 0, 0, 0, 0xffff_0ff0, 0x400],
            debug: Debug::default(),
            repeated_at: u64::MAX,
            gdtr: Table { base: 0, limit: 0xffff },
            idtr: Table { base: 0, limit: 0xffff },
            ldtr: Segment::new(0, 0, 0xffff, attr::PRESENT | 2),
            tr: Segment::new(0, 0, 0xffff, attr::PRESENT | 11),
            fpu: Box::default(),
            ferr: false,
            msr: Msrs { apic_base: 0xfee0_0000 | 1 << 11 | if bsp { 1 << 8 } else { 0 }, ..Msrs::default() },
            state: if bsp { State::Running } else { State::WaitForSipi },
            apic,
            irqs_off_at: if bsp { 0 } else { NOT_OFF },
            nmi: false,
            nmi_blocked: false,
            nmi_held: false,
            count: Counters::default(),
            ledger: Ledger::default(),
            marked: if bsp { Activity::Kernel } else { Activity::Idle },
            costs,
            identity: exec::cpuid::Identity::default(),
            segment_changes: 0,
        };
        if !bsp {
            cpu.ledger.switch(Activity::Idle, 0);
        }
        cpu.flags.set(0);
        cpu.seg[op::CS as usize] = Segment::new(
            0xf000,
            0xffff_0000,
            0xffff,
            attr::PRESENT | attr::S | attr::CODE | attr::RW | attr::ACCESSED,
        );
        cpu.seg[op::FLAT as usize] = Segment::flat(0, attr::PRESENT | attr::S | attr::RW | attr::ACCESSED);
        cpu
    }
}
