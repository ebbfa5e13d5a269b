//! Is the price of a refill booked to the flush that caused it, and no other miss?

mod common;
use common::*;
use iced_x86::code_asm::*;
use shootdown_emu::Machine;
use shootdown_emu::config::Shortcuts;
use shootdown_emu::ledger::Kind;

const PGE: u32 = 0x80;

type Emit = fn(&mut CodeAssembler);

fn read(a: &mut CodeAssembler) {
    a.mov(esi, dword_ptr(WINDOW)).unwrap();
}

fn write(a: &mut CodeAssembler) {
    a.mov(dword_ptr(WINDOW), 7).unwrap();
}

fn page(a: &mut CodeAssembler) {
    a.invlpg(ptr(WINDOW)).unwrap();
}

fn cr3_load(a: &mut CodeAssembler) {
    a.mov(eax, cr3).unwrap();
    a.mov(cr3, eax).unwrap();
}

fn toggle(a: &mut CodeAssembler) {
    a.mov(eax, cr4).unwrap();
    a.and(eax, !(PGE as i32)).unwrap();
    a.mov(cr4, eax).unwrap();
    a.or(eax, PGE as i32).unwrap();
    a.mov(cr4, eax).unwrap();
}

fn remap(a: &mut CodeAssembler) {
    a.mov(dword_ptr(TABLE2), (FRAME_B | 3) as i32).unwrap();
}

fn unmap_and_map_again(a: &mut CodeAssembler) {
    a.mov(dword_ptr(TABLE2), 0).unwrap();
    a.mov(dword_ptr(TABLE2), (FRAME_A | 3) as i32).unwrap();
}

/// Reads pages whose entries stand in the set of [`WINDOW`]'s in an array with 16 sets.
fn read_neighbours(a: &mut CodeAssembler) {
    for n in 1..=4 {
        a.mov(ebx, dword_ptr(0x30_0000 + n * 0x1_0000 + 0x40)).unwrap();
    }
}

/// Reads lines that stand in the set of [`TABLE2`]'s first in caches with ways of 4 KiB, from pages of other TLB sets.
fn read_over_the_table(a: &mut CodeAssembler) {
    for n in 3..15 {
        a.mov(ebx, dword_ptr(0x30_0000 + n * 0x1000)).unwrap();
    }
}

/// Runs the steps one after the other, with the host's shortcuts and without: no difference may show.
fn after(preset: &str, steps: &[Emit]) -> Machine {
    let [with, without] = [Shortcuts::On, Shortcuts::Off].map(|shortcuts| {
        let mut a = paged(PGE);
        steps.iter().for_each(|step| step(&mut a));
        exit(&mut a);
        let mut m = load(shootdown_emu::MachineConfig { shortcuts, ..config(preset) }, &mut a);
        run(&mut m);
        m
    });
    assert_eq!(with.snapshot(), without.snapshot());
    with
}

/// Refills by `invlpg`, CR3 load and global flush; remapped pages.
fn counts(m: &Machine) -> [u64; 4] {
    let c = &m.cpus()[0].count;
    [c.refills_invlpg, c.refills_cr3, c.refills_global, c.remapped]
}

/// Cycles by kind.
fn cycles(m: &Machine, kind: Kind) -> u64 {
    let c = &m.cpus()[0];
    c.ledger.totals(c.clock).kind[kind as usize]
}

const REFILLS: [Kind; 3] = [Kind::RefillInvlpg, Kind::RefillCr3, Kind::RefillGlobal];

