//! What a batch of cases has in common: descriptors, gates, pages, and the memory's first content.
//!
//! ```text
//!  GDT  1-5   the harness, TSS, LDT          linear  0001_0000  low window, 32 pages
//!       6-13  code, by ring and size                 0800_0000  windows, a page table each:
//!      14-21  stacks, by ring and size                          all rights, read-only, supervisor,
//!      22-24  TSS, task gate, double fault
//!      25-47  anything                                          one large page, nothing
//! ```
//!
//! Without paging cases are held in the arena by the limits of their segments.

use super::harness::{Harness, NARROW, VECTORS};
use super::layout::{
    ARENA, ARENA_BYTES, FAULT_TSS, IDENTITY, IDT, IMAGE, IMAGE_BYTES, MEMORY, OPERAND_COUNT, OPERANDS,
    PRISTINE, STACK_TOP, VARS, arena, selector, var,
};
use super::{Mode, Paging};
use crate::random::Random;

/// Linear address of the windows.
pub const WINDOWS: u32 = 0x800_0000;
/// Pages of a window that are mapped.
pub const WINDOW_PAGES: u32 = 32;
/// Linear address of the low window, for virtual-8086 mode.
pub const LOW: u32 = 0x1_0000;
/// First page of three in a window that are data, present, writable and the user's.
pub const GOOD: u32 = 4;

mod bit {
    pub const P: u32 = 1;
    pub const RW: u32 = 2;
    pub const US: u32 = 4;
    pub const A: u32 = 32;
    pub const D: u32 = 64;
    pub const PS: u32 = 128;
    pub const ALL: u32 = P | RW | US | A | D;
}

/// A descriptor taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Its selector, RPL 0.
    pub selector: u32,
    /// Linear base.
    pub base: u32,
    /// Limit in bytes.
    pub limit: u32,
    /// Type with S as bit 4.
    pub kind: u32,
    /// DPL.
    pub dpl: u32,
    /// Present.
    pub present: bool,
    /// B or D.
    pub big: bool,
}

impl Segment {
    fn encode(&self) -> u64 {
        let (limit, granular) =
            if self.limit > 0xf_ffff { (self.limit >> 12, 1) } else { (self.limit, 0u64) };
        let (base, limit) = (u64::from(self.base), u64::from(limit));
        limit & 0xffff
            | (base & 0xff_ffff) << 16
            | u64::from(self.kind) << 40
            | u64::from(self.dpl) << 45
            | u64::from(self.present) << 47
            | (limit >> 16) << 48
            | u64::from(self.big) << 54
            | granular << 55
            | (base >> 24) << 56
    }

    fn is_data(&self) -> bool {
        self.kind & 0x18 == 0x10
    }

    /// A data segment that grows down?
    pub fn grows_down(&self) -> bool {
        self.is_data() && self.kind & 4 != 0
    }

    /// May DS, ES, FS and GS be loaded with it in ring 0?
    pub fn loadable(&self) -> bool {
        self.present && self.kind & 0x10 != 0 && (self.is_data() || self.kind & 2 != 0)
    }
}

/// A call or interrupt gate.
fn gate(kind: u32, dpl: u32, present: bool, selector: u32, offset: u32, parameters: u32) -> u64 {
    let (offset, selector) = (u64::from(offset), u64::from(selector));
    offset & 0xffff
        | selector << 16
        | u64::from(parameters) << 32
        | u64::from(kind) << 40
        | u64::from(dpl) << 45
        | u64::from(present) << 47
        | (offset >> 16) << 48
}

/// A batch.
pub struct Batch {
    /// How the processor runs.
    pub mode: Mode,
    /// How addresses are translated.
    pub paging: Paging,
    /// Memory from [`IMAGE`].
    pub image: Vec<u8>,
    /// Segments of the GDT from 6 on, then those of the LDT.
    pub segments: Vec<Segment>,
    /// Every selector that names something, RPL 0.
    pub selectors: Vec<u32>,
    /// CR3.
    pub cr3: u32,
    /// CR4 but for what a case adds.
    pub cr4: u32,
}

