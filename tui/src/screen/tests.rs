//! Every screen at two sizes, drawn from a snapshot made by hand: what is expected hangs on
//! nothing but the views. The expected screens are in `tests/screens/`; `UPDATE_SCREENS=1`
//! writes them anew.

use super::app::App;
use super::engine::{Pace, Setup};
use super::export;
use super::headless::script;
use super::history::Sample;
use super::latency::{Latencies, Latency};
use super::snapshot::{ArrayPart, CpuView, End, Part, Place, ProcessorPart, RunView, Snapshot, StaleReport};
use super::theme::{Charset, Depth, Theme};
use super::watch::StopAt;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::Event;
use ratatui::layout::Rect;
use shootdown_abi::{Activity, Counter, FLUSH_VECTOR, Mark};
use shootdown_emu::cpu::State;
use shootdown_emu::ledger::LedgerTotals;
use shootdown_emu::mmu::view::Holds;
use shootdown_emu::mmu::{Access, Path, PathEntry};
use shootdown_emu::observe::{self as probe, Observer, What};
use shootdown_emu::oracle::StaleUse;
use shootdown_emu::snapshot::{CpuSnapshot, Snapshot as Figures};
use shootdown_emu::stats::Counters;
use shootdown_workloads::live::Phase;
use shootdown_workloads::timeline::Trail;
use shootdown_workloads::{Cell, Strategy, window};
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
            ..Latencies::default()
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

/// Ten shootdowns, the seventh of them slow and the last one under way.
fn trail(scene: &str) -> Trail {
    let mut trail = Trail::default();
    let mut see = |cpu, cycle, what| trail.event(&probe::Event { cpu, cycle, what });
    for message in (1..11).filter(|_| scene != "timeline-none") {
        let (at, slow) = (20_000_000 + 150_000 * message, if message == 7 { 900 } else { 10 * message });
        see(1, at, What::Activity(Activity::FlushInit));
        see(1, at, What::Mark(Mark::FlushBegin, 7));
        let (vector, targets) = (FLUSH_VECTOR, 0b1101);
        see(1, at + 220, What::IpiSent { message, by_vector: true, vector, targets, left: at + 220 });
        see(1, at + 240, What::Activity(Activity::AckWait));
        for (cpu, late) in [(0, 0), (2, 50), (3, slow)] {
            see(cpu, at + 1970, What::IpiArrived { message, vector, from: 1 });
            see(cpu, at + 1980 + late, What::Interrupt(vector));
            see(cpu, at + 2300 + late, What::Mark(Mark::HandlerBegin, 0));
            see(cpu, at + 2700 + late, What::GlobalFlush);
            if message < 10 || cpu < 3 {
                see(cpu, at + 3000 + late, What::Mark(Mark::HandlerEnd, 0));
            }
        }
        if message < 10 {
            see(1, at + 3200 + slow, What::Activity(Activity::FlushInit));
            see(1, at + 3600 + slow, What::GlobalFlush);
            see(1, at + 3900 + slow, What::Mark(Mark::FlushEnd, 7));
            see(1, at + 3900 + slow, What::Activity(Activity::Kmap));
        }
    }
    trail
}

/// Two arrays with places of all kinds.
fn arrays() -> Vec<ArrayPart> {
    let array = |name, holds, sets: usize, ways: usize| {
        let place = |i: usize| {
            let pte = 0x0112_3063 + ((i as u64) << 12);
            Place {
                valid: i % 5 < 3,
                ghost: i % 5 == 3,
                linear: 0xfdc0_0000 + ((i as u32) << 12),
                frame: 0x1123 + i as u32,
                write: i.is_multiple_of(2),
                dirty: i.is_multiple_of(4),
                global: i.is_multiple_of(3),
                filled: 22_000_000 >> (i % 7),
                origin: 0x1a_8000 + 4 * i as u64,
                pte: Some(pte),
                stale: (i % 5 == 1).then_some((21_990_000, 2)),
                ..Place::default()
            }
        };
        ArrayPart { name, holds, sets, ways, now: 22_000_000, places: (0..sets * ways).map(place).collect() }
    };
    vec![array("data", Holds::Small, 16, 4), array("second", Holds::Both, 128, 12)]
}

/// A window of 1024 slots in the middle of a turn.
fn window() -> window::Look {
    let slot = |i: u64| {
        let used = match i {
            401 | 17 => window::Use::By(2),
            0..401 => window::Use::Unused,
            _ => window::Use::Free,
        };
        let pte = if i <= 401 { 0x0200_0163 + (i << 12) } else { 0 };
        let given = Some(window::Given { cycle: 12_000_000 + 25_000 * i, cpu: (i % 4) as u8, times: 6 });
        let given = given.filter(|_| i < 900);
        window::Slot {
            used,
            given,
            pte,
            holders: u64::from(i.is_multiple_of(9)),
            stale: u64::from(i > 980) << 2,
        }
    };
    window::Look {
        start: 0xfdc0_0000,
        slots: (0..1024).map(slot).collect(),
        latest: Some(401),
        wraps: 5,
        wrapped: Some(13_000_000),
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
            timeline: Some(trail(scene).look(22_000_000)),
            tlb: Some(arrays()),
            window: Some(if scene == "window-none" { window::Look::default() } else { window() }),
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
    ("timeline", "timeline", ""),
    ("timeline-slowest", "timeline", "m"),
    ("timeline-none", "timeline", ""),
    ("tlb", "tlb", "right down"),
    ("tlb-second", "tlb", "pagedown"),
    ("window", "window", ""),
    ("window-none", "window", ""),
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

#[test]
fn how_a_run_ended_is_said_in_a_word() {
    use shootdown_emu::Stop;
    let word = |stop: Stop, problem: Option<&str>| {
        let mut run = run(Strategy::Batched, 1);
        let problems = problem.map(str::to_owned).into_iter().collect();
        run.end = Some(End { text: stop.to_string(), problems });
        super::draw::state_of(&run, Pace::Paused).0
    };
    assert_eq!(word(Stop::Exit(0x10), None), "FINISHED");
    assert_eq!(word(Stop::Exit(0x10), Some("3 data errors")), "FAILED");
    assert_eq!(word(Stop::Deadlock, Some("the run did not reach its end: deadlock")), "DEADLOCK");
    assert_eq!(
        word(Stop::Livelock { cycles: 7 }, Some("the run did not reach its end: livelock")),
        "LIVELOCK"
    );
}
