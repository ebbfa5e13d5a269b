//! What lies behind a physical address or a port: RAM, the processor's own local
//! APIC, the I/O APIC, devices, or nothing.
//!
//! All that handlers share across processors is here, so that a handler sees one
//! processor and one bus. What concerns other processors (IPIs, PTE writes,
//! revoked write rights) is only noted; the machine acts on it before another
//! processor runs.

pub mod ram;

use crate::addr::Frame;
use crate::apic::{Effect, Ipi, Pin};
use crate::cache::{self, Coherence, Want};
use crate::cpu::op::{Flow, Op, Step};
use crate::cpu::word::Word;
use crate::cpu::{Cpu, Request};
use crate::device::{Devices, PortRead, PortWrite, io_apic};
use crate::ledger::Kind;
use crate::mmu::{self, Physical};
use crate::observe::{EventBuffer, Wanted, What};
use crate::oracle::{Oracle, Source};
use crate::stop::Stop;
use ram::Ram;
use shootdown_abi::{Activity, Counter, MARK_PORT, Mark};

/// How many pages the filling adversary remembers. Enough that a slot of a small window that is about to be
/// reused is still among them: a fill just before the PTE changes is what catches a flush done too early.
const TARGETS: usize = 64;

/// An IPI on its way out of a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The sender.
    pub from: usize,
    /// Cycle at which the ICR was written.
    pub sent: u64,
    /// The message.
    pub ipi: Ipi,
}

/// The end of a level-triggered interrupt on its way to the I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The processor that served it.
    pub from: usize,
    /// Cycle at which the EOI register was written.
    pub sent: u64,
    /// The vector.
    pub vector: u8,
}

/// A write to a frame with decoded code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CodeWrite {
    pub frame: Frame,
    /// First byte within the frame.
    pub offset: u32,
    /// In bytes.
    pub len: u32,
    /// When it was asked for.
    pub cycle: u64,
}

/// Memory, devices, oracle and notes to the machine.
#[derive(Clone)]
pub struct Bus {
    /// Guest memory.
    pub ram: Ram,
    /// Port devices.
    pub devices: Devices,
    /// Who has which cache line.
    pub(crate) coherence: Coherence,
    /// The stale-translation oracle.
    pub oracle: Oracle,
    /// Events for the observer.
    pub(crate) events: EventBuffer,
    /// Missing devices, addresses and MSRs end the run.
    pub strict: bool,
    /// Counters that the guest keeps, by [`Counter`].
    pub guest: [u64; Counter::ALL.len()],
    /// The machine has to look before the next operation (careful mode looks after each).
    pub(crate) attention: bool,
    pub(crate) outbox: Vec<Outgoing>,
    pub(crate) ends: Vec<End>,
    /// Writes to frames with decoded code.
    pub(crate) code_writes: Vec<CodeWrite>,
    /// Frames (as arena offsets) that became watched: no processor may write them unseen.
    pub(crate) revoked: Vec<usize>,
    /// Watched table frames that the guest declared free.
    pub(crate) freed_tables: Vec<Frame>,
    /// Linear pages that were recently mapped, changed or invalidated: where the adversary fills.
    pub(crate) targets: [u32; TARGETS],
    pub(crate) next_target: usize,
    /// The write of a PTE ends the translations that it makes wrong (`tlb.coherent=on`).
    pub(crate) coherent_tlbs: bool,
    /// The filling adversary is at work and wants to know its targets.
    pub(crate) aiming: bool,
    /// Counts what only a machine that gets on does (console output, operations): for the livelock watch.
    pub(crate) progress: u64,
}

impl Bus {
    /// An empty bus over `ram`.
    pub fn new(ram: Ram, coherence: Coherence, devices: Devices, strict: bool) -> Bus {
        let oracle = Oracle::new(ram.span());
        Bus {
            ram,
            coherence,
            devices,
            oracle,
            events: EventBuffer::default(),
            strict,
            guest: [0; Counter::ALL.len()],
            attention: false,
            outbox: Vec::new(),
            ends: Vec::new(),
            code_writes: Vec::new(),
            revoked: Vec::new(),
            freed_tables: Vec::new(),
            targets: [0; TARGETS],
            next_target: 0,
            coherent_tlbs: false,
            aiming: false,
            progress: 0,
        }
    }