impl Batch {
    /// The batch that follows from the random numbers.
    pub fn new(random: &mut Random, mode: Mode, harness: &Harness) -> Batch {
        let paging = match mode {
            Mode::Protected16 | Mode::Mixed if random.below(2) == 0 => Paging::Off,
            _ => [Paging::Small, Paging::Large, Paging::Large, Paging::Pae][random.below(4) as usize],
        };
        let mut batch = Batch {
            mode,
            paging,
            image: vec![0; IMAGE_BYTES],
            segments: Vec::new(),
            selectors: Vec::new(),
            cr3: 0,
            cr4: match paging {
                Paging::Off | Paging::Small => 0,
                Paging::Large => 0x10,
                Paging::Pae => 0x30,
            },
        };
        batch.image[..harness.code.len()].copy_from_slice(&harness.code);
        batch.pages(random);
        batch.descriptors(random, harness);
        batch.gates(random, harness);
        batch.frames(random);
        batch.variables();
        batch
    }

    fn put(&mut self, at: u32, bytes: &[u8]) {
        let at = (at - IMAGE) as usize;
        self.image[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn put32(&mut self, at: u32, v: u32) {
        self.put(at, &v.to_le_bytes());
    }

    fn put64(&mut self, at: u32, v: u64) {
        self.put(at, &v.to_le_bytes());
    }

    /// Bytes of a window.
    pub fn window_bytes(&self) -> u32 {
        if self.paging == Paging::Pae { 0x20_0000 } else { 0x40_0000 }
    }

    /// Linear address of the code pages.
    pub fn code(&self) -> u32 {
        match (self.mode, self.paging) {
            (_, Paging::Off) => ARENA + arena::CODE,
            (Mode::V86, _) => LOW,
            _ => WINDOWS,
        }
    }

    /// Linear address of three pages of data where nothing faults.
    pub fn data(&self) -> u32 {
        match (self.mode, self.paging) {
            (_, Paging::Off) => ARENA + arena::DATA,
            (Mode::V86, _) => LOW + 0x1000 * GOOD,
            _ => WINDOWS + 0x1000 * GOOD,
        }
    }

    /// Writes entry `n` of a table in the arena.
    fn entry(&mut self, table: u32, n: u32, low: u32, high: u32) {
        let at = PRISTINE + table;
        if self.paging == Paging::Pae {
            self.put64(at + 8 * n, u64::from(low) | u64::from(high) << 32);
        } else {
            self.put32(at + 4 * n, low);
        }
    }

    fn pages(&mut self, random: &mut Random) {
        if self.paging == Paging::Off {
            return;
        }
        let pae = self.paging == Paging::Pae;
        let per_table = if pae { 512 } else { 1024 };
        for page in 0..MEMORY >> 12 {
            let v = page << 12 | bit::P | bit::RW | bit::A | bit::D;
            // Nothing but the harness and the arena: what lies elsewhere is not the same on all machines.
            let at = page << 12;
            let mapped = (IMAGE..IMAGE + IMAGE_BYTES as u32).contains(&at)
                || (ARENA..ARENA + ARENA_BYTES).contains(&at);
            let v = if mapped { v } else { 0 };
            if page < per_table {
                self.entry(arena::TABLES, page, v, 0);
            } else if pae {
                self.put64(IDENTITY + 8 * page, u64::from(v));
            } else {
                self.put32(IDENTITY + 4 * page, v);
            }
        }
        for table in 0..(MEMORY >> 12) / per_table {
            let at = if table == 0 { ARENA + arena::TABLES } else { IDENTITY + 0x1000 * table };
            self.entry(arena::DIRECTORY, table, at | bit::ALL, 0);
        }
        for (table, first) in [(0, LOW >> 12), (1, 0), (2, 0), (3, 0)] {
            for page in 0..WINDOW_PAGES {
                let (low, high) = self.page(random, page);
                self.entry(arena::TABLES + 0x1000 * table, first + page, low, high);
            }
        }
        let first = WINDOWS / self.window_bytes();
        let accessed = |random: &mut Random| if random.below(2) == 0 { bit::A } else { 0 };
        for (n, rights) in [bit::RW | bit::US, bit::US, bit::RW].into_iter().enumerate() {
            let n = n as u32;
            let v = (ARENA + arena::TABLES + 0x1000 * (n + 1)) | bit::P | rights | accessed(random);
            self.entry(arena::DIRECTORY, first + n, v, 0);
        }
        let rights = (random.below(4) * bit::RW) | ((random.below(4)) << 5);
        self.entry(arena::DIRECTORY, first + 3, ARENA | bit::P | bit::PS | rights, 0);
        if pae && random.below(8) == 0 {
            // A reserved bit of a large page; without PAE it may be one of PSE-36.
            self.entry(arena::DIRECTORY, first + 3, ARENA | bit::P | bit::PS | rights | 1 << 20, 0);
        }
        self.cr3 = ARENA + if pae { arena::POINTERS } else { arena::DIRECTORY };
        if pae {
            self.put64(PRISTINE + arena::POINTERS, u64::from(ARENA + arena::DIRECTORY) | 1);
        }
    }

    /// An entry for a page of a window.
    fn page(&mut self, random: &mut Random, page: u32) -> (u32, u32) {
        let r = random.next() as u32;
        let dirty = r & (bit::A | bit::D);
        let v = match page {
            // Code, which can be run.
            0..=2 => (ARENA + arena::CODE + 0x1000 * (page & 1)) | bit::P | bit::US | r & bit::RW | dirty,
            GOOD..=6 => (ARENA + arena::DATA + 0x1000 * (page - GOOD)) | bit::P | bit::RW | bit::US | dirty,
            _ => {
                let frame = ARENA + 0x1000 * (r >> 16) % arena::FRAMES;
                let rights =
                    if r >> 8 & 3 == 0 { 0 } else { bit::US } | if r >> 10 & 3 < 2 { 0 } else { bit::RW };
                let present = if r >> 12 & 7 == 0 { 0 } else { bit::P };
                // The caches' bits mean nothing here.
                frame & !0xfff | rights | present | dirty | r >> 3 & 0x18
            }
        };
        // Beyond 40 bits: reserved on all of them.
        let high = if page > 6 && random.below(16) == 0 { 1 << (8 + random.below(23)) } else { 0 };
        (v, high)
    }

    fn add(&mut self, s: Segment) {
        let table = if s.selector & 4 != 0 { arena::LDT } else { arena::GDT };
        self.put64(PRISTINE + table + (s.selector & !7), s.encode());
        self.segments.push(s);
        self.selectors.push(s.selector);
    }

    fn descriptors(&mut self, random: &mut Random, harness: &Harness) {
        let flat = |kind: u64, base: u64, limit: u64| {
            limit & 0xffff | (limit >> 16) << 48 | kind << 40 | base << 16 | 0x00c0_0000_0000_0000
        };
        let system = |base: u32, limit: u32, kind: u32| {
            let s = Segment { selector: 0, base, limit, kind, dpl: 0, present: true, big: false };
            s.encode()
        };
        let gdt = PRISTINE + arena::GDT;
        self.put64(gdt + selector::CODE, flat(0x9b, 0, 0xf_ffff));
        self.put64(gdt + selector::DATA, flat(0x93, 0, 0xf_ffff));
        self.put64(gdt + selector::TSS, system(ARENA + arena::TSS, 0x67, 11));
        self.put64(gdt + selector::LDT, system(ARENA + arena::LDT, 8 * arena::LDT_ENTRIES - 1, 2));
        self.put64(gdt + selector::LOW_CODE, flat(0x9b, u64::from(IMAGE), 0xf));
        self.selectors = vec![0, selector::CODE, selector::DATA, selector::TSS, selector::LDT];
        let is_flat = matches!(self.mode, Mode::Ring0 | Mode::Ring3);
        for n in 0..8 {
            let (dpl, big) = (n / 2, n % 2 == 1);
            let delta = random.below(0x40);
            let last = if random.below(2) == 0 { 0xfff } else { 0x1fff };
            let (base, limit) =
                if is_flat && big { (0, u32::MAX) } else { (self.code() - delta, last + delta) };
            let kind = 0x1a | random.below(2);
            self.add(Segment {
                selector: selector::FIRST + 8 * n,
                base,
                limit,
                kind,
                dpl,
                present: true,
                big,
            });
        }
        for n in 0..8 {
            let (dpl, big) = (n / 2, n % 2 == 1);
            let down = !is_flat && random.below(3) == 0;
            let (base, limit) = match (is_flat, down) {
                (true, _) => (0, u32::MAX),
                (_, true) => (self.data() - 0x1000, 0xfff),
                _ => (self.data() - random.below(0x40), 0x1000 + random.below(0x2000)),
            };
            let kind = 0x12 | random.below(2) | u32::from(down) << 2;
            self.add(Segment {
                selector: selector::FIRST + 64 + 8 * n,
                base,
                limit,
                kind,
                dpl,
                present: true,
                big,
            });
        }
        self.tasks(random, harness);
        for n in selector::ANY / 8..arena::GDT_ENTRIES {
            self.anything(random, 8 * n);
        }
        for n in 0..arena::LDT_ENTRIES {
            self.anything(random, (8 * n) | 4);
        }
        // The stacks of inner rings.
        let tss = PRISTINE + arena::TSS;
        self.put32(tss + 4, ARENA + arena::STACKS + 0x400);
        self.put32(tss + 8, selector::DATA);
        for ring in 1..3 {
            let right = (selector::FIRST + 64 + 16 * ring + 8 * random.below(2)) | ring;
            let s = self.segments.iter().find(|s| s.selector == right & !7).copied();
            let esp = s.map_or(0, |s| self.stack(random, &s, true));
            let ss = if random.below(8) == 0 { self.any_selector(random) } else { right };
            self.put32(tss + 8 * ring + 4, esp);
            self.put32(tss + 8 * ring + 8, ss);
        }
        self.put32(tss + 0x64, 0x68 << 16);
    }

    /// Tasks to switch to: one that runs into `int3`, and that of double faults.
    fn tasks(&mut self, random: &mut Random, harness: &Harness) {
        let system = |selector: u32, base: u32, kind: u32, dpl: u32| Segment {
            selector,
            base,
            limit: 0x67,
            kind,
            dpl,
            present: true,
            big: false,
        };
        let kind = if random.below(8) == 0 { 11 } else { 9 };
        self.add(system(selector::OTHER_TSS, ARENA + arena::OTHER_TSS, kind, random.below(4)));
        let fault = system(selector::FAULT_TSS, FAULT_TSS, 9, 0);
        let gdt = PRISTINE + arena::GDT;
        self.put64(gdt + selector::FAULT_TSS, fault.encode());
        let dpl = random.below(4);
        self.put64(gdt + selector::TASK_GATE, gate(5, dpl, true, selector::OTHER_TSS, 0, 0));
        self.selectors.extend([selector::TASK_GATE, selector::TASK_GATE, selector::OTHER_TSS]);

        let code = self.segments[random.below(8) as usize];
        let ring = code.dpl;
        let stack = self.segments[8 + 2 * ring as usize + random.below(2) as usize];
        let esp = self.stack(random, &stack, true);
        let eip = self.code().wrapping_sub(code.base).wrapping_add(random.below(0xf00));
        let flags = random.next() as u32 & 0x3cd5 | 2;
        let other = PRISTINE + arena::OTHER_TSS;
        let words = [self.cr3, eip, flags, 1, 2, 3, 4, esp, 5, 6, 7];
        for (n, v) in (0u32..).zip(words) {
            self.put32(other + 0x1c + 4 * n, v);
        }
        let any = if random.below(4) == 0 { self.any_selector(random) } else { stack.selector | ring };
        let segments =
            [any, code.selector | ring, stack.selector | ring, stack.selector | ring, 0, 0, selector::LDT];
        for (n, v) in (0u32..).zip(segments) {
            self.put32(other + 0x48 + 4 * n, v);
        }
        for tss in [other, FAULT_TSS] {
            self.put32(tss + 4, ARENA + arena::STACKS + 0x400);
            self.put32(tss + 8, selector::DATA);
            self.put32(tss + 0x64, 0x68 << 16);
        }
        self.put32(FAULT_TSS + 0x1c, self.cr3);
        self.put32(FAULT_TSS + 0x20, harness.task);
        self.put32(FAULT_TSS + 0x24, 2);
        self.put32(FAULT_TSS + 0x38, STACK_TOP);
        for (at, v) in [
            (0x48, selector::DATA),
            (0x4c, selector::CODE),
            (0x50, selector::DATA),
            (0x54, selector::DATA),
            (0x60, selector::LDT),
        ] {
            self.put32(FAULT_TSS + at, v);
        }
    }

    /// A selector that mostly names something.
    pub fn any_selector(&self, random: &mut Random) -> u32 {
        let rpl = random.below(4);
        match random.below(16) {
            0 => random.next() as u32 & 0xffff,
            1 => rpl,
            _ => self.selectors[random.below(self.selectors.len() as u32) as usize] | rpl,
        }
    }

    /// An offset in a stack segment: where nothing faults, or near an end.
    pub fn stack(&self, random: &mut Random, s: &Segment, good: bool) -> u32 {
        let first = if s.grows_down() { s.limit.wrapping_add(1) } else { self.data().wrapping_sub(s.base) };
        let last = if s.limit == u32::MAX || s.grows_down() { first + 0x2fff } else { s.limit };
        if good {
            return (first + 0x100 + random.below(last - first - 0x100)) & !1;
        }
        let near = random.below(16);
        if random.below(2) == 0 { first + near } else { last.wrapping_add(8).wrapping_sub(near) }
    }

    /// A descriptor of any kind.
    fn anything(&mut self, random: &mut Random, selector: u32) {
        let dpl = random.below(4);
        let present = random.below(8) != 0;
        let big = random.below(2) == 0;
        match random.below(16) {
            // Call gates, into code or somewhere else.
            0..=3 => {
                let wide = random.below(2);
                let target = self.any_selector(random);
                let base = self.segments.iter().find(|s| s.selector == target & !3).map_or(0, |s| s.base);
                let offset = self.code().wrapping_sub(base).wrapping_add(random.below(0x1fff));
                let v = gate(4 | wide << 3, dpl, present, target, offset, random.below(6));
                let table = if selector & 4 != 0 { arena::LDT } else { arena::GDT };
                self.put64(PRISTINE + table + (selector & !7), v);
                self.selectors.push(selector);
            }
            4 => {
                // What is no segment, and TSSs that nothing is in.
                let kind = random.below(16);
                let kind = if matches!(kind, 4 | 5 | 12) { 0 } else { kind };
                self.add(Segment {
                    selector,
                    base: ARENA + arena::LDT,
                    limit: 0x3f,
                    kind,
                    dpl,
                    present,
                    big,
                });
            }
            _ => {
                let kind = 0x10 | random.below(16);
                let wide = self.paging != Paging::Off && random.below(2) == 0;
                let code = kind & 8 != 0;
                let start = if code { self.code() } else { self.data() };
                let (base, limit) = if wide {
                    (0, u32::MAX)
                } else if kind & 12 == 4 {
                    let below = 0x800 + random.below(0x800);
                    (start - below, below - 1)
                } else {
                    (start + random.below(0x80), random.below(0x2000))
                };
                // Down to where a limit of all ones begins nothing is left.
                let limit = if wide && kind & 12 == 4 { 0xf_ffff } else { limit };
                let big = big && (self.paging != Paging::Off || kind & 12 != 4);
                self.add(Segment { selector, base, limit, kind, dpl, present, big });
            }
        }
    }

    fn gates(&mut self, random: &mut Random, harness: &Harness) {
        let stubs = &harness.stubs;
        for v in 0..NARROW {
            let open = matches!(v, 3 | 4) && random.below(16) != 0;
            let kind = 14 | random.below(2);
            let g = if v == 8 {
                gate(5, 0, true, selector::FAULT_TSS, 0, 0)
            } else {
                gate(kind, 3 * u32::from(open), true, selector::CODE, stubs[v as usize], 0)
            };
            self.put64(IDT + 8 * v, g);
        }
        for v in NARROW..VECTORS {
            let dpl = if random.below(2) == 0 { 3 } else { random.below(4) };
            let present = random.below(8) != 0;
            let trap = random.below(2);
            let g = match random.below(8) {
                0..=2 => gate(14 | trap, dpl, present, selector::CODE, stubs[v as usize], 0),
                3..=4 => {
                    let offset = stubs[(VECTORS + v) as usize] - IMAGE;
                    gate(6 | trap, dpl, present, selector::LOW_CODE, offset, 0)
                }
                5..=6 => {
                    // Into code of a case: `int3` there ends it.
                    let s = self.segments[random.below(8) as usize];
                    let offset = self.code().wrapping_sub(s.base) + random.below(0xf00);
                    gate([14, 6][random.below(2) as usize] | trap, dpl, present, s.selector, offset, 0)
                }
                _ => {
                    let kind = [14, 6, 4, 12, 0, 5, 5, 5][random.below(8) as usize];
                    let target = if kind == 5 && random.below(4) > 0 {
                        selector::OTHER_TSS
                    } else {
                        self.any_selector(random)
                    };
                    gate(kind, dpl, present, target, random.next() as u32 & 0xffff, 0)
                }
            };
            self.put64(IDT + 8 * v, g);
        }
        for n in 0..OPERAND_COUNT {
            let limit = [8 * arena::GDT_ENTRIES - 1, 0x30f, 0x7f, 0x2f][n as usize];
            self.put64(OPERANDS + 8 * n, u64::from(limit) | u64::from(ARENA + arena::GDT) << 16);
            let limit = [0x7ffu32, 0x1ff, 0x107, 0x7f][n as usize];
            self.put64(OPERANDS + 8 * (OPERAND_COUNT + n), u64::from(limit) | u64::from(IDT) << 16);
        }
    }

    /// An address that a case may like to use, linear.
    pub fn address(&self, random: &mut Random) -> u32 {
        let r = random.next();
        // Near the beginning or end of a page, or anywhere in it.
        let inside = match r & 7 {
            0 => (r >> 8 & 7) as u32,
            1 => 0xff8 + (r >> 8 & 7) as u32,
            _ => (r >> 8 & 0xfff) as u32,
        };
        let page = (r >> 24) as u32 % WINDOW_PAGES;
        if r >> 40 & 1 == 0 || self.paging == Paging::Off {
            return self.data() + page % 3 * 0x1000 + inside;
        }
        if self.mode == Mode::V86 || r >> 41 & 7 == 0 {
            return LOW + page * 0x1000 + inside;
        }
        let window = (r >> 48) as u32 % 5;
        let offset = if window == 3 { page % 5 * 0x1000 } else { page * 0x1000 };
        WINDOWS + window * self.window_bytes() + offset + inside
    }

    fn frames(&mut self, random: &mut Random) {
        for at in (0..arena::FRAMES).step_by(4) {
            let v = if at < arena::DATA { 0xcccc_cccc } else { self.data_word(random) };
            self.put32(PRISTINE + at, v);
        }
        for at in (arena::STACKS..arena::GDT).step_by(4) {
            self.put32(PRISTINE + at, 0x5555_5555);
        }
    }

    fn data_word(&self, random: &mut Random) -> u32 {
        match random.below(8) {
            0..=1 => self.any_selector(random) | self.any_selector(random) << 16,
            2 => self.code() + random.below(0x1f00),
            3..=4 => self.address(random),
            5 => random.below(0x100),
            _ => random.next() as u32,
        }
    }

    fn variables(&mut self) {
        self.put32(VARS + var::CR3, self.cr3);
        self.put32(VARS + var::CR4, self.cr4);
        self.put32(VARS + var::RESULT, super::layout::RESULTS);
        let entry = if self.paging == Paging::Pae { 8 } else { 4 };
        let mut pieces = vec![(0, arena::FRAMES / 4)];
        pieces.push((arena::STACKS, 0x1000 / 4));
        if self.paging != Paging::Off {
            let first = WINDOWS / self.window_bytes();
            // What maps the harness, and the four pointers before it.
            pieces.push((arena::POINTERS, 8));
            pieces.push((arena::DIRECTORY, (MEMORY / self.window_bytes()) * entry / 4));
            pieces.push((arena::DIRECTORY + entry * first, 5 * entry / 4));
            let words = WINDOW_PAGES * entry / 4;
            pieces.push((arena::TABLES + entry * (LOW >> 12), words));
            pieces.extend((1..4).map(|n| (arena::TABLES + 0x1000 * n, words)));
        }
        for (n, (at, words)) in (0u32..).zip(pieces) {
            self.put32(VARS + var::PIECES + 8 * n, ARENA + at);
            self.put32(VARS + var::PIECES + 8 * n + 4, words);
        }
    }

    /// Physical address of the entry that maps page `page` of window `window`.
    pub fn entry_address(&self, window: u32, page: u32) -> u32 {
        let entry = if self.paging == Paging::Pae { 8 } else { 4 };
        ARENA + arena::TABLES + 0x1000 * (window + 1) + entry * page
    }
}
