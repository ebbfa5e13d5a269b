//! The interrupt command register: from its two words to a message, and from a
//! message to the set of processors that it reaches.
//!
//! ```text
//!  ICR low   31    20 19   18 17 16 15   14  13 12  11  10    8 7      0
//!           +--------+-------+-----+---+---+---+---+---+-------+--------+
//!           |    -   | short |  -  | T | L | - | S | D | mode  | vector |
//!           +--------+-------+-----+---+---+---+---+---+-------+--------+
//!            T trigger: 1 level   L level: 1 assert   S send pending   D 1 = logical
//!  ICR high  31        24   destination (P6: bits 24-27)
//! ```
//!
//! `SDM vol. 3A, "Interrupt Command Register (ICR)"` and `"Determining IPI
//! Destination"`. Lowest-priority messages go to the focus processor, if there is one,
//! or to the lowest arbitration priority; ties to the highest arbitration ID on a P6,
//! else to the lowest processor.

use super::Kind;

/// How a message is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The vector is put into the IRR of each target.
    Fixed,
    /// As `Fixed`, to the one target with the lowest priority.
    LowestPriority,
    /// System management interrupt.
    Smi,
    /// Non-maskable interrupt.
    Nmi,
    /// Resets each target to wait for a start-up message.
    Init,
    /// INIT level de-assert: only synchronises arbitration ids, reaches no processor.
    InitDeassert,
    /// Asks for an interrupt of the 8259 pair (only the I/O APIC sends it).
    ExtInt,
    /// Start-up: a target that waits starts in real mode at `vector << 12`.
    Startup,
    /// A reserved encoding (3 or 7).
    Reserved(u8),
}

/// Level bit of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// De-assert.
    Deassert,
    /// Assert.
    Assert,
}

/// Trigger mode of an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Edge.
    Edge,
    /// Level: the end of interrupt is told to the I/O APIC.
    Level,
}

/// Who is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The APIC with this id, or all with the broadcast id.
    Physical(u8),
    /// A message destination address, matched against each logical id.
    Logical(u8),
    /// The sender.
    Self_,
    /// Every processor.
    AllIncludingSelf,
    /// Every processor but the sender.
    AllExcludingSelf,
}

/// An interprocessor interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipi {
    /// Delivery mode.
    pub mode: Mode,
    /// Vector; of a start-up message the page to start at.
    pub vector: u8,
    /// Who is meant.
    pub destination: Destination,
    /// Level bit.
    pub level: Level,
    /// Trigger mode.
    pub trigger: Trigger,
}

impl Ipi {
    /// Decodes the two words of the ICR.
    pub fn decode(kind: Kind, high: u32, low: u32) -> Ipi {
        let level = if low & 1 << 14 != 0 { Level::Assert } else { Level::Deassert };
        let trigger = if low & 1 << 15 != 0 { Trigger::Level } else { Trigger::Edge };
        let mode = match (low >> 8 & 7) as u8 {
            0 => Mode::Fixed,
            1 => Mode::LowestPriority,
            2 => Mode::Smi,
            4 => Mode::Nmi,
            5 if (level, trigger) == (Level::Deassert, Trigger::Level) => Mode::InitDeassert,
            5 => Mode::Init,
            6 => Mode::Startup,
            reserved => Mode::Reserved(reserved),
        };
        let field = (high >> 24) as u8;
        let destination = match low >> 18 & 3 {
            0 if low & 1 << 11 != 0 => Destination::Logical(field),
            0 => Destination::Physical(field & kind.id_mask()),
            1 => Destination::Self_,
            2 => Destination::AllIncludingSelf,
            _ => Destination::AllExcludingSelf,
        };
        Ipi { mode, vector: low as u8, destination, level, trigger }
    }
}

/// How an APIC reads a logical destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogicalModel {
    /// Eight processors, a bit each.
    Flat,
    /// Clusters of four: number in the upper half, a bit each in the lower.
    Cluster,
}

