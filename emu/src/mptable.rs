//! The MP floating pointer and configuration table, by which a kernel of the time
//! finds its processors. (Intel, `MultiProcessor Specification`, version 1.4,
//! chapter 4.)
//!
//! ```text
//!  000f 0000   floating pointer, 16 bytes, "_MP_"
//!  000f 0010   header, 44 bytes, "PCMP"
//!              processors      type 0, 20 bytes each, the bootstrap processor first
//!              ISA bus         type 1
//!              I/O APIC        type 2
//!              8259            type 3, ExtINT at pin 0
//!              ISA interrupts  type 3, identity mapped but for the timer, at pin 2
//!              LINT0, LINT1    type 4: 8259 and NMI, at every processor
//! ```
//!
//! Two words of the BIOS data area tell where else a kernel should look: the
//! extended data area and the end of base memory, both empty of tables.
//!
//! The 8259 is wired straight through the bootstrap processor ("virtual wire",
//! no IMCR). The coprocessor's IRQ 13 is not there: its error line leads nowhere.

use crate::apic::{DEFAULT_BASE, Kind};
use crate::bus::ram::Ram;
use crate::config::MachineConfig;
use crate::device::{IRQ_TIMER, PIN_8259, io_apic, pin};
use crate::loader::CONVENTIONAL_END;

/// Where the floating pointer lies.
pub const FLOATING_POINTER: u32 = 0xf_0000;
/// Where the configuration table lies.
pub const TABLE: u32 = FLOATING_POINTER + 16;

/// BIOS data area: segment of the extended data area.
const EXTENDED_DATA_SEGMENT: u64 = 0x40e;
/// BIOS data area: KiB of base memory.
const BASE_MEMORY_KIB: u64 = 0x413;
/// IRQ of the coprocessor.
const IRQ_COPROCESSOR: u8 = 13;
/// IRQ of the second 8259 at the first.
const IRQ_CASCADE: u8 = 2;
const HEADER: usize = 44;
/// Flag of an I/O APIC.
const USABLE: u8 = 1;
const ISA_BUS: u8 = 0;
/// Interrupt source flags: polarity and trigger conform to the bus.
const CONFORMS: u16 = 0;

/// Interrupt types of the entries.
const INT: u8 = 0;
const NMI: u8 = 1;
const EXT_INT: u8 = 3;

/// Puts both structures into the firmware area, and the two words into the BIOS data area.
pub fn write(ram: &mut Ram, config: &MachineConfig) {
    let extended = (CONVENTIONAL_END >> 4) as u16;
    let base_kib = (CONVENTIONAL_END >> 10) as u16;
    let stored = ram.poke(u64::from(TABLE), &table(config))
        && ram.poke(u64::from(FLOATING_POINTER), &floating_pointer())
        && ram.poke(EXTENDED_DATA_SEGMENT, &extended.to_le_bytes())
        && ram.poke(BASE_MEMORY_KIB, &base_kib.to_le_bytes());
    debug_assert!(stored, "the firmware area is always there");
}

fn floating_pointer() -> [u8; 16] {
    let mut p = [0; 16];
    p[..4].copy_from_slice(b"_MP_");
    p[4..8].copy_from_slice(&TABLE.to_le_bytes());
    p[8] = 1;
    p[9] = 4;
    p[10] = checksum(&p);
    p
}

fn table(config: &MachineConfig) -> Vec<u8> {
    let preset = &config.preset;
    let kind = config.apic_kind();
    let mut entries: u16 = 0;
    let mut body = Vec::new();
    let mut add = |entry: &[u8]| {
        entries += 1;
        body.extend_from_slice(entry);
    };

    for id in 0..config.cpus as u8 {
        let version = match kind {
            Kind::P6 => 0x11,
            Kind::XApic => 0x14,
        };
        // Enabled; the bootstrap processor is marked.
        let flags = if id == 0 { 0b11 } else { 0b01 };
        let mut entry = [0; 20];
        entry[..4].copy_from_slice(&[0, id, version, flags]);
        entry[4..8].copy_from_slice(&preset.cpuid.signature().to_le_bytes());
        entry[8..12].copy_from_slice(&preset.features.edx().to_le_bytes());
        add(&entry);
    }
    add(&[1, ISA_BUS, b'I', b'S', b'A', b' ', b' ', b' ']);
    let io_apic = config.cpus as u8;
    let [a, b, c, d] = (io_apic::BASE as u32).to_le_bytes();
    add(&[2, io_apic, 0x11, USABLE, a, b, c, d]);
    add(&interrupt(3, EXT_INT, IRQ_TIMER, io_apic, PIN_8259));
    for irq in (0..16).filter(|irq| ![IRQ_CASCADE, IRQ_COPROCESSOR].contains(irq)) {
        add(&interrupt(3, INT, irq, io_apic, pin(irq)));
    }
    add(&interrupt(4, EXT_INT, 0, 0xff, 0));
    add(&interrupt(4, NMI, 0, 0xff, 1));

    let mut table = vec![0; HEADER];
    table[..4].copy_from_slice(b"PCMP");
    table[4..6].copy_from_slice(&((HEADER + body.len()) as u16).to_le_bytes());
    table[6] = 4;
    table[8..16].copy_from_slice(b"SHOOTDWN");
    table[16..28].copy_from_slice(b"EMULATOR    ");
    table[34..36].copy_from_slice(&entries.to_le_bytes());
    table[36..40].copy_from_slice(&(DEFAULT_BASE as u32).to_le_bytes());
    table.extend(body);
    table[7] = checksum(&table);
    table
}

