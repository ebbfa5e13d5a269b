//! Do the loads give the same functional result on every machine, paging mode and strategy?

mod common;

use common::{SOUND, sound};
use rayon::prelude::*;

/// The checksum of a load, small, under a strategy on a machine.
fn checksum(load: &str, strategy: &str, machine: &[(&str, &str)]) -> String {
    let mut keys = vec![("workload", load), ("strategy", strategy), ("ops", "60"), ("warmup", "1")];
    if load != "syscall" {
        keys.push(("pages", "200"));
    }
    keys.extend_from_slice(machine);
    sound(&keys).checksum.expect("the kernel prints it")
}

#[test]
fn checksums_depend_on_the_load_alone() {
    let machines: [&[(&str, &str)]; 6] = [
        &[("cpus", "1")],
        &[("cpus", "2")],
        &[("cpus", "4")],
        &[("cpus", "4"), ("paging", "64g")],
        &[("cpu", "haswell-ep"), ("cpus", "16")],
        &[("cpu", "haswell-ep"), ("cpus", "64"), ("mem", "6G"), ("normal", "512M")],
    ];
    for load in ["kmap-storm", "pagecache-read", "fork-cow", "syscall"] {
        let expected = checksum(load, "lowmem", machines[0]);
        SOUND.par_iter().with_max_len(1).for_each(|strategy| {
            for machine in machines {
                assert_eq!(checksum(load, strategy, machine), expected, "{load} {strategy} {machine:?}");
            }
        });
    }
}

#[test]
fn so_do_those_of_user_memory() {
    let machines: [&[(&str, &str)]; 3] =
        [&[("cpus", "1")], &[("cpus", "4"), ("paging", "64g")], &[("cpu", "haswell-ep"), ("cpus", "16")]];
    for load in ["fault-zero", "munmap", "mremap", "shm-many", "peek"] {
        let of = |machine: &[(&str, &str)]| {
            let small = [("workload", load), ("pages", "12"), ("ops", "15"), ("warmup", "2")];
            sound(&[&small, machine].concat()).checksum.expect("the kernel prints it")
        };
        let expected = of(machines[0]);
        for machine in machines {
            assert_eq!(of(machine), expected, "{load} {machine:?}");
        }
    }
}
