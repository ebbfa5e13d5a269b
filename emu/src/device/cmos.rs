//! The CMOS clock and memory behind ports 0x70 and 0x71 (Motorola `MC146818`).
//!
//! The date is fixed, so that runs are equal; the time of day starts at midnight
//! and follows the clock of the processor that reads it. Memory sizes stand where
//! PC firmware puts them. Other bytes, among them the shutdown code, are storage.

const SECONDS: u8 = 0x00;
const MINUTES: u8 = 0x02;
const HOURS: u8 = 0x04;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const STATUS_C: u8 = 0x0c;
const STATUS_D: u8 = 0x0d;

#[derive(Clone, Debug)]
pub(super) struct Cmos {
    clock_mhz: u32,
    /// Bit 7 masks NMI on a PC; there is none here.
    index: u8,
    bytes: [u8; 128],
}

impl Cmos {
    pub fn new(clock_mhz: u32) -> Cmos {
        let mut bytes = [0; 128];
        // Tuesday, 22 January 2002, in BCD.
        bytes[0x06..0x0a].copy_from_slice(&[0x03, 0x22, 0x01, 0x02]);
        bytes[0x32] = 0x20;
        // 32768 Hz, 1024 Hz rate; 24 hours, BCD; battery good.
        bytes[usize::from(STATUS_A)] = 0x26;
        bytes[usize::from(STATUS_B)] = 0x02;
        bytes[usize::from(STATUS_D)] = 0x80;
        let mut cmos = Cmos { clock_mhz: clock_mhz.max(1), index: 0, bytes };
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

    pub fn read(&self, now: u64) -> u8 {
        let seconds = now / (u64::from(self.clock_mhz) * 1_000_000) % 86_400;
        match self.index & 0x7f {
            SECONDS => self.time(seconds % 60),
            MINUTES => self.time(seconds / 60 % 60),
            HOURS => self.time(seconds / 3600),
            index => self.bytes[usize::from(index)],
        }
    }

    pub fn write(&mut self, value: u8) {
        match self.index & 0x7f {
            // The clock cannot be set, and C and D are read-only.
            SECONDS | MINUTES | HOURS | STATUS_C | STATUS_D => {}
            index => self.bytes[usize::from(index)] = value,
        }
    }

    /// A number of the clock, in BCD unless status B asks for binary.
    fn time(&self, n: u64) -> u8 {
        let n = n as u8;
        if self.bytes[usize::from(STATUS_B)] & 4 != 0 { n } else { ((n / 10) << 4) | (n % 10) }
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
    fn the_time_follows_the_processor_s_clock() {
        let mut c = cmos(1 << 24);
        let now = 700_000_000 * (13 * 3600 + 59 * 60 + 47);
        assert_eq!(
            [at(&mut c, HOURS, now), at(&mut c, MINUTES, now), at(&mut c, SECONDS, now)],
            [0x13, 0x59, 0x47]
        );
        assert_eq!(at(&mut c, SECONDS, now - 1), 0x46);
        c.write_index(STATUS_B);
        c.write(0x06);
        assert_eq!(at(&mut c, MINUTES, now), 59);
    }

    #[test]
    fn the_date_is_fixed() {
        let mut c = cmos(1 << 24);
        let date = [0x32, 9, 8, 7].map(|i| at(&mut c, i, 0));
        assert_eq!(date, [0x20, 0x02, 0x01, 0x22]);
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
        c.write(0x0a);
        assert_eq!((c.read_index(), c.read(0)), (0x8f, 0x0a));
        c.write_index(STATUS_D);
        c.write(0);
        assert_eq!(c.read(0), 0x80);
    }
}
