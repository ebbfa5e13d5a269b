//! The schemes by which the kernel has user translations forgotten, as the host side names them.
//!
//! The protocols themselves are in `kernel-image/src/shootdown/`, one file each; the names here go to the kernel's
//! command line (`shootdown=`).

/// One table gives enum, names, descriptions and origins.
macro_rules! shootdowns {
    ($($(#[$meta:meta])* $variant:ident $name:literal, $description:literal, $origin:literal;)*) => {
        /// How processors are told that user translations are gone.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Shootdown { #[default] $($(#[$meta])* $variant,)* }

        impl Shootdown {
            /// Every scheme, the default first.
            pub const ALL: &'static [Shootdown] = &[$(Shootdown::$variant,)*];

            /// The name, as the kernel's command line takes it.
            pub const fn name(self) -> &'static str {
                match self { $(Shootdown::$variant => $name,)* }
            }

            /// What it does, in one line.
            pub const fn description(self) -> &'static str {
                match self { $(Shootdown::$variant => $description,)* }
            }

            /// Whose idea it is.
            pub const fn origin(self) -> &'static str {
                match self { $(Shootdown::$variant => $origin,)* }
            }
        }
    };
}

shootdowns! {
    /// The mask is interrupted and waited for.
    IpiSync "ipi-sync",
        "whoever has the address space loaded is interrupted, flushes and acknowledges",
        "Linux 2.4 (flush_tlb_others); Black, Rashid et al. 1989";
    /// Everybody is.
    IpiBroadcast "ipi-broadcast",
        "every other processor is interrupted by one message and flushes, whatever it runs",
        "Linux 2.0 and 2.2 (smp_flush_tlb)";
    /// Acknowledged before the flush.
    EarlyAck "early-ack",
        "as ipi-sync, but a target acknowledges before it flushes",
        "Amit, Tai, Wei, EuroSys 2020";
    /// The initiator flushes meanwhile.
    Concurrent "concurrent",
        "as ipi-sync, but the initiator flushes itself while the others do",
        "Amit, Tai, Wei, EuroSys 2020";
    /// Idle processors are left out.
    Lazy "lazy",
        "as ipi-sync, but processors that run only the kernel are left out and flush when they come back",
        "Linux 2.4 (lazy TLB); van Riel, Linux 4.20";
    /// Generations.
    TlbGen "tlb-gen",
        "as ipi-sync, with a generation for each change: who is up to date does not flush",
        "Lutomirski, Linux 4.14";
}

impl Shootdown {
    /// The scheme of this name.
    pub fn from_name(name: &str) -> Option<Shootdown> {
        Shootdown::ALL.iter().copied().find(|s| s.name() == name)
    }

    /// All names, for messages.
    pub fn names() -> String {
        Shootdown::ALL.iter().map(|s| s.name()).collect::<Vec<_>>().join(", ")
    }
}
