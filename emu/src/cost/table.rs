//! The names of the costs and the table of numbers behind them.
//!
//! Each number stands in a preset file with its source; where the source is an
//! estimate it must have a bracket (`low`, `high`), so that a sweep over the
//! bracket shows whether a conclusion hangs on it. [`Costs`] is the same table
//! in core cycles, as plain fields: what the engine reads while it runs.
//!
//! The costs are those of an in-order, additive processor: an instruction is
//! charged its class, plus `load`/`store` for memory operands, plus whatever the
//! TLB, the other processors and the interrupt controller add.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The largest cost, in cycles, that a preset may hold.
pub const MAX_CYCLES: f64 = 100_000_000.0;

/// The most that an instruction may cost by itself, memory operands included, in cycles: what an operation's byte holds.
pub(crate) const MAX_INSTRUCTION_CYCLES: u32 = u8::MAX as u32;

impl Costs {
    /// What instructions are charged when they are decoded: key, cycles, and cycles of memory operands on top.
    pub(super) fn of_instructions(&self) -> [(&'static str, u32, u32); 10] {
        let operands = self.load.saturating_add(self.store);
        [
            ("alu", self.alu, operands),
            ("branch", self.branch, operands),
            ("multiply", self.multiply, operands),
            ("divide", self.divide, operands),
            ("x87", self.x87, operands),
            ("x87_divide", self.x87_divide, operands),
            ("x87_function", self.x87_function, operands),
            ("string_setup", self.string_setup, operands),
            ("pause", self.pause, operands),
            ("locked", self.locked, 0),
        ]
    }
}

/// Declares the costs once: field, key, least value in cycles, meaning.
macro_rules! costs {
    ($($key:ident >= $min:literal $text:literal,)*) => {
        /// Every cost in core cycles, ready for the engine.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Costs {
            $(#[doc = concat!($text, " (cycles).")] pub $key: u32,)*
        }

        /// Every cost of a preset, in the order in which it is shown.
        pub const COSTS: &[CostInfo] = &[
            $(CostInfo { key: stringify!($key), min: $min, text: $text },)*
        ];

        impl Costs {
            /// Builds the table by asking for each key in turn.
            pub(super) fn from_cycles(mut of: impl FnMut(&str) -> u32) -> Costs {
                Costs { $($key: of(stringify!($key)),)* }
            }

            /// The cycles under a key, for reports. `None` for a name that is no cost.
            pub fn get(&self, key: &str) -> Option<u32> {
                match key {
                    $(stringify!($key) => Some(self.$key),)*
                    _ => None,
                }
            }
        }
    };
}

/// What a cost is called and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostInfo {
    /// The key in the `[cost]` table and the field of [`Costs`].
    pub key: &'static str,
    /// The least value in cycles; 1 where zero would let time stand still.
    pub min: u32,
    /// One line of meaning.
    pub text: &'static str,
}

costs! {
    alu >= 1 "a simple register operation",
    load >= 0 "added for each operand read from memory, TLB and first-level cache hit",
    store >= 0 "added for each operand written to memory, TLB and first-level cache hit",
    branch >= 1 "a jump, call or return",
    multiply >= 1 "an integer multiplication",
    divide >= 1 "an integer division",
    x87 >= 1 "an x87 instruction without a cost of its own",
    x87_divide >= 1 "an x87 division or square root",
    x87_function >= 1 "an x87 instruction in microcode: transcendental, remainder, packed decimal, state image",
    string_setup >= 1 "start of a repeated string instruction",
    string_element >= 0 "each element of a string instruction, its loads and stores included",
    locked >= 1 "a locked read-modify-write, whole, its line exclusive here",
    io >= 1 "an access to an I/O port",
    cpuid >= 1 "CPUID",
    rdtsc >= 1 "RDTSC",
    msr >= 1 "RDMSR or WRMSR",
    pause >= 1 "PAUSE",
    segment >= 1 "a load of a segment register from the descriptor table",
    far >= 1 "a far jump, call or return in the same ring",
    system >= 1 "a system instruction without a cost of its own (LGDT, LTR, CLTS, MOV CR0...)",
    cr3_load >= 1 "MOV CR3, with the flush of the non-global entries",
    cr4_pge_write >= 1 "one MOV CR4 that changes PGE, with the flush of all entries; half of an off/on pair",
    invlpg >= 1 "INVLPG",
    walk >= 0 "a page walk, whole, with the tables cached",
    second_level_hit >= 0 "a miss of the first-level TLB that hits the second level",
    ad_update >= 0 "setting an accessed or dirty bit: a locked update of the entry",
    interrupt_entry >= 1 "interrupt or exception, ring 3 to ring 0",
    interrupt_return >= 1 "IRET, ring 0 to ring 3",
    interrupt_entry_same >= 1 "interrupt or exception without a change of ring",
    interrupt_return_same >= 1 "IRET without a change of ring",
    apic_access >= 1 "an access to a register of the local APIC",
    ipi_latency >= 1 "from the write of the ICR to the arrival at the target",
    ipi_bus >= 0 "time for which one message holds the shared APIC bus; 0 where there is none",
    l2_hit >= 1 "a load that misses the first-level cache and hits the second, whole",
    llc_hit >= 1 "a load that hits the last level, whole",
    memory >= 1 "a load from memory, whole",
    stream >= 1 "a load beyond the second level whose line is next to the one missed before, whole",
    line_transfer >= 1 "a compare-exchange of a line that another processor has, whole; also bounds the lookahead",
    line_transfer_remote >= 1 "the same from another socket",
    halt_wake >= 0 "from the arrival of an interrupt to the first work of a halted processor",
}

