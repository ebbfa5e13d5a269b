//! Tests of the presets: the built-in files and every way to get one wrong.

use super::*;

fn p3() -> Preset {
    Preset::builtin("p3").expect("built in")
}

/// The P III file with one piece of text replaced.
fn edited(from: &str, to: &str) -> Result<Preset, PresetError> {
    let text = BUILTIN[0].1;
    assert!(text.contains(from), "{from}");
    Preset::parse("my.toml", &text.replacen(from, to, 1))
}

fn message(result: Result<Preset, PresetError>) -> String {
    let message = result.expect_err("must be refused").to_string();
    assert!(!message.contains('\n'), "one line: {message}");
    assert!(message.starts_with("my.toml"), "names the file: {message}");
    message
}

#[test]
fn built_in_presets_are_valid_and_named_as_their_files() {
    for (name, text) in BUILTIN {
        let preset = Preset::parse(name, text).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(preset.name, name);
    }
    assert_eq!(Preset::names().next(), Some(DEFAULT_PRESET));
}

#[test]
fn p3_has_the_published_figures() {
    let p = p3();
    let c = p.costs();
    assert_eq!((c.invlpg, c.cr3_load, c.locked, c.walk), (90, 156, 21, 7));
    assert_eq!((c.interrupt_entry, c.interrupt_return), (227, 180));
    assert_eq!(2 * c.cr4_pge_write, 3 * c.cr3_load);
    assert_eq!(c.ipi_latency, 1750, "2.5 us at 700 MHz");
    assert_eq!(c.line_transfer, 120);
    assert_eq!(p.max_cpus, 15);
    assert_eq!(p.cpuid.signature(), 0x683);
    assert_eq!(p.tlb.data.small, Geometry { entries: 64, ways: 4 });
    assert!(p.tlb.second.is_none());
}

#[test]
fn haswell_has_the_published_figures() {
    let p = Preset::builtin("haswell-ep").unwrap();
    let c = p.costs();
    assert_eq!((c.invlpg, c.cr3_load, 2 * c.cr4_pge_write + 2 * c.walk), (216, 124, 960));
    assert_eq!((c.locked, c.walk), (19, 40));
    assert_eq!(c.line_transfer, 114, "44 ns at 2600 MHz");
    assert_eq!(c.ipi_latency, 1300);
    assert_eq!(p.max_cpus, 64);
    assert!(p.features.invpcid);
    let second = p.tlb.second.unwrap();
    assert_eq!(second.geometry(), Geometry { entries: 1024, ways: 8 });
    assert!(second.large);
}

/// Keys and cycles that costs.md gives for a preset.
fn has(name: &str, signature: u32, cycles: &[(&str, u32)]) -> Preset {
    let p = Preset::builtin(name).unwrap();
    assert_eq!(p.cpuid.signature(), signature, "{name}");
    for &(key, value) in cycles {
        assert_eq!(p.costs().get(key), Some(value), "{name} {key}");
    }
    p
}

#[test]
fn pentium_4_has_the_published_figures() {
    let p = has(
        "p4-xeon",
        0xf25,
        &[
            ("locked", 124),
            ("cr3_load", 408),
            ("invlpg", 500),
            ("walk", 36),
            ("interrupt_entry", 1348),
            ("interrupt_return", 923),
            ("rdtsc", 80),
            ("l2_hit", 18),
            ("line_transfer", 380),
            ("ipi_bus", 0),
        ],
    );
    assert_eq!(p.tlb.data.small.entries, 64);
    assert_eq!((p.topology.socket(1), p.cache.llc.unwrap().kib), (1, 1024));
}

#[test]
fn westmere_has_the_published_figures() {
    let p = has(
        "westmere-ep",
        0x206c2,
        &[("invlpg", 235), ("cr3_load", 108), ("cr4_pge_write", 405), ("walk", 9), ("locked", 19)],
    );
    assert_eq!(p.tlb.second.unwrap().geometry(), Geometry { entries: 512, ways: 4 });
    assert_eq!((p.topology.socket(5), p.topology.socket(6)), (0, 1));
}

