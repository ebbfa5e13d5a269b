//! The shape of the data caches and the layout of the sockets as the preset file
//! gives them.
//!
//! ```text
//!  [topology] sockets, cores     processor n sits in socket n / cores
//!  [cache]    l1, l2             private:              { kib, ways }
//!             llc                shared by a socket:   { kib, ways }     (optional)
//! ```
//!
//! Lines have 64 bytes throughout. What the levels cost stands in `[cost]`.

use serde::Deserialize;

use super::table::Unit;

/// Keys under `cache.` that can be set.
pub(super) const CACHE_KEYS: [&str; 3] = ["l1", "l2", "llc"];
/// Keys under `topology.` that can be set.
pub(super) const TOPOLOGY_KEYS: [&str; 2] = ["sockets", "cores"];
/// Bytes of a line.
const LINE: u64 = 64;
/// The largest first and second level and the largest last level, in KiB: beyond those of the processors modelled,
/// and little enough that 64 of each fit into a host's memory.
const MAX_KIB: [u32; 3] = [1024, 16 * 1024, 128 * 1024];
/// The most ways of a cache.
const MAX_WAYS: u32 = 64;

/// One level: size and ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheGeometry {
    /// Size in KiB, from 1; at most 1024 in the first level, 16384 in the second, 131072 in the last.
    pub kib: u32,
    /// Ways of a set, 1..=64.
    pub ways: u32,
}

impl CacheGeometry {
    /// Sets of lines of 64 bytes.
    pub fn sets(self) -> usize {
        (u64::from(self.kib) * 1024 / LINE / u64::from(self.ways.max(1))) as usize
    }

    fn check(self, most: u32, power_of_two: bool) -> Result<(), String> {
        let Self { kib, ways } = self;
        if kib == 0 || kib > most || ways == 0 || ways > MAX_WAYS {
            return Err(format!("is {kib}x{ways}; accepted are 1 to {most} KiB and 1 to {MAX_WAYS} ways"));
        }
        let lines = u64::from(kib) * 1024 / LINE;
        if !lines.is_multiple_of(u64::from(ways)) || power_of_two && !self.sets().is_power_of_two() {
            let of = if power_of_two { "a power of two" } else { "a whole number" };
            return Err(format!("has {lines} lines in {ways} ways; accepted is {of} of sets"));
        }
        Ok(())
    }
}

/// The data caches of a processor and its socket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheShape {
    /// Where sizes and ways come from.
    pub source: String,
    /// First level, private.
    pub l1: CacheGeometry,
    /// Second level, private, includes the first.
    pub l2: CacheGeometry,
    /// Last level, shared by a socket, where there is one.
    pub llc: Option<CacheGeometry>,
}

impl CacheShape {
    fn levels(&self) -> impl Iterator<Item = (&'static str, CacheGeometry)> {
        let llc = self.llc.map(|g| ("cache.llc", g));
        [("cache.l1", self.l1), ("cache.l2", self.l2)].into_iter().chain(llc)
    }

    /// Key, value, unit and meaning of every number.
    pub(super) fn numbers(&self) -> Vec<(String, u32, Unit, &'static str)> {
        self.levels()
            .flat_map(|(key, g)| {
                [
                    (format!("{key}.kib"), g.kib, Unit::Kibibytes, "data cache"),
                    (format!("{key}.ways"), g.ways, Unit::Ways, "ways of a set"),
                ]
            })
            .collect()
    }

    /// Sets the key `cache.<name>`; `None` when there is no such key.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Option<Result<(), String>> {
        let wrong = |also| format!("is '{value}'; accepted is KIBxWAYS as in 32x8{also}");
        let slot = match name {
            "l1" => &mut self.l1,
            "l2" => &mut self.l2,
            "llc" => {
                let llc = if value == "none" { Some(None) } else { geometry(value).map(Some) };
                return Some(llc.map(|g| self.llc = g).ok_or_else(|| wrong(", or none")));
            }
            _ => return None,
        };
        Some(geometry(value).map(|g| *slot = g).ok_or_else(|| wrong("")))
    }

    /// Checks sizes; the error is the key and what is wrong with it.
    pub(super) fn validate(&self) -> Result<(), (String, String)> {
        for ((key, g), most) in self.levels().zip(MAX_KIB) {
            g.check(most, key != "cache.llc").map_err(|problem| (key.to_string(), problem))?;
        }
        if self.l1.sets() > self.l2.sets() {
            let problem = format!(
                "has {} sets, fewer than the {} of cache.l1; accepted are at least as many",
                self.l2.sets(),
                self.l1.sets()
            );
            return Err(("cache.l2".into(), problem));
        }
        Ok(())
    }
}

