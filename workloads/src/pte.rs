//! The ways in which the kernel reaches page tables, as the host side names them.
//!
//! The protocols themselves are in `kernel-image/src/ptemap/`, one file each; the names here go to the kernel's command
//! line (`pte=`).

/// One table gives enum, names, descriptions and origins.
macro_rules! ways {
    ($($(#[$meta:meta])* $variant:ident $name:literal, $description:literal, $origin:literal;)*) => {
        /// How page tables are reached.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Pte { #[default] $($(#[$meta])* $variant,)* }

        impl Pte {
            /// Every way, the default first.
            pub const ALL: &'static [Pte] = &[$(Pte::$variant,)*];

            /// The name, as the kernel's command line takes it.
            pub const fn name(self) -> &'static str {
                match self { $(Pte::$variant => $name,)* }
            }

            /// What it does, in one line.
            pub const fn description(self) -> &'static str {
                match self { $(Pte::$variant => $description,)* }
            }

            /// Whose idea it is.
            pub const fn origin(self) -> &'static str {
                match self { $(Pte::$variant => $origin,)* }
            }
        }
    };
}

ways! {
    /// In low memory.
    Lowmem "lowmem",
        "page tables lie in low memory: nothing is mapped",
        "Linux 2.4";
    /// Slots of the processor's own.
    Atomic "atomic",
        "page tables in highmem, by two slots of the processor's own; nobody sleeps meanwhile",
        "Molnar, \"simpler highpte\", February 2002";
    /// The shared window, one pool.
    Kmap "kmap",
        "page tables in highmem, by the shared window, from the pool of all pages: can deadlock",
        "Arcangeli, pte-highmem, January 2002";
    /// The same without waiting.
    Nowait "nowait",
        "as kmap if nobody has to wait for a slot, else as atomic",
        "named in the thread on pte-highmem, January 2002";
    /// Three pools, as posted.
    Series "series",
        "as kmap, from pools for pages, tables and second tables; a page keeps its slot: can deadlock",
        "Arcangeli, pte-highmem-5, 22 January 2002";
    /// Three pools, kept apart.
    SeriesStrict "series-strict",
        "as series, but a table never keeps a slot, and the pools are taken in one order",
        "as amended in the thread on pte-highmem, January 2002";
    /// Slots reserved.
    Reserve "reserve",
        "as kmap, but a task's first kmap takes three slots (reserve=2: two) at once or waits with none",
        "Dickins and Arcangeli, January 2002";
}

impl Pte {
    /// The way of this name.
    pub fn from_name(name: &str) -> Option<Pte> {
        Pte::ALL.iter().copied().find(|s| s.name() == name)
    }

    /// All names, for messages.
    pub fn names() -> String {
        Pte::ALL.iter().map(|s| s.name()).collect::<Vec<_>>().join(", ")
    }
}
