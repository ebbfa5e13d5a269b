//! Page faults, error codes, A and D for every combination of ring, WP, access, rights, presence and reserved bits, in
//! every paging mode: first with empty TLBs, then after each other access to the page. The rules are stated here
//! once more, from the manual alone. (SDM vol. 3A, "Paging": "Access Rights", "Page-Fault
//! Exceptions", "Accessed and Dirty Flags"; tables of the entries' formats.)

use super::*;
use crate::apic::{LocalApic, Role};
use crate::bus::ram::Ram;
use crate::cache::Coherence;
use crate::device::Devices;

const P: u64 = 1;
const RW: u64 = 2;
const US: u64 = 4;
const A: u64 = 0x20;
const D: u64 = 0x40;
const PS: u64 = 0x80;

const DIRECTORY: u64 = 0x2000;
const TABLE: u64 = 0x3000;
/// Of the first page of the 4 MiB or 2 MiB region that is looked at.
const LIN: u32 = 0x40_0000;
const FRAME: u64 = 0x40_0000;

/// A way to map [`LIN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Map {
    /// 4-byte entries, a 4 KiB page.
    Small32,
    /// 4-byte entries with bit 7 of the PDE set while CR4.PSE is clear, where the bit means nothing.
    IgnoredSize,
    /// A 4 MiB page.
    Large32,
    /// 8-byte entries, a 4 KiB page.
    SmallPae,
    /// A 2 MiB page.
    LargePae,
}

impl Map {
    const ALL: [Map; 5] = [Map::Small32, Map::IgnoredSize, Map::Large32, Map::SmallPae, Map::LargePae];

    fn pae(self) -> bool {
        matches!(self, Map::SmallPae | Map::LargePae)
    }

    fn large(self) -> bool {
        matches!(self, Map::Large32 | Map::LargePae)
    }

    fn cr4(self) -> u32 {
        match self {
            Map::Small32 | Map::IgnoredSize => 0,
            Map::Large32 => cr4::PSE,
            Map::SmallPae | Map::LargePae => cr4::PAE,
        }
    }

