//! Kernels that were configured otherwise: do they compute the same, and do they leave out what their configuration says?

mod common;

use common::{refused, sound};
use shootdown_abi::exit;
use shootdown_emu::loader::{BootRequest, Module};
use shootdown_emu::observe::Nobody;
use shootdown_emu::{Machine, MachineConfig, Preset, Stop};
use shootdown_workloads::{Row, image};

/// A load of files and user memory whose checksum depends on its own keys alone.
const LOAD: &[(&str, &str)] = &[
    ("workload", "mixed"),
    ("tasks", "4"),
    ("pages", "128"),
    ("ops", "40"),
    ("warmup", "5"),
    ("think", "4"),
];

fn run(pairs: &[(&str, &str)]) -> Row {
    sound(&[LOAD, pairs].concat())
}

/// What a run with the kernel's defaults prints.
fn usual() -> Option<String> {
    run(&[("cpus", "2")]).checksum
}

/// `normal=` above RAM: all of it is low, as it is in a kernel without high memory that fits.
const ALL_LOW: (&str, &str) = ("normal", "512M");

#[test]
fn memory_formats_agree() {
    let expected = usual();
    for highmem in ["4g", "64g"] {
        for cpus in ["1", "4"] {
            assert_eq!(run(&[("highmem", highmem), ("cpus", cpus)]).checksum, expected, "{highmem}, {cpus}");
        }
    }
    for strategy in ["lowmem", "atomic", "batched", "deferred-seq", "task-window"] {
        let row = run(&[("highmem", "off"), ALL_LOW, ("strategy", strategy), ("cpus", "2")]);
        assert_eq!(row.checksum, expected, "{strategy}");
    }
}

/// Without high memory a kmap is a sum under every strategy: nothing is invalidated for it, nobody is asked.
#[test]
fn without_highmem_a_kmap_is_the_address_in_the_direct_map() {
    let files =
        [("workload", "pagecache-read"), ("pages", "256"), ("tasks", "4"), ("ops", "100"), ("cpus", "2")];
    let off = |strategy: &str| {
        sound(&[&files[..], &[("highmem", "off"), ALL_LOW, ("strategy", strategy)]].concat())
    };
    let lowmem = off("lowmem");
    for strategy in ["atomic", "batched", "shared-invlpg", "none"] {
        let row = off(strategy);
        assert_eq!(row.kmap_latency.p50, lowmem.kmap_latency.p50, "{strategy}");
        assert_eq!((row.kmaps, row.maps), (lowmem.kmaps, 0), "{strategy}");
        assert_eq!((row.invlpg, row.flush_ipis), (0, 0), "{strategy}");
    }
    let on = sound(&[&files[..], &[("strategy", "atomic")]].concat());
    assert!(on.invlpg > 100, "the same load with highmem uses slots");
}

/// What lies above the low zones is not there: a load that needs it fails without, and runs with high memory.
#[test]
fn without_highmem_memory_above_the_direct_map_is_not_used() {
    let big = [("workload", "kmap-storm"), ("pages", "6000"), ("tasks", "2"), ("ops", "20"), ("cpus", "1")];
    sound(&[&big[..], &[("normal", "16M")]].concat());
    let said = refused(&[&big[..], &[("normal", "16M"), ("highmem", "off")]].concat());
    assert!(said.contains("cannot make a file of 6000 pages"), "{said}");
    sound(&[&big[..], &[ALL_LOW, ("highmem", "off")]].concat());
}

#[test]
fn what_a_kernel_without_highmem_does_not_have_is_refused() {
    let said = refused(&[("highmem", "off"), ("pte", "atomic")]);
    assert!(said.contains("highmem=off with pte=atomic") && said.contains("accepted"), "{said}");
    let said = refused(&[("highmem", "off"), ("paging", "64g")]);
    assert!(said.contains("highmem=off with paging=64g") && said.contains("accepted"), "{said}");
}