/// What the choice of targets must know of an APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Switched on by IA32_APIC_BASE: any other hears nothing.
    pub on: bool,
    /// Has the vector in question requested or in service, and wants to be preferred for it.
    pub focus: bool,
    /// Arbitration ID, 0 where there is no serial bus.
    pub arbitration: u8,
    /// APIC id.
    pub id: u8,
    /// Logical id (LDR).
    pub logical: u8,
    /// Meaning of the logical id (DFR).
    pub model: LogicalModel,
    /// Arbitration priority (APR).
    pub priority: u8,
    /// Enabled by software: only such an APIC takes part in lowest-priority delivery.
    pub enabled: bool,
}

impl View {
    fn matches(&self, kind: Kind, destination: Destination) -> bool {
        match destination {
            Destination::Physical(id) => id == kind.broadcast() || id == self.id & kind.id_mask(),
            Destination::Logical(0xff) => true,
            Destination::Logical(mda) => match self.model {
                LogicalModel::Flat => mda & self.logical != 0,
                LogicalModel::Cluster => {
                    let cluster = mda >> 4 == 0xf || mda >> 4 == self.logical >> 4;
                    cluster && mda & self.logical & 0xf != 0
                }
            },
            _ => true,
        }
    }
}

/// The processors that a message reaches, as a mask by processor number.
/// `sender` is a processor number; `apics` are all of the machine, in order (at most 64).
pub fn targets(ipi: &Ipi, sender: usize, kind: Kind, apics: impl IntoIterator<Item = View>) -> u64 {
    if matches!(ipi.mode, Mode::InitDeassert | Mode::Reserved(_)) {
        return 0;
    }
    let own = 1_u64.checked_shl(sender as u32).unwrap_or(0);
    let mut mask = 0_u64;
    // The best so far: focus first, then low priority, then high arbitration ID.
    let mut best: Option<((bool, u8, u8), u64)> = None;
    for (cpu, apic) in apics.into_iter().take(64).enumerate() {
        let bit = 1_u64 << cpu;
        let meant = match ipi.destination {
            Destination::Self_ => bit == own,
            Destination::AllExcludingSelf => bit != own,
            destination => apic.matches(kind, destination),
        };
        if !meant || !apic.on {
            continue;
        }
        mask |= bit;
        let order = (!apic.focus, apic.priority, !apic.arbitration);
        if apic.enabled && best.is_none_or(|(least, _)| order < least) {
            best = Some((order, bit));
        }
    }
    match ipi.mode {
        Mode::LowestPriority => best.map_or(0, |(_, bit)| bit),
        _ => mask,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn views(n: u8) -> Vec<View> {
        (0..n)
            .map(|id| View {
                on: true,
                focus: false,
                arbitration: 0,
                id,
                logical: 1_u8.checked_shl(u32::from(id)).unwrap_or(0),
                model: LogicalModel::Flat,
                priority: 0,
                enabled: true,
            })
            .collect()
    }

    fn send(high: u32, low: u32, sender: usize, views: &[View]) -> u64 {
        targets(&Ipi::decode(Kind::XApic, high, low), sender, Kind::XApic, views.iter().copied())
    }

    #[test]
    fn the_usual_commands_are_decoded() {
        let init = Ipi::decode(Kind::P6, 0x0300_0000, 0x0000_c500);
        assert_eq!((init.mode, init.destination), (Mode::Init, Destination::Physical(3)));
        assert_eq!((init.level, init.trigger), (Level::Assert, Trigger::Level));
        let deassert = Ipi::decode(Kind::P6, 0x0300_0000, 0x0000_8500);
        assert_eq!(deassert.mode, Mode::InitDeassert);
        let sipi = Ipi::decode(Kind::P6, 0x0300_0000, 0x0000_4608);
        assert_eq!((sipi.mode, sipi.vector), (Mode::Startup, 8));
        let all = Ipi::decode(Kind::P6, 0, 0x000c_40fd);
        assert_eq!(
            (all.mode, all.vector, all.destination),
            (Mode::Fixed, 0xfd, Destination::AllExcludingSelf)
        );
        assert_eq!(Ipi::decode(Kind::P6, 0, 0x0400).mode, Mode::Nmi);
        assert_eq!(Ipi::decode(Kind::P6, 0, 0x0300).mode, Mode::Reserved(3));
        assert_eq!(Ipi::decode(Kind::P6, 0, 0x0700).mode, Mode::Reserved(7));
    }

    #[test]
    fn shorthands_are_relative_to_the_sender() {
        let v = views(4);
        assert_eq!(send(0, 0x0004_4040, 2, &v), 0b0100);
        assert_eq!(send(0, 0x0008_4040, 2, &v), 0b1111);
        assert_eq!(send(0, 0x000c_4040, 2, &v), 0b1011);
        assert_eq!(send(0, 0x000c_4040, 63, &views(64)), u64::MAX >> 1);
    }

    #[test]
    fn physical_ids_and_broadcast() {
        let v = views(20);
        assert_eq!(send(0x1100_0000, 0x4040, 0, &v), 1 << 17);
        assert_eq!(send(0xff00_0000, 0x4040, 0, &v), (1 << 20) - 1);
        assert_eq!(send(0x4000_0000, 0x4040, 0, &v), 0, "nobody has this id");
        let p6 = |high| targets(&Ipi::decode(Kind::P6, high, 0x4040), 0, Kind::P6, views(15));
        assert_eq!(p6(0x0f00_0000), 0x7fff, "4 bits: 15 means all");
        assert_eq!(p6(0xf300_0000), 1 << 3, "the upper bits do not count");
    }

    #[test]
    fn logical_flat_is_a_mask() {
        let v = views(8);
        assert_eq!(send(0x8100_0000, 0x4840, 0, &v), 0x81);
        assert_eq!(send(0xff00_0000, 0x4840, 0, &v), 0xff);
    }

    #[test]
    fn logical_cluster_is_a_number_and_a_mask() {
        let mut v = views(8);
        for (i, view) in v.iter_mut().enumerate() {
            view.model = LogicalModel::Cluster;
            view.logical = ((i / 4) << 4 | 1 << (i % 4)) as u8;
        }
        assert_eq!(send(0x1300_0000, 0x4840, 0, &v), 0x30);
        assert_eq!(send(0xf100_0000, 0x4840, 0, &v), 0x11, "cluster 15 means all clusters");
        assert_eq!(send(0x2300_0000, 0x4840, 0, &v), 0);
    }

    #[test]
    fn lowest_priority_finds_one_enabled_processor() {
        let mut v = views(4);
        v[0].priority = 0x20;
        v[1].enabled = false;
        v[2].priority = 0x10;
        v[3].priority = 0x10;
        assert_eq!(send(0xff00_0000, 0x4940, 0, &v), 1 << 2);
        for view in &mut v {
            view.enabled = false;
        }
        assert_eq!(send(0xff00_0000, 0x4940, 0, &v), 0);
    }

    #[test]
    fn focus_and_arbitration_decide_among_the_lowest() {
        let mut v = views(4);
        v[0].priority = 0x10;
        v[2].arbitration = 3;
        v[3].arbitration = 2;
        assert_eq!(send(0xff00_0000, 0x4940, 0, &v), 1 << 2, "the highest arbitration ID of three");
        v[0].focus = true;
        assert_eq!(send(0xff00_0000, 0x4940, 0, &v), 1, "the focus processor, whatever its priority");
        v[0].on = false;
        assert_eq!(send(0xff00_0000, 0x4940, 0, &v), 1 << 2);
        assert_eq!(send(0xff00_0000, 0x4840, 0, &v), 0b1110, "an APIC that is off hears nothing");
    }

    #[test]
    fn init_deassert_reaches_nobody() {
        assert_eq!(send(0, 0x0008_8500, 0, &views(4)), 0);
    }
}