/// Reads `32x8`: KiB and ways.
fn geometry(text: &str) -> Option<CacheGeometry> {
    let (kib, ways) = text.split_once('x')?;
    Some(CacheGeometry { kib: kib.trim().parse().ok()?, ways: ways.trim().parse().ok()? })
}

/// Which processors share a socket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Where it comes from.
    pub source: String,
    /// Sockets of the largest machine, 1..=64.
    pub sockets: u32,
    /// Processors in a socket, 1..=64; the first socket is filled first.
    pub cores: u32,
}

impl Topology {
    /// The socket of a processor.
    pub fn socket(&self, cpu: usize) -> usize {
        cpu / self.cores.max(1) as usize
    }

    /// Key, value, unit and meaning of every number.
    pub(super) fn numbers(&self) -> Vec<(String, u32, Unit, &'static str)> {
        vec![
            ("topology.sockets".into(), self.sockets, Unit::Count, "sockets of the largest machine"),
            ("topology.cores".into(), self.cores, Unit::Count, "processors in a socket, filled in order"),
        ]
    }

    /// The field behind `topology.<name>`.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut u32> {
        match name {
            "sockets" => Some(&mut self.sockets),
            "cores" => Some(&mut self.cores),
            _ => None,
        }
    }

    /// Checks ranges; the error is the key and what is wrong with it.
    pub(super) fn validate(&self) -> Result<(), (String, String)> {
        for (key, value) in [("topology.sockets", self.sockets), ("topology.cores", self.cores)] {
            if !(1..=64).contains(&value) {
                return Err((key.into(), format!("is {value}; accepted are 1 to 64")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Preset;

    #[test]
    fn sockets_are_filled_in_order() {
        let t = Topology { source: String::new(), sockets: 2, cores: 6 };
        assert_eq!([0, 5, 6, 11].map(|c| t.socket(c)), [0, 0, 1, 1]);
    }

    #[test]
    fn shapes_can_be_set_and_are_checked() {
        let mut p = Preset::builtin("haswell-ep").unwrap();
        p.set("cache.l1", "16x4").unwrap();
        p.set("cache.llc", "20480x20").unwrap();
        assert_eq!(p.cache.l1.sets(), 64);
        assert_eq!(p.cache.llc.unwrap().sets(), 16384);
        p.set("cache.llc", "none").unwrap();
        p.set("topology.cores", "1").unwrap();
        assert_eq!(p.topology.socket(3), 3);
        for (key, value, expect) in [
            ("cache.l1", "32", "KIBxWAYS"),
            ("cache.l1", "33x8", "a power of two"),
            ("cache.l2", "1x1", "at least as many"),
            ("cache.llc", "25600x21", "a whole number"),
            ("cache.llc", "big", "or none"),
            ("cache.l2", "0x1", "1 to 16384 KiB"),
            ("cache.l1", "2048x64", "1 to 1024 KiB"),
            ("cache.llc", "262144x16", "1 to 131072 KiB"),
            ("cache.l3", "1x1", "l1, l2, llc"),
            ("topology.cores", "0", "1 to 64"),
            ("topology.threads", "2", "sockets, cores"),
            ("topology.cores", "many", "whole number"),
        ] {
            let before = p.clone();
            let e = p.set(key, value).unwrap_err().to_string();
            assert!(e.contains(expect) && e.contains(key.split('.').next().unwrap()), "{key}={value}: {e}");
            assert_eq!(p, before);
        }
    }
}