/// What a kernel says and how it ends with these words on its command line, on a machine with `cpus` processors.
fn boot(words: &str, cpus: usize) -> (Stop, String) {
    let mut config = MachineConfig::new(Preset::load("p3").expect("a preset"));
    (config.cpus, config.memory) = (cpus, 64 << 20);
    let mut machine = Machine::new(config).expect("a machine");
    let guest =
        Module { string: "guest syscall tasks=2 ops=20 warmup=2".into(), bytes: image::GUEST.to_vec() };
    let request = BootRequest {
        kernel_name: "kernel",
        kernel: image::KERNEL,
        arguments: words,
        modules: &[guest],
        memory: 64 << 20,
    };
    machine.load_multiboot(&request).expect("the image fits");
    let stop = machine.run(&mut Nobody);
    (stop, String::from_utf8_lossy(&machine.take_console()).into_owned())
}

/// A kernel for one processor executes no locked instruction and sends no IPI, and computes what the other one does.
#[test]
fn a_kernel_for_one_processor_locks_nothing() {
    let expected = usual();
    for strategy in ["lowmem", "atomic", "batched", "deferred-seq", "copy-clear"] {
        let cell = [("cpus", "1"), ("strategy", strategy)];
        let many = run(&cell);
        let one = run(&[&cell[..], &[("smp", "off")]].concat());
        assert_eq!((&one.checksum, &many.checksum), (&expected, &expected), "{strategy}");
        assert!(many.ledger.kind["locked"] > 1000, "{strategy}");
        assert_eq!((one.ledger.kind["locked"], one.ipis, one.ipis_received), (0, 0, 0), "{strategy}");
        assert!(one.cycles < many.cycles, "{strategy}: {} and {}", one.cycles, many.cycles);
    }
}

#[test]
fn a_kernel_for_one_processor_brings_up_one() {
    let (stop, said) = boot("smp=off", 4);
    assert_eq!(stop, Stop::Exit(exit::OK), "{said}");
    assert!(said.contains("LOCK prefixes taken away") && said.contains("shootdown kernel: 1 cpus"), "{said}");
    let (stop, said) = boot("smp=on", 4);
    assert_eq!(stop, Stop::Exit(exit::OK), "{said}");
    assert!(!said.contains("LOCK") && said.contains("shootdown kernel: 4 cpus"), "{said}");
    let (stop, said) = boot("smp=off cpus=2", 4);
    assert_eq!(stop, Stop::Exit(exit::BAD_COMMAND_LINE), "{said}");
    assert!(said.contains("cpus=2 with smp=off") && said.contains("accepted: smp=on, or cpus=1"), "{said}");
}

/// Wherever the kernel's half begins: also where each address space has a table of its own right below, and with threads.
#[test]
fn splits_agree() {
    let expected = usual();
    let threads =
        [("workload", "mremap"), ("crew", "threads"), ("tasks", "4"), ("pages", "6"), ("ops", "20")];
    let moved = sound(&[&threads[..], &[("cpus", "2")]].concat()).checksum;
    for split in ["2g", "1g"] {
        for (cpus, highmem, strategy) in [
            ("1", "4g", "batched"),
            ("2", "64g", "batched"),
            ("2", "4g", "task-window"),
            ("1", "64g", "copy-clear"),
            ("2", "4g", "lowmem"),
        ] {
            let cell = [("split", split), ("cpus", cpus), ("highmem", highmem), ("strategy", strategy)];
            assert_eq!(run(&cell).checksum, expected, "{cell:?}");
            assert_eq!(sound(&[&threads[..], &cell].concat()).checksum, moved, "{cell:?}");
        }
    }
}

/// The more of the linear addresses is the kernel's, the farther the direct map can reach.
#[test]
fn a_split_moves_the_end_of_the_direct_map() {
    let big = |split, normal| [("split", split), ("normal", normal), ("mem", "3G"), ("strategy", "lowmem")];
    for (split, most, more) in [("3g", "984M", "1000M"), ("2g", "2008M", "2024M")] {
        run(&big(split, most));
        let said = refused(&[LOAD, &big(split, more)].concat());
        assert!(said.contains("does not fit") && said.contains("leaves"), "{said}");
    }
    run(&big("1g", "2900M"));
}