/// The unit of a number in a preset file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Core clock cycles.
    Cycles,
    /// Nanoseconds, turned into cycles by the preset's clock.
    Nanoseconds,
    /// TLB entries.
    Entries,
    /// Ways of a TLB or cache.
    Ways,
    /// Size of a cache.
    Kibibytes,
    /// Megahertz.
    Megahertz,
    /// A count or a number of bits.
    Count,
}

impl Unit {
    /// The unit as it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Cycles => "cycles",
            Unit::Nanoseconds => "ns",
            Unit::Entries => "entries",
            Unit::Ways => "ways",
            Unit::Kibibytes => "KiB",
            Unit::Megahertz => "MHz",
            Unit::Count => "",
        }
    }
}

/// One cost as it stands in the file: exactly one of `cycles` and `ns`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCost {
    cycles: Option<f64>,
    ns: Option<f64>,
    source: String,
    low: Option<f64>,
    high: Option<f64>,
}

/// One checked cost: value, unit, bracket and source.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// The value in `unit`.
    pub value: f64,
    /// [`Unit::Cycles`] or [`Unit::Nanoseconds`].
    pub unit: Unit,
    /// The bracket in `unit`, where there is one.
    pub bracket: Option<(f64, f64)>,
    /// Where the value comes from.
    pub source: String,
}

impl Cost {
    /// The value in core cycles at `clock_mhz`, rounded to the nearest.
    pub fn cycles(&self, clock_mhz: u32) -> u32 {
        let cycles = match self.unit {
            Unit::Nanoseconds => self.value * f64::from(clock_mhz) / 1000.0,
            _ => self.value,
        };
        // Checked against `MAX_CYCLES` when the preset was read.
        cycles.round() as u32
    }

    /// Checks one entry of `[cost]`. The error is a fragment that names what is
    /// wrong and what is accepted; the caller puts file and key in front.
    pub(super) fn check(raw: RawCost) -> Result<Cost, String> {
        let (value, unit) = match (raw.cycles, raw.ns) {
            (Some(cycles), None) => (cycles, Unit::Cycles),
            (None, Some(ns)) => (ns, Unit::Nanoseconds),
            _ => {
                return Err("needs exactly one of `cycles = N` and `ns = N`".into());
            }
        };
        let bracket = match (raw.low, raw.high) {
            (Some(low), Some(high)) => Some((low, high)),
            (None, None) => None,
            _ => return Err("has one end of a bracket; give both `low` and `high`".into()),
        };
        if raw.source.trim().is_empty() {
            return Err("has an empty `source`; say where the number comes from".into());
        }
        if bracket.is_none() && raw.source.starts_with("estimate") {
            return Err("is an estimate without a bracket; give `low` and `high`".into());
        }
        if let Some((low, high)) = bracket
            && !(low <= value && value <= high)
        {
            return Err(format!(
                "{value} lies outside its own bracket; accepted is low <= value <= high, here {low} to {high}"
            ));
        }
        Ok(Cost { value, unit, bracket, source: raw.source })
    }

