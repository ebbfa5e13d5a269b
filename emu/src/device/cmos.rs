//! The CMOS memory behind ports 70h and 71h, of which the first bytes are the clock's.
//!
//! Memory sizes stand where PC firmware puts them. Other bytes, among them the
//! century and the shutdown code, are storage.

use super::rtc::Rtc;

#[derive(Clone, Debug)]
pub(super) struct Cmos {
    /// The clock in it.
    pub rtc: Rtc,
    /// Bit 7 holds back the NMI line.
    index: u8,
    bytes: [u8; 128],
}

impl Cmos {
    pub fn new(clock_mhz: u32) -> Cmos {
        let mut bytes = [0; 128];
        bytes[0x32] = 0x20;
        // A coprocessor and an 80-column colour display.
        bytes[0x14] = 0x22;
        let mut cmos = Cmos { rtc: Rtc::new(clock_mhz), index: 0, bytes };
        cmos.set_memory(1 << 20);
        cmos
    }

    /// Stores the machine's RAM size, given in bytes, where firmware does: 640 KiB below;
    /// KiB above 1 MiB, twice, up to 64 MiB; 64 KiB above 16 MiB, up to 3.5 GiB.
    pub fn set_memory(&mut self, memory: u64) {
        let low = crate::loader::MemoryMap::new(memory).low_end();
        let extended = (low.saturating_sub(1 << 20) >> 10).min(0xffff);
        let above = (low.saturating_sub(16 << 20) >> 16).min(0xffff);
        for (at, value) in [(0x15, 640), (0x17, extended), (0x30, extended), (0x34, above)] {
            self.bytes[at] = value as u8;
            self.bytes[at + 1] = (value >> 8) as u8;
        }
    }

    pub fn read_index(&self) -> u8 {
        self.index
    }

    pub fn write_index(&mut self, value: u8) {
        self.index = value;
    }

    /// Does the NMI line reach the processors?
    pub fn lets_nmi_through(&self) -> bool {
        self.index & 0x80 == 0
    }

    pub fn read(&mut self, now: u64) -> u8 {
        let index = self.index & 0x7f;
        if Rtc::covers(index) { self.rtc.read(index, now) } else { self.bytes[usize::from(index)] }
    }

    pub fn write(&mut self, value: u8, now: u64) {
        let index = self.index & 0x7f;
        if Rtc::covers(index) {
            self.rtc.write(index, value, now);
        } else {
            self.bytes[usize::from(index)] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cmos(memory: u64) -> Cmos {
        let mut cmos = Cmos::new(700);
        cmos.set_memory(memory);
        cmos
    }

    fn at(cmos: &mut Cmos, index: u8, now: u64) -> u8 {
        cmos.write_index(index);
        cmos.read(now)
    }

    #[test]
    fn the_clock_is_in_it() {
        let mut c = cmos(1 << 24);
        assert_eq!([0x32, 9, 8, 7, 0].map(|i| at(&mut c, i, 700_000_000)), [0x20, 0x02, 0x01, 0x22, 1]);
        c.write_index(0x0d);
        c.write(0, 0);
        assert_eq!(c.read(0), 0x80);
    }

    #[test]
    fn memory_sizes_stand_where_firmware_puts_them() {
        let mut c = cmos(128 << 20);
        let word = |c: &mut Cmos, i| u16::from(at(c, i, 0)) | u16::from(at(c, i + 1, 0)) << 8;
        assert_eq!(word(&mut c, 0x15), 640);
        assert_eq!(word(&mut c, 0x30), 0xffff, "64 MiB at most");
        assert_eq!(word(&mut c, 0x34), 112 * 16);
        let mut c = cmos(8 << 20);
        assert_eq!((word(&mut c, 0x17), word(&mut c, 0x34)), (7 * 1024, 0));
    }

    #[test]
    fn the_shutdown_code_is_kept() {
        let mut c = cmos(1 << 24);
        c.write_index(0x8f);
        c.write(0x0a, 0);
        assert_eq!((c.read_index(), c.read(0)), (0x8f, 0x0a));
        assert!(!c.lets_nmi_through());
    }
}