    /// Reads `size` bytes (1, 2, 4) that lie within one page.
    pub fn read(&mut self, cpu: &mut Cpu, before: u16, t: Physical, size: u32) -> Result<u32, Flow> {
        if let Some(at) = t.at {
            cache::access(cpu, self, before, t, size, Want::Read)?;
            let bytes = self.ram.bytes();
            let v = match size {
                1 => u8::get(bytes, at).map(u32::from),
                2 => u16::get(bytes, at).map(u32::from),
                _ => u32::get(bytes, at),
            };
            return Ok(v.unwrap_or(u32::MAX));
        }
        cpu.need_care()?;
        if is_apic(cpu, t.pa) {
            let cost = cpu.costs.apic_access;
            cpu.charge(Kind::Apic, cost);
            let now = cpu.clock + u64::from(before);
            let value = cpu.apic.read(t.pa as u32 & 0xffc, now);
            let shifted = value >> (8 * (t.pa as u32 & 3));
            return Ok(if size == 4 { shifted } else { shifted & ((1 << (8 * size)) - 1) });
        }
        if is_io_apic(t.pa) {
            let cost = cpu.costs.io;
            cpu.charge(Kind::Apic, cost);
            let now = cpu.clock + u64::from(before);
            let value = self.devices.read_io_apic(t.pa as u32 & 0xffc, now) >> (8 * (t.pa as u32 & 3));
            self.attention |= self.devices.has_news();
            return Ok(if size == 4 { value } else { value & ((1 << (8 * size)) - 1) });
        }
        self.nothing_at(cpu, t.pa)?;
        Ok(u32::MAX >> (32 - 8 * size))
    }

    /// Writes `size` bytes (1, 2, 4) that lie within one page.
    pub fn write(&mut self, cpu: &mut Cpu, before: u16, t: Physical, size: u32, value: u32) -> Step {
        let Some(at) = t.at else { return self.write_device(cpu, before, t, size, value) };
        let frame = Frame((t.pa >> 12) as u32);
        if self.ram.is_rom(frame) {
            return Ok(());
        }
        let code = self.ram.holds_code(frame);
        if code {
            cpu.need_care()?;
        }
        let tables = self.ram.holds_tables(frame);
        let now = cpu.clock + u64::from(before);
        self.write_in_order(cpu, before, t)?;
        cache::access(cpu, self, before, t, size, Want::Write)?;
        self.put(at, size, value);
        if code {
            self.code_writes.push(CodeWrite { frame, offset: t.pa as u32 & 0xfff, len: size, cycle: now });
            self.coherence.shows_to_others(cpu, now);
            self.attention = true;
        }
        if tables {
            self.table_written(cpu, t.pa, size, now);
        }
        Ok(())
    }

    /// Puts a write at `t` off until all others have come to it, if it concerns them.
    pub(crate) fn write_in_order(&self, cpu: &mut Cpu, before: u16, t: Physical) -> Step {
        let now = cpu.clock + u64::from(before);
        if t.at.is_some() {
            let frame = Frame((t.pa >> 12) as u32);
            if self.ram.holds_tables(frame) || self.ram.holds_code(frame) {
                cache::in_order(cpu, self, now)?;
            }
        } else if is_apic(cpu, t.pa) {
            if cpu.apic.sends(t.pa as u32 & 0xfff) && now > self.coherence.horizon && !self.coherence.at_once
            {
                // Messages leave in the order of the clocks.
                return Err(Flow::Order);
            }
        } else if is_io_apic(t.pa) {
            cache::in_order(cpu, self, now)?;
        }
        Ok(())
    }

    /// Runs the part of an operation that changes things one after the other. It is not begun twice, so nothing in it is
    /// put off: a probe, or [`Bus::write_in_order`], has waited before it.
    pub(crate) fn at_once<T>(&mut self, f: impl FnOnce(&mut Bus) -> T) -> T {
        let before = std::mem::replace(&mut self.coherence.at_once, true);
        let result = f(self);
        self.coherence.at_once = before;
        result
    }

    /// Writes `size` bytes of RAM at an arena offset, past every watch.
    #[inline]
    pub(crate) fn put(&mut self, at: usize, size: u32, value: u32) {
        let bytes = self.ram.bytes_mut();
        match size {
            1 => (value as u8).put(bytes, at),
            2 => (value as u16).put(bytes, at),
            _ => value.put(bytes, at),
        };
    }

    fn table_written(&mut self, cpu: &mut Cpu, pa: u64, size: u32, now: u64) {
        let own = 1u64 << (cpu.id & 63);
        for mut w in self.oracle.table_written(cpu.id, pa, size, now).into_iter().flatten() {
            if let Some(l) = w.linear {
                self.aim(l);
            }
            if w.holders & own != 0 {
                mmu::recheck(cpu, self, &mut w);
            }
            if w.holders & !own != 0 {
                self.coherence.shows_to_others(cpu, now);
                self.oracle.writes.push(w);
            }
        }
    }

