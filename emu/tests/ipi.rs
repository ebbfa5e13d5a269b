//! Do interrupts between processors arrive exactly when the cost model says, and do the host's shortcuts leave
//! the order of things alone? Run on the bench guest's shootdown load.

use shootdown_abi::Activity;
use shootdown_emu::config::Shortcuts;
use shootdown_emu::loader::BootRequest;
use shootdown_emu::observe::{Event, Nobody, Observer, Wanted, What};
use shootdown_emu::snapshot::Snapshot;
use shootdown_emu::{Machine, MachineConfig, Preset, Stop};

const BENCH: &[u8] = include_bytes!("../../kernel-image/prebuilt/bench.elf");
const ROUNDS: u64 = 300;
/// Vector of the bench guest's flush IPI.
const VECTOR: u8 = 0x40;

fn machine(preset: &str, shortcuts: Shortcuts) -> Machine {
    let config = MachineConfig { cpus: 4, shortcuts, ..MachineConfig::new(Preset::builtin(preset).unwrap()) };
    let memory = config.memory;
    let mut machine = Machine::new(config).unwrap();
    machine
        .load_multiboot(&BootRequest {
            kernel_name: "bench.elf",
            kernel: BENCH,
            arguments: &format!("shootdown n={ROUNDS} cpus=4"),
            modules: &[],
            memory,
        })
        .unwrap();
    machine
}

#[derive(Default)]
struct Log(Vec<Event>);

impl Observer for Log {
    fn wanted(&self) -> Wanted {
        Wanted::IPIS | Wanted::INTERRUPTS
    }
    fn event(&mut self, event: &Event) {
        self.0.push(*event);
    }
}

#[test]
fn every_target_gets_the_message_one_latency_after_it_was_sent() {
    for preset in ["p3", "haswell-ep"] {
        let mut m = machine(preset, Shortcuts::On);
        let latency = u64::from(m.cpus()[0].costs.ipi_latency);
        let mut log = Log::default();
        assert_eq!(m.run(&mut log), Stop::Exit(0x10));
        let broadcast = |e: &Event| match e.what {
            What::IpiSent { message, by_vector: true, vector: VECTOR, targets: 0b1110, left } => {
                assert_eq!(left, e.cycle, "nobody else wants the bus");
                Some((message, e.cycle))
            }
            _ => None,
        };
        let sent: Vec<(u64, u64)> = log.0.iter().filter_map(broadcast).collect();
        assert_eq!(sent.len() as u64, ROUNDS, "one broadcast a round");
        for cpu in 1..4 {
            let arrival = |e: &Event| match e.what {
                What::IpiArrived { message, vector: VECTOR, from: 0 } if e.cpu == cpu => {
                    Some((message, e.cycle))
                }
                _ => None,
            };
            let arrived: Vec<(u64, u64)> = log.0.iter().filter_map(arrival).collect();
            let want: Vec<(u64, u64)> = sent.iter().map(|(message, at)| (*message, at + latency)).collect();
            assert_eq!(arrived, want, "cpu {cpu} on {preset}");
            // A busy target takes it at the first instruction boundary: its loop's instructions cost a few cycles.
            let taken: Vec<u64> = log
                .0
                .iter()
                .filter(|e| e.cpu == cpu && e.what == What::Interrupt(VECTOR))
                .map(|e| e.cycle)
                .collect();
            assert_eq!(taken.len(), arrived.len());
            assert!(
                taken.iter().zip(&arrived).all(|(t, (_, a))| (0..200).contains(&(t - a))),
                "cpu {cpu} on {preset}"
            );
        }
    }
}

/// Changes of activity as they are told.
#[derive(Default)]
struct Activities(Vec<(usize, u64, Activity)>);

impl Observer for Activities {
    fn wanted(&self) -> Wanted {
        Wanted::ACTIVITY
    }
    fn event(&mut self, event: &Event) {
        if let What::Activity(a) = event.what {
            self.0.push((usize::from(event.cpu), event.cycle, a));
        }
    }
}

#[test]
fn the_changes_of_activity_that_are_told_are_those_of_the_ledger() {
    for shortcuts in [Shortcuts::On, Shortcuts::Off] {
        let mut m = machine("p3", shortcuts);
        let mut told = Activities::default();
        assert_eq!(m.run(&mut told), Stop::Exit(0x10));
        for (id, cpu) in m.cpus().iter().enumerate() {
            let changes: Vec<_> = told.0.iter().filter(|(c, ..)| *c == id).collect();
            assert!(changes.is_sorted_by_key(|(_, cycle, _)| cycle));
            let ends = changes.iter().skip(1).map(|(_, cycle, _)| *cycle).chain([cpu.clock]);
            let mut sums = [0; Activity::ALL.len()];
            changes.iter().zip(ends).for_each(|((_, from, a), to)| sums[*a as usize] += to - from);
            assert_eq!(sums, cpu.ledger.totals(cpu.clock).activity, "processor {id}");
        }
    }
}

#[test]
fn figures_are_the_same_without_host_shortcuts() {
    let figures = |shortcuts| -> Snapshot {
        let mut m = machine("p3", shortcuts);
        assert_eq!(m.run(&mut Nobody), Stop::Exit(0x10));
        assert!(m.ledgers_balance());
        m.snapshot()
    };
    assert_eq!(figures(Shortcuts::On), figures(Shortcuts::Off));
}
