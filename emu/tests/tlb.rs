//! Do translations live and die as the manual says?
//! (SDM vol. 3A, "Caching Translation Information".)

mod common;
use common::*;
use iced_x86::code_asm::*;
use shootdown_emu::config::{Adversary, Shortcuts};

const PSE: u32 = 0x10;
const PGE: u32 = 0x80;

/// Reads WINDOW into esi, points its PTE at frame B, reads again into edi.
fn read_change_read(a: &mut CodeAssembler, pte_bits: u32) {
    a.mov(esi, dword_ptr(WINDOW)).unwrap();
    a.mov(dword_ptr(TABLE2), (FRAME_B | pte_bits) as i32).unwrap();
    a.mov(edi, dword_ptr(WINDOW)).unwrap();
}

#[test]
fn a_changed_pte_is_not_seen_before_invlpg() {
    for shortcuts in [Shortcuts::On, Shortcuts::Off] {
        let mut a = paged(0);
        read_change_read(&mut a, 3);
        a.invlpg(ptr(WINDOW)).unwrap();
        a.mov(ebx, dword_ptr(WINDOW)).unwrap();
        exit(&mut a);
        let mut m = load(shootdown_emu::MachineConfig { shortcuts, ..config("p3") }, &mut a);
        run(&mut m);
        let c = &m.cpus()[0];
        assert_eq!([c.regs[6], c.regs[7], c.regs[3]], [CONTENT_A, CONTENT_A, CONTENT_B]);
        assert_eq!((c.count.stale_uses, c.count.harmful_uses, c.count.invlpg), (1, 0, 1));
        let r = m.bus().oracle.reports()[0];
        assert_eq!((r.linear, r.old_frame, r.writer), (WINDOW, FRAME_A >> 12, 0));
        assert_eq!(m.bus().oracle.exposure().len(), 1);
    }
}

#[test]
fn a_use_after_the_slot_was_given_is_harmful() {
    let mut a = paged(0);
    a.mov(esi, dword_ptr(WINDOW)).unwrap();
    a.mov(dword_ptr(TABLE2), (FRAME_B | 3) as i32).unwrap();
    a.mov(eax, shootdown_abi::mark(shootdown_abi::Mark::SlotGiven, WINDOW >> 12)).unwrap();
    a.mov(edx, u32::from(shootdown_abi::MARK_PORT)).unwrap();
    a.out(dx, eax).unwrap();
    a.mov(edi, dword_ptr(WINDOW)).unwrap();
    exit(&mut a);
    let mut m = load(config("p3"), &mut a);
    run(&mut m);
    assert_eq!((m.cpus()[0].count.stale_uses, m.cpus()[0].count.harmful_uses), (1, 1));
}

#[test]
fn the_same_value_restored_is_not_stale() {
    let mut a = paged(0);
    a.mov(esi, dword_ptr(WINDOW)).unwrap();
    a.mov(eax, dword_ptr(TABLE2)).unwrap();
    a.mov(dword_ptr(TABLE2), 0).unwrap();
    a.mov(dword_ptr(TABLE2), eax).unwrap();
    a.mov(edi, dword_ptr(WINDOW)).unwrap();
    exit(&mut a);
    let mut m = load(config("p3"), &mut a);
    run(&mut m);
    assert_eq!(m.cpus()[0].count.stale_uses, 0);
}

#[test]
fn a_global_entry_survives_cr3_but_not_invlpg_or_a_pge_toggle() {
    // (PTE bits, what flushes, content seen after)
    type Flush = fn(&mut CodeAssembler);
    let cr3_load: Flush = |a| {
        a.mov(eax, cr3).unwrap();
        a.mov(cr3, eax).unwrap();
    };
    let invlpg: Flush = |a| {
        a.invlpg(ptr(WINDOW)).unwrap();
    };
    let toggle: Flush = |a| {
        a.mov(eax, cr4).unwrap();
        a.and(eax, !(PGE as i32)).unwrap();
        a.mov(cr4, eax).unwrap();
        a.or(eax, PGE as i32).unwrap();
        a.mov(cr4, eax).unwrap();
    };
    for (bits, flush, seen) in [
        (0x103, cr3_load, CONTENT_A),
        (0x003, cr3_load, CONTENT_B),
        (0x103, invlpg, CONTENT_B),
        (0x103, toggle, CONTENT_B),
    ] {
        for preset in ["p3", "haswell-ep"] {
            let mut a = paged(PGE);
            a.mov(dword_ptr(TABLE2), (FRAME_A | bits) as i32).unwrap();
            read_change_read(&mut a, bits);
            flush(&mut a);
            a.mov(ebx, dword_ptr(WINDOW)).unwrap();
            exit(&mut a);
            let mut m = load(config(preset), &mut a);
            run(&mut m);
            assert_eq!(m.cpus()[0].regs[3], seen, "bits {bits:#x} on {preset}");
        }
    }
}

