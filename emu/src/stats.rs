//! Counters per processor, with the names used in results.

macro_rules! counters {
    ($($(#[$meta:meta])* $name:ident),* $(,)?) => {
        /// What one processor has done. All counts, no unit.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $($(#[$meta])* pub $name: u64,)* }

        impl Counters {
            /// Name and value of every counter, in a fixed order.
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }

            /// Counts since `earlier`.
            pub fn since(&self, earlier: &Counters) -> Counters {
                Counters { $($name: self.$name - earlier.$name,)* }
            }

            /// Adds another processor's counts.
            pub fn add(&mut self, other: &Counters) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// Instructions completed; each iteration of a repeated string instruction counts once per resume, not per element.
    instructions,
    /// Data accesses that missed the first-level data TLB.
    dtlb_misses,
    /// Instruction fetches that missed the instruction TLB.
    itlb_misses,
    /// First-level misses answered by the second-level TLB.
    second_level_hits,
    /// Page walks.
    walks,
    /// First-level misses that an `invlpg` caused: an unflushed TLB would have hit.
    refills_invlpg,
    /// The same for flushes that spare global entries, CR3 loads above all.
    refills_cr3,
    /// The same for flushes that drop global entries too.
    refills_global,
    /// First-level misses of flushed pages that had been given another frame meanwhile.
    remapped,
    /// Updates of accessed or dirty bits.
    ad_updates,
    /// Accesses to lines that were not in the first-level cache.
    l1_misses,
    /// The same for the second level, lines of other processors not counted.
    l2_misses,
    /// The same for the last level: lines from memory.
    llc_misses,
    /// Lines handed over by another processor, and upgrades of shared lines.
    line_transfers,
    /// `invlpg` instructions.
    invlpg,
    /// Loads of CR3.
    cr3_loads,
    /// Flushes that dropped global entries too (CR4.PGE cleared; PAE, PSE or CR0.PG changed while PGE was set).
    global_flushes,
    /// IPI messages sent, INIT and start-up included; a broadcast is one.
    ipis,
    /// Fixed IPIs that arrived here.
    ipis_received,
    /// Interrupts taken.
    interrupts,
    /// Exceptions delivered.
    exceptions,
    /// Page faults delivered.
    page_faults,
    /// Uses of a translation that its PTE no longer gives.
    stale_uses,
    /// Stale uses of a frame declared free, or of a slot handed on.
    harmful_uses,
    /// Accesses to ports where no device is.
    empty_ports,
    /// Accesses to physical addresses where nothing is.
    empty_addresses,
    /// RDMSR or WRMSR of an MSR that is not there (#GP raised).
    unknown_msrs,
}