#[test]
fn skylake_has_the_published_figures() {
    let p = has(
        "skylake-sp",
        0x50654,
        &[("invlpg", 216), ("cr3_load", 124), ("cr4_pge_write", 531), ("locked", 18), ("line_transfer", 99)],
    );
    assert_eq!(p.costs().line_transfer_remote, 281, "134 ns at 2100 MHz");
    assert_eq!(p.tlb.second.unwrap().geometry(), Geometry { entries: 1536, ways: 12 });
    assert_eq!(p.cache.llc.unwrap().sets(), 49152);
}

#[test]
fn every_number_has_a_source_and_every_estimate_a_bracket() {
    for name in Preset::names() {
        let preset = Preset::builtin(name).unwrap();
        for n in preset.numbers() {
            let defines = ["clock_mhz", "bus_mhz", "max_cpus", "physical_bits"].contains(&n.key.as_str());
            assert!(defines || !n.source.is_empty(), "{name} {}", n.key);
            if n.source.starts_with("estimate") {
                assert!(n.low.unwrap() <= n.value && n.value <= n.high.unwrap(), "{name} {}", n.key);
            }
        }
        let costs = preset.numbers().iter().filter(|n| n.key.starts_with("cost.")).count();
        assert_eq!(costs, COSTS.len());
    }
}

#[test]
fn every_publication_is_listed() {
    let listed = include_str!("../../../docs/costs.md");
    for (name, text) in BUILTIN {
        let keys = text.split('[').skip(1).filter_map(|t| t.split_once(']')).map(|(key, _)| key);
        // Headings of TOML tables are lower case.
        for key in keys.filter(|key| key.starts_with(|c: char| c.is_ascii_uppercase())) {
            assert!(listed.contains(&format!("| [{key}] |")), "{name}: [{key}] is not in docs/costs.md");
        }
    }
}

#[test]
fn an_unknown_name_lists_the_names() {
    let e = Preset::load("p5").unwrap_err().to_string();
    assert!(e.contains("'p5'") && e.contains("p3, p4-xeon, westmere-ep, haswell-ep, skylake-sp"), "{e}");
}

#[test]
fn a_missing_file_is_named() {
    let e = Preset::load("no/such.toml").unwrap_err().to_string();
    assert!(e.starts_with("no/such.toml: cannot read"), "{e}");
}

#[test]
fn unknown_and_missing_keys_are_named() {
    let e = message(edited("clock_mhz = 700", "clock_mhz = 700\nspeed = 1"));
    assert!(e.contains("line 10") && e.contains("speed") && e.contains("bus_mhz"), "{e}");
    let e = message(edited("clock_mhz = 700", ""));
    assert!(e.contains("clock_mhz"), "{e}");
    let e = message(edited("invlpg = { cycles", "invlpg = { mhz"));
    assert!(e.contains("cost.invlpg: unknown field `mhz`") && e.contains("`ns`"), "{e}");
    let e = message(edited("cores = 1", "cores = 1\nthreads = 2"));
    assert!(e.contains("topology.threads: unknown field"), "{e}");
    let e = message(edited("invlpg = {", "invlpgs = {"));
    assert!(e.contains("cost.invlpgs") && e.contains("invlpg,"), "{e}");
    let e = message(edited("pause = {", "# pause = {"));
    assert!(e.contains("cost.pause is missing"), "{e}");
    let e = message(edited("invpcid = false", ""));
    assert!(e.contains("invpcid"), "{e}");
}