#[test]
fn invlpg_within_a_large_page_drops_all_of_it() {
    let mut a = paged(PSE);
    // A 4 MiB page at WINDOW onto physical 0; its dword at FRAME_A's offset is CONTENT_A.
    a.mov(dword_ptr(DIRECTORY + 4), 0x83).unwrap();
    a.mov(esi, dword_ptr(WINDOW + FRAME_A)).unwrap();
    a.mov(dword_ptr(DIRECTORY + 4), 0x40_0083).unwrap();
    a.invlpg(ptr(WINDOW + 0x123)).unwrap();
    a.mov(edi, dword_ptr(WINDOW + FRAME_A)).unwrap();
    exit(&mut a);
    let mut m = load(config("p3"), &mut a);
    run(&mut m);
    assert_eq!((m.cpus()[0].regs[6], m.cpus()[0].regs[7]), (CONTENT_A, 0));
    assert_eq!(m.cpus()[0].count.stale_uses, 0);
}

#[test]
fn accessed_and_dirty_are_set_when_the_manual_says() {
    let mut a = paged(0);
    a.mov(esi, dword_ptr(WINDOW)).unwrap();
    a.mov(ebx, dword_ptr(TABLE2)).unwrap();
    a.mov(dword_ptr(WINDOW), 5).unwrap();
    a.mov(edi, dword_ptr(TABLE2)).unwrap();
    exit(&mut a);
    let mut m = load(config("p3"), &mut a);
    run(&mut m);
    assert_eq!(m.cpus()[0].regs[3], FRAME_A | 0x23, "accessed by the read, not dirty");
    assert_eq!(m.cpus()[0].regs[7], FRAME_A | 0x63, "dirty by the write");
    assert_eq!(peek(&m, DIRECTORY + 4) & 0x60, 0x20, "a PDE that names a table has no dirty bit");
}

#[test]
fn a_write_through_a_stale_clean_entry_goes_where_the_pte_says_now() {
    let mut a = paged(0);
    a.mov(esi, dword_ptr(WINDOW)).unwrap();
    a.mov(dword_ptr(TABLE2), (FRAME_B | 3) as i32).unwrap();
    a.mov(dword_ptr(WINDOW), 0x77).unwrap();
    exit(&mut a);
    let mut m = load(config("p3"), &mut a);
    run(&mut m);
    assert_eq!((peek(&m, FRAME_A), peek(&m, FRAME_B)), (CONTENT_A, 0x77));
}

#[test]
fn the_data_tlb_of_a_p6_holds_four_pages_of_a_set() {
    // Pages 16 apart share a set of the 64-entry, 4-way array.
    // With true LRU, five pages in turn push each other out for ever.
    for (pages, misses_again) in [(4, 0), (5, 5)] {
        let mut a = paged(0);
        for round in 0..2 {
            if round == 1 {
                a.mov(ebp, 0x1234).unwrap();
            }
            for p in 0..pages {
                a.mov(eax, dword_ptr(0x30_0000 + p * 16 * 4096)).unwrap();
            }
        }
        exit(&mut a);
        let mut lru = config("p3");
        lru.preset.set("tlb.replacement", "lru").unwrap();
        let mut m = load(lru, &mut a);
        // Run to the marker instruction, then count.
        while m.cpus()[0].regs[5] != 0x1234 {
            assert_eq!(m.step(0), None);
        }
        let before = m.cpus()[0].count.dtlb_misses;
        for _ in 0..pages {
            assert_eq!(m.step(0), None);
        }
        assert_eq!(m.cpus()[0].count.dtlb_misses - before, misses_again, "{pages} pages");
    }
}

#[test]
fn with_keep_an_evicted_translation_stays_usable() {
    let mut cfg = config("p3");
    cfg.adversary = Adversary::Keep;
    let mut a = paged(0);
    a.mov(esi, dword_ptr(WINDOW)).unwrap();
    a.mov(dword_ptr(TABLE2), (FRAME_B | 3) as i32).unwrap();
    for p in 0..64 {
        a.mov(eax, dword_ptr(0x30_0000 + p * 4096)).unwrap();
    }
    a.mov(edi, dword_ptr(WINDOW)).unwrap();
    exit(&mut a);
    let mut m = load(cfg, &mut a);
    run(&mut m);
    assert_eq!(m.cpus()[0].regs[7], CONTENT_A, "evicted by 64 pages, but kept");
}

#[test]
fn costs_are_charged_to_their_kinds() {
    use shootdown_emu::ledger::Kind;
    let mut a = paged(0);
    a.invlpg(ptr(WINDOW)).unwrap();
    a.invlpg(ptr(WINDOW)).unwrap();
    exit(&mut a);
    let mut m = load(config("p3"), &mut a);
    run(&mut m);
    let c = &m.cpus()[0];
    let t = c.ledger.totals(c.clock);
    assert_eq!(t.kind[Kind::Invlpg as usize], 2 * u64::from(c.costs.invlpg));
    assert_eq!(
        t.kind[Kind::Walk as usize],
        c.count.walks * u64::from(c.costs.walk) + c.count.ad_updates * u64::from(c.costs.ad_update)
    );
    assert!(c.count.walks > 0);
}
