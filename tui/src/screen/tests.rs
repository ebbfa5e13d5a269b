//! Every screen at two sizes, drawn from a snapshot made by hand: what is expected hangs on
//! nothing but the views. The expected screens are in `tests/screens/`; `UPDATE_SCREENS=1`
//! writes them anew.

use super::app::App;
use super::engine::{Pace, Setup};
use super::export;
use super::headless::script;
use super::history::Sample;
use super::snapshot::{
    CpuView, End, Latencies, Latency, Part, ProcessorPart, RunView, Snapshot, StaleReport,
};
use super::theme::{Charset, Depth, Theme};
use super::watch::StopAt;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::Event;
use ratatui::layout::Rect;
use shootdown_abi::{Activity, Counter};
use shootdown_emu::cpu::State;
use shootdown_emu::ledger::LedgerTotals;
use shootdown_emu::mmu::{Access, Path, PathEntry};
use shootdown_emu::oracle::StaleUse;
use shootdown_emu::snapshot::{CpuSnapshot, Snapshot as Figures};
use shootdown_emu::stats::Counters;
use shootdown_workloads::live::Phase;
use shootdown_workloads::{Cell, Strategy};
use std::path::PathBuf;
use std::sync::Arc;

const CPUS: u64 = 4;

/// Figures at a moment of a run that goes evenly; `weight` tells strategies apart.
fn figures(cycles: u64, weight: u64) -> Figures {
    let cpu = |i: u64| {
        let mut ledger = LedgerTotals::default();
        let parts = [30 - i, 20, 10 + i, 2, 3, 2, 8 * weight, 5];
        let all: u64 = parts.iter().sum();
        for (n, part) in parts.into_iter().enumerate() {
            ledger.activity[n] = cycles * part / all;
        }
        ledger.kind[0] = cycles / 2;
        ledger.kind[2] = cycles / 8;
        ledger.kind[5] = cycles * 3 / 8;
        let count = Counters {
            instructions: cycles / 3,
            dtlb_misses: cycles / (900 + i),
            itlb_misses: cycles / 5000,
            ipis: cycles / 400_000 * weight,
            ipis_received: cycles / 150_000 * weight,
            invlpg: cycles / 70_000,
            cr3_loads: cycles / 90_000,
            global_flushes: cycles / 300_000,
            ..Counters::default()
        };
        CpuSnapshot { clock: cycles, count, ledger }
    };
    let mut guest = [0; Counter::ALL.len()];
    guest[Counter::Kmaps as usize] = cycles / 2500;
    guest[Counter::Operations as usize] = cycles / 2500;
    guest[Counter::Wraps as usize] = cycles / 300_000;
    Figures { cpus: (0..CPUS).map(cpu).collect(), guest }
}

fn latency(middle: u64, count: u64) -> Arc<Latency> {
    let mut histogram = shootdown_emu::histogram::new();
    for n in 0..count {
        histogram.record(middle / 2 + middle * (n % 17) * (n % 17) / 60).expect("within bounds");
    }
    Arc::new(Latency::new(&histogram))
}

fn run(strategy: Strategy, weight: u64) -> RunView {
    let now = 20_000_000 + 1_000_003 * weight;
    RunView {
        strategy,
        now,
        phase: Phase::Measured,
        operations: 0,
        end: None,
        cpus: [Activity::Kmap, Activity::AckWait, Activity::IpiHandler, Activity::Idle]
            .map(|activity| CpuView {
                state: if activity == Activity::Idle { State::Halted } else { State::Running },
                activity,
                ring: 0,
            })
            .into(),
        all: figures(now, weight),
        region: figures(now / 2, weight),
        flush_ipis: 40 * weight,
        latencies: Latencies {
            kmap: latency(1500 * weight, 4000),
            initiator: latency(4200, 40 * weight),
            target: latency(1300, 120 * weight),
            exposure: latency(7000, 900),
        },
        history: (0..100)
            .map(|n| {
                let at = now * n / 99;
                // A slow beginning.
                let done = if n < 30 { at / 4 } else { at - now * 30 / 99 * 3 / 4 };
                Arc::new(Sample { at, figures: figures(done, weight) })
            })
            .collect(),
        stale: None,
        stepped: false,
    }
}

fn finished(mut run: RunView) -> RunView {
    run.phase = Phase::After;
    run.operations = run.region.guest(Counter::Operations);
    run.end = Some(End { text: "guest exit with value 0x10".into(), problems: Vec::new() });
    run
}