    /// Notes a linear address as a target for speculative fills.
    pub(crate) fn aim(&mut self, lin: u32) {
        let page = lin & !0xfff;
        if self.aiming && !self.targets.contains(&page) {
            self.targets[self.next_target % TARGETS] = page;
            self.next_target = (self.next_target + 1) % TARGETS;
        }
    }

    fn write_device(&mut self, cpu: &mut Cpu, before: u16, t: Physical, size: u32, value: u32) -> Step {
        cpu.need_care()?;
        self.write_in_order(cpu, before, t)?;
        let pa = t.pa;
        if is_apic(cpu, pa) {
            let cost = cpu.costs.apic_access;
            cpu.charge(Kind::Apic, cost);
            let now = cpu.clock + u64::from(before);
            // The APIC takes aligned dwords; parts of one are not defined and are ignored.
            if size == 4 && pa & 3 == 0 {
                self.attention = true;
                match cpu.apic.write(pa as u32 & 0xffc, value, now) {
                    Effect::Send(ipi) => self.outbox.push(Outgoing { from: cpu.id, sent: now, ipi }),
                    Effect::Eoi(vector) if cpu.apic.is_level(vector) => {
                        self.ends.push(End { from: cpu.id, sent: now, vector });
                    }
                    Effect::None | Effect::Eoi(_) | Effect::TimerChanged => {}
                }
            }
            return Ok(());
        }
        if is_io_apic(pa) {
            let cost = cpu.costs.io;
            cpu.charge(Kind::Apic, cost);
            // Registers are dwords; of the index a byte is enough.
            if pa & 3 == 0 {
                self.devices.write_io_apic(pa as u32 & 0xffc, value, cpu.clock + u64::from(before));
                self.attention |= self.devices.has_news();
            }
            return Ok(());
        }
        self.nothing_at(cpu, pa)
    }

    /// The processor takes an interrupt of the 8259 pair: a bus cycle to it, which gives the vector.
    pub(crate) fn acknowledge_8259(&mut self, cpu: &mut Cpu) -> u8 {
        let cost = cpu.costs.io;
        cpu.charge(Kind::Interrupt, cost);
        let vector = self.devices.acknowledge(cpu.clock);
        self.attention |= self.devices.has_news();
        vector
    }

    /// After an access of its own a processor finds a line that has fallen low at once; one that rises takes its time.
    fn follow_lines(&mut self, cpu: &mut Cpu) {
        if self.devices.has_news() {
            self.attention = true;
        }
        if !self.devices.interrupt() {
            cpu.apic.set_pin(Pin::Lint0, false);
        }
    }

    fn nothing_at(&mut self, cpu: &mut Cpu, pa: u64) -> Step {
        cpu.count.empty_addresses += 1;
        if self.strict {
            cpu.request = Some(Request::Stop(Stop::EmptyAddress { cpu: cpu.id, at: 0, address: pa }));
            return Err(Flow::Request);
        }
        Ok(())
    }

    /// A walk used the table or PTE at `pa` for `lin`: watch its frame, remember who holds what.
    pub(crate) fn watch_table(&mut self, cpu: &mut Cpu, pa: u64, lin: u32, source: Source, pae: bool) {
        if self.oracle.used_entry(cpu.id, pa, lin, source, pae) {
            let frame = Frame((pa >> 12) as u32);
            if self.ram.watch_tables(frame)
                && let Some(slot) = self.ram.offset(frame)
            {
                cpu.mmu.revoke_write(slot);
                self.revoked.push(slot);
            }
        }
    }

    /// A walk read a table at `pa`: it must not lie in a frame that the guest has declared free.
    #[inline]
    pub(crate) fn walked(&mut self, cpu: &mut Cpu, pa: u64, lin: u32, now: u64) {
        let frame = Frame((pa >> 12) as u32);
        if self.ram.is_free(frame) {
            self.oracle.walked_freed(cpu.id, &mut cpu.count, &mut self.events, frame.0, lin, now);
        }
    }

    /// Reads a port of `size` bytes.
    pub fn port_in(&mut self, cpu: &mut Cpu, op: &Op, port: u16, size: u32) -> Result<u32, Flow> {
        let cost = cpu.costs.io;
        cpu.charge(Kind::System, cost);
        match self.devices.read(port, size, cpu.now(op)) {
            PortRead::Value(v) => {
                self.follow_lines(cpu);
                Ok(v)
            }
            PortRead::Empty => {
                self.nothing_at_port(cpu, op, port)?;
                Ok(u32::MAX >> (32 - 8 * size))
            }
        }
    }