    /// Reads an override: `120` or `120cycles` are cycles, `500ns` nanoseconds.
    pub(super) fn parse(text: &str) -> Result<Cost, String> {
        let text = text.trim();
        let (number, unit) = if let Some(ns) = text.strip_suffix("ns") {
            (ns, Unit::Nanoseconds)
        } else {
            (text.strip_suffix("cycles").unwrap_or(text), Unit::Cycles)
        };
        match number.trim().parse::<f64>() {
            Ok(value) => Ok(Cost { value, unit, bracket: None, source: "set for this run".into() }),
            Err(_) => {
                Err(format!("'{text}' is no cost; accepted are cycles as in 120, or nanoseconds as in 500ns"))
            }
        }
    }

    /// Checks that the value makes a usable number of cycles for `info`.
    pub(super) fn check_range(&self, info: &CostInfo, clock_mhz: u32) -> Result<(), String> {
        let per = match self.unit {
            Unit::Nanoseconds => f64::from(clock_mhz) / 1000.0,
            _ => 1.0,
        };
        let cycles = self.value * per;
        // Negated so that NaN is refused as well.
        if !(cycles.round() >= f64::from(info.min) && cycles <= MAX_CYCLES) || self.value < 0.0 {
            return Err(format!(
                "{} {} is out of range; accepted are {} to {} cycles",
                self.value,
                self.unit.name(),
                info.min,
                MAX_CYCLES
            ));
        }
        Ok(())
    }
}

/// The `[cost]` table of a preset: every key of [`COSTS`], no other.
pub(super) type CostTable = BTreeMap<String, Cost>;

/// All names of costs, for messages.
pub(super) fn accepted_keys() -> String {
    let keys: Vec<_> = COSTS.iter().map(|info| info.key).collect();
    keys.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Result<Cost, String> {
        Cost::check(toml::from_str(text).expect("well-formed TOML"))
    }

    #[test]
    fn nanoseconds_round_to_the_nearest_cycle() {
        let cost = raw("ns = 44\nsource = \"x\"").unwrap();
        assert_eq!(cost.cycles(2600), 114, "114.4");
        assert_eq!(cost.cycles(2625), 116, "115.5 rounds up");
        assert_eq!(cost.cycles(1000), 44);
    }

    #[test]
    fn an_estimate_needs_a_bracket_around_its_value() {
        assert!(raw("cycles = 9\nsource = \"estimate: x\"").unwrap_err().contains("bracket"));
        assert!(raw("cycles = 9\nlow = 1\nsource = \"y\"").unwrap_err().contains("both"));
        let outside = raw("cycles = 9\nlow = 1\nhigh = 8\nsource = \"estimate\"").unwrap_err();
        assert!(outside.contains("1 to 8"), "{outside}");
        assert_eq!(
            raw("cycles = 9\nlow = 9\nhigh = 9\nsource = \"estimate\"").unwrap().bracket,
            Some((9.0, 9.0))
        );
    }

    #[test]
    fn a_cost_has_one_unit() {
        assert!(raw("source = \"x\"").unwrap_err().contains("exactly one"));
        assert!(raw("ns = 1\ncycles = 1\nsource = \"x\"").unwrap_err().contains("exactly one"));
    }

    #[test]
    fn overrides_are_cycles_unless_they_say_ns() {
        assert_eq!(Cost::parse("120").unwrap().cycles(2600), 120);
        assert_eq!(Cost::parse(" 120 cycles").unwrap().cycles(2600), 120);
        assert_eq!(Cost::parse("500ns").unwrap().cycles(2600), 1300);
        assert!(Cost::parse("fast").unwrap_err().contains("accepted"));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let info = &COSTS[0];
        for text in ["0", "-1", "nan", "inf", "1e30"] {
            let cost = Cost::parse(text).unwrap();
            assert!(cost.check_range(info, 700).is_err(), "{text}");
        }
        assert!(Cost::parse("1").unwrap().check_range(info, 700).is_ok());
    }

    #[test]
    fn keys_and_fields_agree() {
        let mut n = 0;
        let costs = Costs::from_cycles(|_| {
            n += 1;
            n
        });
        for (i, info) in COSTS.iter().enumerate() {
            assert_eq!(costs.get(info.key), Some(i as u32 + 1), "{}", info.key);
        }
        assert_eq!(costs.get("warp"), None);
    }
}
