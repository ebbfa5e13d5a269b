//! Does each preset cost, measured from inside the machine, what it says? And what the micro-guests measure, is it
//! what they say they measure?

use shootdown_emu::config::Shortcuts;
use shootdown_emu::{MachineConfig, Preset};
use shootdown_workloads::calibrate::{Row, calibrate};

/// What every preset must give back.
const REQUIRED: [&str; 7] = [
    "invlpg",
    "cr3 load",
    "cr4.pge off/on",
    "locked operation",
    "page walk, tables cached",
    "line transfer",
    "IPI round trip",
];

fn rows(config: &MachineConfig) -> Vec<Row> {
    calibrate(config).unwrap_or_else(|e| panic!("{}: {e}", config.preset.name))
}

fn row<'a>(rows: &'a [Row], what: &str) -> &'a Row {
    rows.iter().find(|r| r.what == what).unwrap_or_else(|| panic!("no row {what}"))
}

#[test]
fn every_preset_is_measured_back_within_one_per_cent() {
    for name in Preset::names() {
        let config = MachineConfig::new(Preset::builtin(name).unwrap());
        let rows = rows(&config);
        for what in REQUIRED {
            row(&rows, what);
        }
        for r in &rows {
            assert!(r.relative().abs() < 0.01, "{name}: {r:?}");
            assert_eq!(r.deviation, r.measured - r.model);
        }
    }
}

#[test]
fn a_published_figure_is_met_where_the_preset_is_not_an_estimate() {
    for (name, what, cycles) in [
        ("haswell-ep", "invlpg", 216.0),
        ("haswell-ep", "cr3 load", 124.0),
        ("haswell-ep", "cr4.pge off/on", 960.0),
        ("westmere-ep", "cr3 load", 108.0),
        ("westmere-ep", "cr4.pge off/on", 828.0),
        ("p4-xeon", "locked operation", 124.0),
    ] {
        let rows = rows(&MachineConfig::new(Preset::builtin(name).unwrap()));
        let r = row(&rows, what);
        assert_eq!(r.published, Some(cycles));
        assert!((r.measured - cycles).abs() <= 0.01 * cycles, "{name}: {r:?}");
    }
}

/// The measurement follows the machine, not the file: other costs, other figures.
#[test]
fn what_is_set_is_what_is_measured() {
    let mut config = MachineConfig::new(Preset::builtin("haswell-ep").unwrap());
    for (key, value, what) in [
        ("cost.invlpg", "777", "invlpg"),
        ("cost.cr3_load", "333", "cr3 load"),
        ("cost.locked", "51", "locked operation"),
        ("cost.walk", "99", "page walk, tables cached"),
        ("cost.second_level_hit", "17", "second-level TLB hit"),
        ("cost.l2_hit", "23", "L2 hit"),
        ("cost.memory", "900", "memory"),
        ("cost.line_transfer", "200", "line transfer"),
    ] {
        config.preset.set(key, value).unwrap();
        let measured = row(&rows(&config), what).measured;
        assert_eq!(measured, value.parse::<f64>().unwrap(), "{what}");
    }
}

#[test]
fn the_hosts_shortcuts_change_no_measurement() {
    let with = |shortcuts| {
        rows(&MachineConfig { shortcuts, ..MachineConfig::new(Preset::builtin("skylake-sp").unwrap()) })
    };
    assert_eq!(with(Shortcuts::On), with(Shortcuts::Off));
}
