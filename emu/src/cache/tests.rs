//! The caches of a few processors over one memory, access by access.

use super::*;
use crate::apic::{Kind as ApicKind, LocalApic, Role};
use crate::bus::ram::Ram;
use crate::device::Devices;
use crate::mmu::{Mmu, MmuOptions};

struct Rig {
    cpus: Vec<Cpu>,
    bus: Bus,
}

impl Rig {
    /// Processors of a Haswell-EP with small private caches, `cores` to a socket.
    fn new(cpus: usize, cores: u32) -> Rig {
        let mut preset = Preset::builtin("haswell-ep").unwrap();
        for (key, value) in [("cache.l1", "1x2"), ("cache.l2", "4x4"), ("cache.llc", "64x4")] {
            preset.set(key, value).unwrap();
        }
        preset.set("topology.cores", &cores.to_string()).unwrap();
        let options = MmuOptions { front: true, keep: false, caches: true };
        let new = |i: usize| {
            let apic = LocalApic::new(i as u8, Role::Bsp, ApicKind::XApic, 2600, 100);
            let mut cpu = Cpu::new(i, apic, Mmu::new(&preset, 1, options), preset.costs(), true);
            cpu.cache = Some(Box::new(Private::new(&preset.cache)));
            cpu
        };
        let coherence = Coherence::new(&preset, cpus);
        let bus = Bus::new(Ram::new(16 << 20), coherence, Devices::new(&preset), false);
        Rig { cpus: (0..cpus).map(new).collect(), bus }
    }

    /// One aligned access; the cycles that it adds. What others lose, they lose at once.
    fn access(&mut self, cpu: usize, pa: u64, want: Want) -> u64 {
        let before = self.cpus[cpu].clock;
        self.bus.coherence.horizon = u64::MAX;
        self.try_access(cpu, pa, want).unwrap();
        self.cpus[cpu].clock - before
    }

    fn try_access(&mut self, cpu: usize, pa: u64, want: Want) -> Step {
        let at = self.bus.ram.offset(Frame((pa >> 12) as u32)).map(|a| a + (pa & 0xfff) as usize);
        access(&mut self.cpus[cpu], &mut self.bus, 0, Physical { pa, at }, 4, want)?;
        for t in std::mem::take(&mut self.bus.coherence.taken) {
            for (_, c) in self.cpus.iter_mut().enumerate().filter(|(i, _)| t.from >> i & 1 != 0) {
                lose(c, &t);
            }
        }
        Ok(())
    }

    fn cost(&self, of: impl Fn(&Costs) -> u32) -> u64 {
        u64::from(of(&self.cpus[0].costs))
    }
}

const PAGE: u64 = 0x10_0000;

#[test]
fn a_line_is_as_dear_as_the_level_that_has_it() {
    let mut r = Rig::new(1, 1);
    let load = r.cost(|c| c.load);
    assert_eq!(r.access(0, PAGE, Want::Read), r.cost(|c| c.memory) - load);
    assert_eq!(r.access(0, PAGE + 60, Want::Write), 0, "nobody else has it: it may be written");
    // Eight sets of two ways: two more lines of its set push it out of the first level only.
    r.access(0, PAGE + 0x200, Want::Read);
    r.access(0, PAGE + 0x400, Want::Read);
    assert_eq!(r.access(0, PAGE, Want::Read), r.cost(|c| c.l2_hit) - load);
    // Sixteen sets of four ways: four more push it out of the second too. The last level still has it.
    for i in 1..=4 {
        r.access(0, PAGE + 0x1_0000 * i, Want::Read);
    }
    assert_eq!(r.access(0, PAGE, Want::Read), r.cost(|c| c.llc_hit) - load);
    assert_eq!(r.cpus[0].count.l1_misses, 9);
    assert_eq!((r.cpus[0].count.l2_misses, r.cpus[0].count.llc_misses), (8, 7));
}

#[test]
fn lines_in_a_row_stream() {
    let mut r = Rig::new(1, 1);
    let load = r.cost(|c| c.load);
    r.access(0, PAGE, Want::Read);
    assert_eq!(r.access(0, PAGE + 64, Want::Read), r.cost(|c| c.stream) - load);
    assert_eq!(r.access(0, PAGE + 128, Want::Write), r.cost(|c| c.stream) - load);
    assert_eq!(r.access(0, PAGE + 256, Want::Read), r.cost(|c| c.memory) - load, "a gap");
    assert_eq!(r.access(0, PAGE + 0x1000, Want::Read), r.cost(|c| c.memory) - load, "another page");
}

#[test]
fn an_access_across_two_lines_needs_both() {
    let mut r = Rig::new(1, 1);
    let (memory, stream, load) = (r.cost(|c| c.memory), r.cost(|c| c.stream), r.cost(|c| c.load));
    assert_eq!(r.access(0, PAGE + 62, Want::Read), memory + stream - 2 * load);
}