fn processor() -> ProcessorPart {
    ProcessorPart {
        registers: [1, 2, 0xdead_beef, 4, 0xc112_9d98, 6, 7, 8],
        eip: 0xfe90_0f37,
        flags: 0x246,
        control: [0x8001_0035, 0x4001_03c0, 0x0112_4000, 0x90],
        selectors: [0x10, 8, 0x10, 0x10, 0, 0],
        linear: 0xfe90_0f37,
        bits: 32,
        // cmp edi,esi; je; movzx; lock cmpxchg; invlpg [eax]; ret
        code: [
            &[0x39, 0xf7, 0x74, 0xf4][..],
            &[0x0f, 0xb6, 0x05, 0x30, 0x72, 0x91, 0xfe],
            &[0xf0, 0x0f, 0xb1, 0x0d, 0x10, 0x72, 0x91, 0xfe],
            &[0x0f, 0x01, 0x38, 0xc3],
        ]
        .concat(),
        stack: vec![7, 0x20d7, 0x870, 0xfe90_a17d],
        vectors: (vec![0xf1], vec![]),
        clock: 22_261_245,
    }
}

/// The snapshot of a scene.
fn snapshot(scene: &str) -> Snapshot {
    let mut cell = Cell::standard().expect("the default cell is valid");
    cell.set("cpus", &CPUS.to_string()).expect("a number");
    let mut runs = vec![run(Strategy::Batched, 3)];
    let mut pace = Pace::Running;
    match scene {
        "overview-finished" => {
            runs = runs.into_iter().map(finished).collect();
            pace = Pace::Paused;
        }
        "compare" => {
            runs.insert(0, run(Strategy::Atomic, 1));
            runs.push(finished(run(Strategy::DeferredSeq, 2)));
        }
        "console" => (runs[0].stepped, pace) = (true, Pace::Paused),
        "stale" => {
            let used = StaleUse {
                cpu: 1,
                cycle: 7_717_066,
                linear: 0xfdc0_1000,
                old_frame: 0x2009,
                age: 27_085,
                writer: 3,
                harmful: true,
                access: Access::Write,
            };
            let entry = |pa, value| Some(PathEntry { pa, value });
            let path = Path {
                entries: [entry(0x110_cfdc, 0x110_1023), entry(0x110_1004, 0x204_9163)],
                physical: Some(0x204_9000),
            };
            runs[0].stale = Some(Arc::new(StaleReport { used, path }));
            pace = Pace::Paused;
        }
        _ => {}
    }
    let strategies = runs.iter().map(|r| r.strategy).collect();
    Snapshot {
        setup: Arc::new(Setup { cell, strategies }),
        runs,
        shown: 0,
        cpu: 0,
        pace,
        part: Part {
            processor: Some(processor()),
            console: Some("shootdown kernel: 4 cpus\nready\n".into()),
        },
        notice: None,
        generation: 1,
    }
}

/// Scenes: the screen, and keys that are typed on it.
const SCENES: &[(&str, &str, &str)] = &[
    ("overview", "overview", ""),
    ("overview-finished", "overview", ""),
    ("compare", "compare", ""),
    ("console", "console", ""),
    ("help", "help", ""),
    ("stale", "overview", ""),
    ("setup", "overview", "c down right"),
    ("setup-refused", "overview", "c down down down 'x' enter"),
    ("palette", "overview", ": 'wrap'"),
];

fn shown(scene: &str, screen: &str, keys: &str, size: (u16, u16)) -> String {
    let theme = Theme { depth: Depth::Sixteen, charset: Charset::Unicode };
    let mut app = App::new(theme, None, StopAt::Harmful, PathBuf::new());
    app.open(screen).expect("a screen");
    app.show(Arc::new(snapshot(scene)));
    for key in script(keys).expect("keys").concat() {
        app.event(&Event::Key(key));
    }
    let mut buffer = Buffer::empty(Rect::new(0, 0, size.0, size.1));
    app.draw(&mut buffer);
    export::text(&buffer)
}

#[test]
fn every_screen_looks_as_expected_at_both_sizes() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/screens");
    let update = std::env::var_os("UPDATE_SCREENS").is_some();
    let mut differing = Vec::new();
    for (scene, screen, keys) in SCENES {
        for size in [(80, 24), (160, 50)] {
            let text = shown(scene, screen, keys, size);
            let path = directory.join(format!("{scene}-{}x{}.txt", size.0, size.1));
            if update {
                std::fs::create_dir_all(&directory).expect("the directory can be made");
                std::fs::write(&path, &text).expect("the screen can be written");
            } else if std::fs::read_to_string(&path).unwrap_or_default() != text {
                differing.push(format!("{}:\n{text}", path.display()));
            }
        }
    }
    assert!(
        differing.is_empty(),
        "screens differ; UPDATE_SCREENS=1 writes them anew:\n{}",
        differing.join("\n")
    );
}

#[test]
fn nothing_is_drawn_out_of_place_at_any_size() {
    for (scene, screen, keys) in SCENES {
        for size in [
            (1, 1),
            (40, 10),
            (60, 15),
            (61, 16),
            (79, 23),
            (100, 30),
            (119, 40),
            (120, 20),
            (200, 60),
            (300, 90),
        ] {
            let text = shown(scene, screen, keys, size);
            assert_eq!(text.lines().count(), usize::from(size.1), "{scene} at {size:?}");
            assert_eq!(
                text.contains("too small"),
                size.0 >= 40 && (size.0 < 60 || size.1 < 15),
                "{scene} at {size:?}"
            );
        }
    }
}