    /// Reserved bits of PDE and PTE that are tried, one at a time.
    fn reserved(self) -> Vec<(u64, u64)> {
        match self {
            Map::Small32 | Map::IgnoredSize => vec![(0, 0)],
            Map::Large32 => vec![(0, 0), (1 << 17, 0), (1 << 21, 0)],
            Map::SmallPae => {
                let bits = [0, 1 << 36, 1 << 51, 1 << 62, 1 << 63];
                bits.iter().flat_map(|a| [(*a, 0), (0, *a)]).chain([(1 << 40, 1 << 40)]).collect()
            }
            Map::LargePae => vec![(0, 0), (1 << 13, 0), (1 << 20, 0), (1 << 36, 0), (1 << 63, 0)],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Try {
    access: Access,
    user: bool,
}

const TRIES: [Try; 6] = {
    const fn t(access: Access, user: bool) -> Try {
        Try { access, user }
    }
    [
        t(Access::Read, false),
        t(Access::Write, false),
        t(Access::Fetch, false),
        t(Access::Read, true),
        t(Access::Write, true),
        t(Access::Fetch, true),
    ]
};

/// The two entries, in memory and in the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entries {
    pde: u64,
    pte: u64,
}

/// What the manual says: the error code, or success with A and D set in the entries.
fn manual(map: Map, e: &mut Entries, reserved: (u64, u64), wp: bool, t: Try) -> Result<(), u32> {
    let base = u32::from(t.access == Access::Write) << 1 | u32::from(t.user) << 2;
    // The entries are used one after the other: absent, or with a reserved bit.
    if e.pde & P == 0 {
        return Err(base);
    }
    if reserved.0 != 0 {
        return Err(base | 9);
    }
    if !map.large() {
        if e.pte & P == 0 {
            return Err(base);
        }
        if reserved.1 != 0 {
            return Err(base | 9);
        }
    }
    let all = |bit: u64| e.pde & bit != 0 && (map.large() || e.pte & bit != 0);
    let allowed = match (t.user, t.access) {
        (true, Access::Write) => all(US) && all(RW),
        (true, _) => all(US),
        (false, Access::Write) => !wp || all(RW),
        (false, _) => true,
    };
    if !allowed {
        return Err(base | 1);
    }
    e.pde |= A;
    let leaf = if map.large() { &mut e.pde } else { &mut e.pte };
    *leaf |= A | if t.access == Access::Write { D } else { 0 };
    Ok(())
}

struct Rig {
    cpu: Cpu,
    bus: Bus,
}

fn rig(preset: &str) -> Rig {
    let preset = Preset::builtin(preset).expect("built-in preset");
    let apic = LocalApic::new(0, Role::Bsp, preset.apic, preset.clock_mhz, preset.bus_mhz);
    let options = MmuOptions { front: true, keep: false, caches: false };
    let mut cpu = Cpu::new(0, apic, Mmu::new(&preset, 1, options), preset.costs(), true);
    cpu.identify(&preset);
    cpu.careful = true;
    let bus = Bus::new(Ram::new(8 << 20), Coherence::new(&preset, 1), Devices::new(&preset), false);
    Rig { cpu, bus }
}

impl Rig {
    fn map(&mut self, map: Map, wp: bool, e: Entries) {
        let bytes = if map.pae() { 8 } else { 4 };
        let index = u64::from(LIN >> if map.pae() { 21 } else { 22 }) & 511;
        self.poke(DIRECTORY + index * bytes, e.pde, bytes);
        self.poke(TABLE, e.pte, bytes);
        self.cpu.cr0 = cr0::PE | cr0::PG | if wp { cr0::WP } else { 0 };
        self.cpu.cr3 = DIRECTORY as u32;
        self.cpu.cr4 = map.cr4();
        self.cpu.mmu.load_pdptes([DIRECTORY | 1, 0, 0, 0]);
        let Cpu { cr0, cr3, cr4, .. } = self.cpu;
        flush_all(&mut self.cpu, &mut self.bus, 0);
        self.cpu.mmu.refresh_mode(cr0, cr3, cr4);
    }

    fn poke(&mut self, at: u64, v: u64, bytes: u64) {
        assert!(self.bus.ram.poke(at, &v.to_le_bytes()[..bytes as usize]));
    }

    fn entries(&self, map: Map) -> Entries {
        let bytes = if map.pae() { 8 } else { 4 };
        let index = u64::from(LIN >> if map.pae() { 21 } else { 22 }) & 511;
        let read = |at| {
            let mut b = [0; 8];
            assert!(self.bus.ram.peek(at, &mut b[..bytes as usize]));
            u64::from_le_bytes(b)
        };
        Entries { pde: read(DIRECTORY + index * bytes), pte: read(TABLE) }
    }

    /// The error code, or the physical address.
    fn access(&mut self, t: Try) -> Result<u64, u32> {
        let lin = LIN | 0x123;
        let privilege = if t.user { Privilege::User } else { Privilege::Supervisor };
        self.cpu.set_cpl(if t.user { 3 } else { 0 }, self.cpu.clock);
        self.cpu.cr2 = 0;
        match translate(&mut self.cpu, &mut self.bus, lin, t.access, privilege, 0) {
            Ok(p) => {
                assert_eq!(self.cpu.cr2, 0);
                Ok(p.pa)
            }
            Err(flow) => {
                assert_eq!((flow, self.cpu.cr2), (Flow::Fault, lin));
                let e = self.cpu.fault.take().expect("a fault is noted");
                assert_eq!(e.vector, vector::PF);
                Err(e.code.expect("with a code"))
            }
        }
    }
}

/// All entries for a way to map: presence and rights at each level.
fn all_entries(map: Map) -> Vec<Entries> {
    let rights = [0, P, P | RW, P | US, P | RW | US];
    let size = if matches!(map, Map::Small32 | Map::SmallPae) { 0 } else { PS };
    if map.large() {
        return rights.iter().map(|r| Entries { pde: FRAME | size | r, pte: 0 }).collect();
    }
    let table = |r: &u64| TABLE | size | r;
    rights
        .iter()
        .flat_map(|a| rights.iter().map(move |b| Entries { pde: table(a), pte: FRAME | b }))
        .collect()
}

fn each(mut f: impl FnMut(Map, bool, (u64, u64), Entries)) {
    for map in Map::ALL {
        for wp in [false, true] {
            for reserved in map.reserved() {
                for e in all_entries(map) {
                    f(map, wp, reserved, Entries { pde: e.pde | reserved.0, pte: e.pte | reserved.1 });
                }
            }
        }
    }
}

#[test]
fn every_combination_gives_the_code_and_the_bits_of_the_manual() {
    let mut r = rig("p3");
    let mut cases = 0;
    each(|map, wp, reserved, e| {
        for t in TRIES {
            r.map(map, wp, e);
            let mut expected = e;
            let result = manual(map, &mut expected, reserved, wp, t).map(|()| FRAME | 0x123);
            assert_eq!(r.access(t), result, "{map:?} wp {wp} {e:x?} {t:?}");
            assert_eq!(r.entries(map), expected, "{map:?} wp {wp} {e:x?} {t:?}");
            cases += 1;
        }
    });
    assert!(cases > 3000);
}

#[test]
fn what_a_tlb_holds_changes_no_outcome() {
    for preset in ["p3", "haswell-ep"] {
        let mut r = rig(preset);
        each(|map, wp, reserved, e| {
            for first in TRIES {
                for second in TRIES {
                    r.map(map, wp, e);
                    let mut expected = e;
                    for t in [first, second] {
                        let result = manual(map, &mut expected, reserved, wp, t).map(|()| FRAME | 0x123);
                        assert_eq!(r.access(t), result, "{map:?} wp {wp} {e:x?} {first:?} {second:?}");
                    }
                    assert_eq!(r.entries(map), expected, "{map:?} wp {wp} {e:x?} {first:?} {second:?}");
                }
            }
        });
    }
}

#[test]
fn an_absent_directory_pointer_is_an_absent_page() {
    let mut r = rig("p3");
    for t in TRIES {
        r.map(Map::SmallPae, true, Entries { pde: TABLE | 7, pte: FRAME | 7 });
        r.cpu.mmu.load_pdptes([0; 4]);
        let code = u32::from(t.access == Access::Write) << 1 | u32::from(t.user) << 2;
        assert_eq!(r.access(t), Err(code));
    }
}

#[test]
fn physical_addresses_of_36_bits_in_large_pages() {
    let mut r = rig("p3");
    let t = Try { access: Access::Read, user: false };
    r.map(Map::Large32, true, Entries { pde: 0xc0_0000 | 0xf << 13 | PS | P, pte: 0 });
    assert_eq!(r.access(t), Ok(0xf_00c0_0123));
    // Without the feature these bits are reserved.
    let mut preset = Preset::builtin("p3").expect("built-in preset");
    preset.features.pse36 = false;
    r.cpu.identify(&preset);
    flush_all(&mut r.cpu, &mut r.bus, 0);
    assert_eq!(r.access(t), Err(9));
}