#[test]
fn wrong_values_name_the_key_and_what_is_accepted() {
    let e = message(edited("clock_mhz = 700", "clock_mhz = 0"));
    assert!(e.contains("clock_mhz is 0; accepted are 1 to 10000"), "{e}");
    let e = message(edited("bus_mhz = 100", "bus_mhz = 701"));
    assert!(e.contains("bus_mhz is 701; accepted are 1 to 700, the clock_mhz"), "{e}");
    let e = message(edited("max_cpus = 15", "max_cpus = 65"));
    assert!(e.contains("accepted are 1 to 64"), "{e}");
    let e = message(edited("cycles = 90", "cycles = 190"));
    assert!(e.contains("cost.invlpg") && e.contains("60 to 120"), "{e}");
    let e = message(edited("entries = 64, ways = 4", "entries = 64, ways = 5"));
    assert!(e.contains("tlb.data.small"), "{e}");
    let e = message(edited("\"tree-plru\"", "\"clock\""));
    assert!(e.contains("clock") && e.contains("fifo"), "{e}");
    let e = message(edited("GenuineIntel\"", "Genuine\""));
    assert!(e.contains("cpuid.vendor"), "{e}");
    let e =
        message(edited("line_transfer = { cycles = 120, low = 60", "line_transfer = { cycles = 0, low = 0"));
    assert!(e.contains("accepted are 1 to"), "{e}");
}

#[test]
fn keys_can_be_set_for_one_run() {
    let mut p = p3();
    p.set("cost.invlpg", "500").unwrap();
    p.set("cost.ipi_latency", "1000ns").unwrap();
    p.set("tlb.data.small", "128x8").unwrap();
    p.set("tlb.second", "512x4").unwrap();
    p.set("tlb.second.holds", "small-and-large").unwrap();
    p.set("tlb.replacement", "lru").unwrap();
    p.set("tlb.pde_cache", "4").unwrap();
    p.set("features.pge", "false").unwrap();
    p.set("max_cpus", "64").unwrap();
    assert_eq!(p.costs().invlpg, 500);
    assert_eq!(p.costs().ipi_latency, 700);
    assert_eq!(p.tlb.data.small, Geometry { entries: 128, ways: 8 });
    assert_eq!(p.tlb.second, Some(Second { entries: 512, ways: 4, large: true }));
    assert_eq!(p.replacement(), Replacement::Lru);
    assert_eq!(p.tlb.pde_cache, 4);
    assert_eq!(p.features.edx() & 1 << 13, 0);
    p.set("tlb.second", "none").unwrap();
    assert_eq!(p.tlb.second, None);
    p.set("clock_mhz", "1400").unwrap();
    assert_eq!(p.costs().ipi_latency, 1400, "nanoseconds follow the clock");
    assert_eq!(p.costs().invlpg, 500, "cycles do not");
}

#[test]
fn a_bad_setting_is_named_and_changes_nothing() {
    let mut p = p3();
    for (key, value, expect) in [
        ("cost.invlpgs", "1", "no key 'cost.invlpgs'"),
        ("cost.invlpg", "soon", "cost.invlpg 'soon'"),
        ("cost.invlpg", "0", "accepted are 1 to"),
        ("cost.locked", "1247", "cost.locked is 1247 cycles; accepted are at most 255"),
        ("cost.divide", "255", "cost.load and cost.store being added to it"),
        ("tlb.data.small", "64", "ENTRIESxWAYS"),
        ("tlb.data.small", "65x4", "sets"),
        ("tlb.data.small", "4096x4", "at most 4096"),
        ("tlb.data.small", "4096x4", "tlb.data.small 4096,"),
        ("tlb.second", "big", "or none"),
        ("tlb.second.holds", "small", "no second level"),
        ("tlb.data", "64x4", "instruction.small"),
        ("tlb.replacement", "best", "tree-plru"),
        ("features.sse", "true", "pse36"),
        ("features.pge", "yes", "true and false"),
        ("clock_mhz", "fast", "whole number"),
        ("clock", "1", "clock_mhz"),
    ] {
        let e = p.set(key, value).unwrap_err().to_string();
        assert!(e.starts_with("p3: ") && e.contains(expect), "{key}={value}: {e}");
        assert_eq!(p, p3());
    }
}
