//! Do translations live and die as the manual says?
//! (SDM vol. 3A, "Caching Translation Information".)

mod common;
use common::*;
use iced_x86::code_asm::*;
use shootdown_emu::Preset;
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

/// Reads `pages` pages in turn, three times, and gives how often the third round missed the first-level data TLB, and
/// how often it walked. With true LRU, one page too many for a set pushes out all of the set, for ever.
fn misses_of_a_third_round(preset: &str, pages: u32, large: bool) -> (u64, u64) {
    let step = if large { 4 << 20 } else { 4096 };
    let mut a = paged(if large { PSE } else { 0 });
    let (mut round, mut next) = (a.create_label(), a.create_label());
    a.xor(ebp, ebp).unwrap();
    a.set_label(&mut round).unwrap();
    a.mov(ebx, 8 * WINDOW).unwrap();
    a.mov(ecx, pages).unwrap();
    a.inc(ebp).unwrap();
    a.set_label(&mut next).unwrap();
    a.mov(eax, dword_ptr(ebx)).unwrap();
    a.add(ebx, step).unwrap();
    a.dec(ecx).unwrap();
    a.jnz(next).unwrap();
    a.cmp(ebp, 4).unwrap();
    a.jne(round).unwrap();
    exit(&mut a);
    let mut lru = config(preset);
    lru.preset.set("tlb.replacement", "lru").unwrap();
    let mut m = load(lru, &mut a);
    for slot in 0..1024 {
        poke(&mut m, TABLE2 + 4 * slot, FRAME_A | 3);
    }
    for slot in 8..256 {
        poke(&mut m, DIRECTORY + 4 * slot, if large { 0x83 } else { TABLE2 | 3 });
    }
    let mut round = |number| {
        while m.cpus()[0].regs[5] != number {
            assert_eq!(m.step(0), None);
        }
        let count = m.cpus()[0].count;
        (count.dtlb_misses, count.walks)
    };
    let (before, after) = (round(3), round(4));
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn the_reach_and_the_ways_of_each_tlb_are_those_of_the_preset() {
    for preset in Preset::names() {
        let shape = Preset::builtin(preset).unwrap().tlb;
        for (large, tlb) in [(false, shape.data.small), (true, shape.data.large)] {
            let misses = |pages| misses_of_a_third_round(preset, pages, large).0;
            assert_eq!(misses(tlb.entries), 0, "{preset}: {} pages fit, large: {large}", tlb.entries);
            // One more than fit: all pages of one set miss.
            assert_eq!(misses(tlb.entries + 1), u64::from(tlb.ways) + 1, "{preset}, large: {large}");
        }
        if let Some(second) = shape.second {
            let walks = |pages| misses_of_a_third_round(preset, pages, false).1;
            assert_eq!(walks(second.entries), 0, "{preset}: {} pages fit the second level", second.entries);
            assert_eq!(walks(second.entries + 1), u64::from(second.ways) + 1, "{preset}");
        }
    }
}

#[test]
fn a_pde_stays_in_the_paging_structure_cache_until_any_invlpg() {
    const OTHER_TABLE: u32 = 0x20_3000;
    for preset in Preset::names() {
        let mut a = paged(0);
        for (table, frame) in [(TABLE2, FRAME_A), (OTHER_TABLE, FRAME_B)] {
            for page in 1..3 {
                a.mov(dword_ptr(table + 4 * page), (frame | 3) as i32).unwrap();
            }
        }
        a.mov(eax, dword_ptr(WINDOW)).unwrap();
        a.mov(dword_ptr(DIRECTORY + 4), (OTHER_TABLE | 3) as i32).unwrap();
        // Pages that no TLB holds, of the same PDE.
        a.mov(esi, dword_ptr(WINDOW + 0x1000)).unwrap();
        a.invlpg(ptr(0)).unwrap();
        a.mov(edi, dword_ptr(WINDOW + 0x2000)).unwrap();
        exit(&mut a);
        let mut m = load(config(preset), &mut a);
        run(&mut m);
        let cached = Preset::builtin(preset).unwrap().tlb.pde_cache > 0;
        let c = &m.cpus()[0];
        assert_eq!(c.regs[6], if cached { CONTENT_A } else { CONTENT_B }, "{preset}");
        assert_eq!(c.regs[7], CONTENT_B, "{preset}");
        assert_eq!(
            c.count.stale_uses,
            u64::from(cached),
            "{preset}: a walk through a stale PDE is a stale use"
        );
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

#[test]
fn an_array_can_be_looked_at() {
    let mut a = paged(0);
    a.mov(dword_ptr(TABLE2 + 4), (FRAME_B | 3) as i32).unwrap();
    read_change_read(&mut a, 3);
    a.mov(eax, dword_ptr(WINDOW + 0x1000)).unwrap();
    exit(&mut a);
    let mut m = load(config("p3"), &mut a);
    run(&mut m);
    let (mmu, oracle) = (&m.cpus()[0].mmu, &m.bus().oracle);
    let names: Vec<_> = mmu.arrays().map(|a| (a.name, a.sets() * a.ways())).collect();
    let tlb = &m.config().preset.tlb;
    let sizes = [tlb.data.small, tlb.data.large, tlb.instruction.small, tlb.instruction.large];
    let wanted = ["data", "data-large", "instruction", "instruction-large"];
    assert_eq!(names, wanted.into_iter().zip(sizes.map(|g| g.entries as usize)).collect::<Vec<_>>());

    let data = mmu.arrays().next().unwrap();
    let set = (WINDOW >> 12) as usize % data.sets();
    let found = (0..data.ways()).find_map(|way| {
        let e = data.entry(set, way)?;
        (e.valid() && data.linear(e) == WINDOW).then_some((way, *e))
    });
    let (way, entry) = found.expect("the page that was read is in its set");
    assert_eq!((entry.frame, entry.origin), (FRAME_A >> 12, u64::from(TABLE2)));
    assert_eq!(oracle.change(entry.stale).map(|(_, writer)| writer), Some(0), "it is stale");
    assert_eq!(oracle.change(0), None);
    // The page behind it was read later.
    let next = (WINDOW / 0x1000 + 1) as usize % data.sets();
    let of_next = (0..data.ways()).find(|&w| data.entry(next, w).is_some_and(|e| e.valid())).unwrap();
    let (first, second) = (data.filled(set, way), data.filled(next, of_next));
    assert!(0 < first && first < second && second < m.cpus()[0].clock, "{first}, {second}");
    assert_eq!(data.entry(data.sets(), 0), None);
    assert_eq!(data.entry(0, data.ways()), None);
}

#[test]
fn a_flushed_entry_shows_as_a_ghost() {
    let mut a = paged(0);
    a.mov(esi, dword_ptr(WINDOW)).unwrap();
    a.invlpg(ptr(WINDOW)).unwrap();
    exit(&mut a);
    let mut m = load(config("haswell-ep"), &mut a);
    run(&mut m);
    for array in m.cpus()[0].mmu.arrays().filter(|a| a.name == "data" || a.name == "second") {
        let places = (0..array.sets()).flat_map(|s| (0..array.ways()).map(move |w| (s, w)));
        let ghosts: Vec<_> = places
            .filter_map(|(s, w)| array.entry(s, w))
            .filter(|e| e.flushed.is_some())
            .map(|e| array.linear(e))
            .collect();
        assert_eq!(ghosts, [WINDOW], "{}", array.name);
        assert!(array.valid().all(|e| array.linear(e) != WINDOW));
    }
}