/// An I/O (type 3) or local (type 4) interrupt entry.
fn interrupt(entry: u8, kind: u8, irq: u8, apic: u8, pin: u8) -> [u8; 8] {
    let [low, high] = CONFORMS.to_le_bytes();
    [entry, kind, low, high, ISA_BUS, irq, apic, pin]
}

/// The byte that makes all bytes sum to zero; its own place must hold zero.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0_u8, |sum, b| sum.wrapping_sub(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Preset;

    /// The memory of a machine after `write`, from the floating pointer on.
    fn tables(preset: &str, cpus: usize) -> Vec<u8> {
        let mut config = MachineConfig::new(Preset::builtin(preset).expect("built in"));
        config.cpus = cpus;
        config.validate().expect("a machine");
        let mut ram = Ram::new(1 << 20);
        write(&mut ram, &config);
        let mut bytes = vec![0; 4096];
        assert!(ram.peek(u64::from(FLOATING_POINTER), &mut bytes));
        bytes
    }

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |s, b| s.wrapping_add(*b))
    }

    #[test]
    fn checksums_and_lengths_hold_at_any_size() {
        for cpus in [1, 2, 15, 16, 64] {
            let bytes = tables("haswell-ep", cpus);
            assert_eq!(&bytes[..4], b"_MP_");
            assert_eq!(sum(&bytes[..16]), 0);
            let table = &bytes[16..];
            assert_eq!(&table[..4], b"PCMP");
            let length = usize::from(u16::from_le_bytes([table[4], table[5]]));
            assert_eq!(sum(&table[..length]), 0);
            // Walk the entries as a kernel does.
            let (mut at, mut count, mut processors) = (HEADER, 0, Vec::new());
            while at < length {
                if table[at] == 0 {
                    processors.push((table[at + 1], table[at + 3]));
                }
                at += if table[at] == 0 { 20 } else { 8 };
                count += 1;
            }
            assert_eq!((at, count), (length, u16::from_le_bytes([table[34], table[35]])));
            assert_eq!(processors.len(), cpus);
            for (i, &(id, flags)) in processors.iter().enumerate() {
                assert_eq!((usize::from(id), flags), (i, if i == 0 { 3 } else { 1 }));
            }
        }
    }

    #[test]
    fn processors_are_those_of_the_preset() {
        let bytes = tables("p3", 2);
        let second = &bytes[16 + HEADER + 20..][..20];
        assert_eq!(second[1..4], [1, 0x11, 1]);
        assert_eq!(second[4..8], 0x683_u32.to_le_bytes());
        assert_ne!(
            u32::from_le_bytes([second[8], second[9], second[10], second[11]]) & 1 << 9,
            0,
            "has an APIC"
        );
        assert_eq!(bytes[16 + 36..16 + 40], 0xfee0_0000_u32.to_le_bytes());
    }

    #[test]
    fn the_bios_data_area_points_at_ram() {
        let config = MachineConfig::new(Preset::builtin("p3").expect("built in"));
        let mut ram = Ram::new(1 << 20);
        write(&mut ram, &config);
        let mut words = [0; 7];
        assert!(ram.peek(EXTENDED_DATA_SEGMENT, &mut words));
        assert_eq!(words[..2], 0x9fc0_u16.to_le_bytes());
        assert_eq!(words[5..], 639_u16.to_le_bytes());
    }

    #[test]
    fn interrupts_are_wired_as_the_table_says() {
        let bytes = tables("p3", 4);
        let entries: Vec<_> = bytes[16 + HEADER + 80 + 8..].chunks(8).take(17).collect();
        assert_eq!(entries[0], [2, 4, 0x11, 1, 0, 0, 0xc0, 0xfe]);
        assert_eq!(entries[1], [3, 3, 0, 0, 0, 0, 4, 0], "the 8259 pair at pin 0");
        assert_eq!(entries[2], [3, 0, 0, 0, 0, 0, 4, 2], "the timer at pin 2");
        assert_eq!(entries[5], [3, 0, 0, 0, 0, 4, 4, 4], "the serial port");
        assert_eq!(entries[9], [3, 0, 0, 0, 0, 8, 4, 8], "the clock");
        let irqs: Vec<_> = entries[2..16].iter().map(|e| e[5]).collect();
        assert_eq!(irqs, [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15]);
        assert_eq!(entries[16], [4, 3, 0, 0, 0, 0, 0xff, 0]);
    }
}