#[test]
fn a_line_changes_hands_and_is_shared_and_taken_back() {
    let mut r = Rig::new(2, 2);
    let hand_over = r.cost(|c| c.line_transfer) - r.cost(|c| c.locked);
    r.access(0, PAGE, Want::Write);
    r.cpus[1].clock = 10_000;
    assert_eq!(r.access(1, PAGE, Want::Read), hand_over);
    assert_eq!(r.access(0, PAGE, Want::Read), 0, "both may read");
    r.cpus[0].clock = 20_000;
    assert_eq!(r.access(0, PAGE, Want::Write), hand_over, "an upgrade");
    r.cpus[1].clock = 30_000;
    assert_eq!(r.access(1, PAGE, Want::Write), hand_over);
    assert!(!r.cpus[0].mmu.covers(r.bus.ram.offset(Frame(0x100)).unwrap(), Want::Read));
}

#[test]
fn another_socket_is_farther() {
    let mut r = Rig::new(2, 1);
    let remote = r.cost(|c| c.line_transfer_remote) - r.cost(|c| c.locked);
    r.access(0, PAGE, Want::Write);
    assert_eq!(r.access(1, PAGE, Want::Write), remote);
    assert!(remote > r.cost(|c| c.line_transfer));
}

#[test]
fn a_line_under_way_is_waited_for() {
    let mut r = Rig::new(3, 3);
    let hand_over = r.cost(|c| c.line_transfer) - r.cost(|c| c.locked);
    r.access(0, PAGE, Want::Write);
    for c in &mut r.cpus {
        c.clock = 1000;
    }
    assert_eq!(r.access(1, PAGE, Want::Write), hand_over);
    assert_eq!(r.access(2, PAGE, Want::Write), 2 * hand_over, "after the one who asked first");
    assert_eq!(r.cpus[2].ledger.totals(0).kind[Kind::Transfer as usize], 2 * hand_over);
}

#[test]
fn whoever_runs_ahead_waits_for_the_others_and_has_done_nothing() {
    let mut r = Rig::new(2, 2);
    r.access(0, PAGE, Want::Write);
    r.cpus[1].clock = 500;
    let arrives = 500 + delay(&r.cpus[1].costs);
    r.bus.coherence.horizon = arrives - 1;
    assert_eq!(r.try_access(1, PAGE, Want::Read), Err(Flow::Order));
    assert_eq!((r.cpus[1].clock, r.cpus[1].count.l1_misses), (500, 0));
    assert!(r.cpus[0].mmu.covers(r.bus.ram.offset(Frame(0x100)).unwrap(), Want::Write));
    assert_eq!(r.try_access(1, PAGE + 0x40, Want::Write), Ok(()), "a line that concerns nobody");
    assert_eq!(r.cpus[1].order_until, arrives);
    r.cpus[1].clock = 500;
    r.bus.coherence.horizon = arrives;
    assert_eq!(r.try_access(1, PAGE, Want::Read), Ok(()));
    assert_eq!(r.bus.coherence.horizon, arrives, "nobody is to run past it");
}

/// Whatever the processors do: one writer alone, or readers; what a first level holds the directory knows.
#[test]
fn writers_are_alone_under_any_traffic() {
    let mut r = Rig::new(4, 2);
    let mut x = 1u64;
    for step in 0..60_000 {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let cpu = (x >> 60) as usize & 3;
        let pa = PAGE + (x >> 40 & 0x1f) * 0x1000 + (x >> 33 & 3) * 64;
        let want = if x >> 30 & 3 == 0 { Want::Write } else { Want::Read };
        r.access(cpu, pa, want);
        if step % 16 != 0 {
            continue;
        }
        let at = r.bus.ram.offset(Frame((pa >> 12) as u32)).unwrap() + (pa & 0xfff) as usize;
        let readers = (0..4).filter(|&c| r.cpus[c].mmu.covers(at, Want::Read)).count();
        let writers = (0..4).filter(|&c| r.cpus[c].mmu.covers(at, Want::Write)).count();
        assert!(writers == 0 || (writers == 1 && readers == 1), "step {step}");
        for c in (0..4).filter(|&c| r.cpus[c].mmu.covers(at, Want::Read)) {
            assert!(r.bus.coherence.directory.view((at >> LINE_SHIFT) as u32, c).mine, "step {step}");
        }
    }
    let moved: u64 = r.cpus.iter().map(|c| c.count.line_transfers).sum();
    assert!(moved > 1000, "{moved}");
}

#[test]
fn runs_of_present_lines_end_at_the_first_gap() {
    assert_eq!(run_of(u64::MAX, 0x1000), 4096);
    assert_eq!(run_of(u64::MAX, 0x1ffc), 4);
    assert_eq!(run_of(0b0111, 0x10), 3 * 64 - 16);
    assert_eq!(run_of(0b0101, 0x40), 0);
    assert_eq!(run_of(1 << 63, 0xfc4), 60);
}