#[test]
fn a_refill_is_booked_to_the_kind_of_its_flush() {
    for preset in ["p3", "haswell-ep"] {
        // The page of the code is refilled too, after what flushes more than one page: a toggle flushes twice.
        for (flush, counted) in
            [(page as Emit, [1, 0, 0, 0]), (cr3_load as Emit, [0, 2, 0, 0]), (toggle as Emit, [0, 0, 3, 0])]
        {
            let m = after(preset, &[read, flush, read]);
            assert_eq!(counts(&m), counted, "{preset}");
            let c = &m.cpus()[0];
            let walk = u64::from(c.costs.walk);
            // Nothing else costs: the tables are in the first-level cache, A is set. On a preset with a second level
            // that both sides share, neither page is there for the other.
            assert_eq!(
                REFILLS.map(|k| cycles(&m, k)).as_slice(),
                counted[..3].iter().map(|n| n * walk).collect::<Vec<_>>(),
                "{preset}"
            );
            let first = cycles(&m, Kind::Walk);
            let never = after(preset, &[read, read]);
            assert_eq!(first, cycles(&never, Kind::Walk), "the first touches stay walks");
            assert_eq!(counts(&never), [0; 4]);
        }
    }
}

#[test]
fn the_first_of_two_flushes_is_the_cause() {
    assert_eq!(
        counts(&after("p3", &[read, page, cr3_load, read])),
        [1, 1, 0, 0],
        "the code is the CR3 load's"
    );
}

#[test]
fn a_page_mapped_elsewhere_is_no_refill() {
    for preset in ["p3", "haswell-ep"] {
        let m = after(preset, &[read, remap, page, read]);
        assert_eq!(counts(&m), [0, 0, 0, 1], "{preset}");
        assert_eq!(m.cpus()[0].regs[6], CONTENT_B);
        assert_eq!(REFILLS.map(|k| cycles(&m, k)), [0; 3]);
        // The same frame again is one: nothing would have had to be flushed.
        assert_eq!(counts(&after(preset, &[read, unmap_and_map_again, page, read])), [1, 0, 0, 0]);
    }
}

#[test]
fn an_evicted_page_is_no_refill() {
    assert_eq!(
        counts(&after("p3", &[read, read_neighbours, page, read])),
        [0; 4],
        "evicted before the flush"
    );
    // Evicted entries take ghosts along: the array that was never flushed would have lost the page too.
    let lru = |steps: &[Emit]| {
        let mut a = paged(PGE);
        steps.iter().for_each(|step| step(&mut a));
        exit(&mut a);
        let mut config = config("p3");
        config.preset.set("tlb.replacement", "lru").unwrap();
        let mut m = load(config, &mut a);
        run(&mut m);
        m.cpus()[0].count.refills_invlpg
    };
    assert_eq!(lru(&[read, page, read_neighbours, read]), 0, "evicted after the flush");
    assert_eq!(lru(&[read, page, read]), 1);
}

#[test]
fn a_write_that_would_have_walked_anyway_is_no_refill() {
    assert_eq!(counts(&after("p3", &[read, page, write])), [0; 4], "the entry was clean");
    assert_eq!(counts(&after("p3", &[write, page, write])), [1, 0, 0, 0]);
    assert_eq!(counts(&after("p3", &[write, page, read])), [1, 0, 0, 0]);
}

#[test]
fn the_cache_misses_of_a_refill_belong_to_it() {
    let m = after("p3", &[read, page, read_over_the_table, read]);
    let c = &m.cpus()[0];
    assert_eq!(counts(&m), [1, 0, 0, 0]);
    let miss = u64::from(c.costs.l2_hit - c.costs.load);
    assert!(miss > 0);
    assert_eq!(cycles(&m, Kind::RefillInvlpg), u64::from(c.costs.walk) + miss);
}

#[test]
fn what_the_second_level_would_have_cost_stays_its_own() {
    // The page is only in the second level when it is flushed.
    let m = after("haswell-ep", &[read, read_neighbours, page, read]);
    let c = &m.cpus()[0];
    assert_eq!(counts(&m), [1, 0, 0, 0]);
    assert_eq!(c.count.second_level_hits, 0);
    let hit = u64::from(c.costs.second_level_hit);
    assert_eq!(cycles(&m, Kind::SecondLevel), hit);
    assert_eq!(cycles(&m, Kind::RefillInvlpg), u64::from(c.costs.walk) - hit);
}