    /// FERR# of a processor is raised or falls. The board has wired that of the bootstrap processor.
    pub(crate) fn numeric_error(&mut self, cpu: &mut Cpu, op: &Op, raised: bool) {
        if cpu.id == 0 {
            self.devices.numeric_error(raised, cpu.now(op));
            self.follow_lines(cpu);
        }
    }

    /// Does IGNNE# tell the processor to go on in spite of an error of its x87 unit?
    pub(crate) fn ignores_numeric_errors(&self, cpu: &Cpu) -> bool {
        cpu.id == 0 && self.devices.ignores_numeric_errors()
    }

    /// Writes a port of `size` bytes. Marks are free; others cost an I/O access.
    pub fn port_out(&mut self, cpu: &mut Cpu, op: &Op, port: u16, size: u32, value: u32) -> Step {
        if port == MARK_PORT && size == 4 {
            return self.mark(cpu, op, value);
        }
        // It may end the run.
        let now = cpu.now(op);
        cache::in_order(cpu, self, now)?;
        self.coherence.shown = (self.coherence.shows_at(now), cpu.id);
        self.events.push(Wanted::PORTS, cpu.id, now, What::PortWrite { port, size: size as u8, value });
        let cost = cpu.costs.io;
        cpu.charge(Kind::System, cost);
        match self.devices.write(port, size, value, cpu.now(op)) {
            PortWrite::Done => {
                self.progress += 1;
                self.follow_lines(cpu);
                Ok(())
            }
            PortWrite::Reset => {
                let at = cpu.this_eip(op).wrapping_add(cpu.seg[1].base);
                cpu.ask(op, Request::Stop(Stop::Reset { cpu: cpu.id, at, port }))
            }
            PortWrite::Exit(v) => cpu.ask(op, Request::Stop(Stop::Exit(v))),
            PortWrite::Empty => self.nothing_at_port(cpu, op, port),
        }
    }

    fn nothing_at_port(&mut self, cpu: &mut Cpu, op: &Op, port: u16) -> Step {
        cpu.count.empty_ports += 1;
        if self.strict {
            let at = cpu.this_eip(op).wrapping_add(cpu.seg[1].base);
            cpu.request = Some(Request::Stop(Stop::EmptyPort { cpu: cpu.id, at, port }));
            return Err(Flow::Request);
        }
        Ok(())
    }

    /// A mark of the guest: costs nothing.
    fn mark(&mut self, cpu: &mut Cpu, op: &Op, word: u32) -> Step {
        let payload = word & 0x00ff_ffff;
        let Some(mark) = Mark::from_code((word >> 24) as u8) else { return Ok(()) };
        let now = cpu.now(op);
        let looks_at_all = matches!(mark, Mark::RoiBegin | Mark::RoiEnd);
        if looks_at_all || matches!(mark, Mark::FrameFreed | Mark::FrameUsed | Mark::SlotGiven) {
            // The oracle judges what others do by it.
            cache::in_order(cpu, self, now)?;
        }
        if looks_at_all {
            self.coherence.shown = (self.coherence.shows_at(now), cpu.id);
        }
        match mark {
            Mark::Activity => {
                if let Some(a) = Activity::from_code(payload as u8) {
                    cpu.marked = a;
                    if cpu.cpl != 3 {
                        cpu.ledger.switch(a, now);
                    }
                }
            }
            Mark::FrameFreed => {
                let frame = Frame(payload);
                self.ram.set_free(frame, true);
                self.oracle.frame_freed(frame);
                if self.ram.holds_tables(frame) {
                    self.freed_tables.push(frame);
                }
            }
            Mark::FrameUsed => self.ram.set_free(Frame(payload), false),
            Mark::SlotGiven => {
                self.oracle.slot_given(payload & 0xf_ffff);
                self.aim(payload << 12);
            }
            Mark::Count => {
                if let Some(c) = Counter::from_code((payload >> 16) as u8) {
                    self.guest[c as usize] += u64::from(payload & 0xffff);
                    self.progress += u64::from(matches!(c, Counter::Operations | Counter::Kmaps));
                }
            }
            Mark::RoiBegin | Mark::RoiEnd => {
                self.events.push(Wanted::MARKS, cpu.id, now, What::Mark(mark, payload));
                return cpu.ask(op, Request::Mark(mark, payload));
            }
            _ => {}
        }
        self.events.push(Wanted::MARKS, cpu.id, now, What::Mark(mark, payload));
        Ok(())
    }
}

fn is_io_apic(pa: u64) -> bool {
    pa & !0xfff == io_apic::BASE
}

fn is_apic(cpu: &Cpu, pa: u64) -> bool {
    pa & !0xfff == cpu.msr.apic_base & 0xf_ffff_f000 && cpu.msr.apic_base & 1 << 11 != 0
}
