//! Where a run ends, and what is said about it. Neither that nor changed code depends on the host's shortcuts: a processor
//! that waits in a loop stands where slices would have brought it.

mod common;

use common::*;
use iced_x86::code_asm::*;
use shootdown_emu::config::{Shortcuts, Timing};
use shootdown_emu::observe::Nobody;
use shootdown_emu::snapshot::Snapshot;
use shootdown_emu::{MachineConfig, Stop};

fn jump_to_itself() -> CodeAssembler {
    let mut a = program();
    wait(&mut a);
    a
}

/// Runs the programs with the host's shortcuts and without; gives what both have in common.
fn figures(config: &MachineConfig, programs: [&dyn Fn() -> CodeAssembler; 2]) -> (Stop, Snapshot) {
    let [with, without] = [Shortcuts::On, Shortcuts::Off].map(|shortcuts| {
        let config = MachineConfig { shortcuts, ..config.clone() };
        let mut handler = CodeAssembler::new(32).unwrap();
        handler.iretd().unwrap();
        let mut m = load_each(config, &mut programs.map(|p| p()), &mut handler);
        let stop = m.run(&mut Nobody);
        assert!(m.ledgers_balance());
        (stop, m.snapshot())
    });
    assert_eq!(with, without);
    with
}

#[test]
fn a_lone_processor_stops_at_the_limit_of_cycles() {
    let config = MachineConfig { max_cycles: Some(5000), ..config("p3") };
    let mut m = load(config, &mut jump_to_itself());
    assert_eq!(m.run(&mut Nobody), Stop::CycleLimit(5000));
    let end = m.cpus()[0].clock;
    assert!((5000..5100).contains(&end), "{end}");
}

#[test]
fn processors_that_wait_stand_at_the_limit_of_cycles() {
    for preset in ["p3", "haswell-ep"] {
        for limit in [7000, 7001, 7002] {
            for timing in [Timing::Full, Timing::Flat] {
                let config = MachineConfig { max_cycles: Some(limit), timing, ..config(preset) };
                let (stop, end) = figures(&config, [&jump_to_itself, &jump_to_itself]);
                assert_eq!(stop, Stop::CycleLimit(limit));
                for cpu in end.cpus {
                    assert!((limit..limit + 4).contains(&cpu.clock), "{} at {limit}", cpu.clock);
                }
            }
        }
    }
}

/// The first processor waits in a loop until the second, who has the line, writes other code over it.
#[test]
fn a_loop_under_which_the_code_changes_is_left_when_the_change_shows() {
    const LOOP: u32 = 0x12_0000;
    let waits = || {
        let mut a = program();
        wait_until(&mut a, 6000);
        a.mov(ebx, LOOP).unwrap();
        a.jmp(ebx).unwrap();
        a
    };
    for after in 8000..8020 {
        let writes = || {
            let mut a = program();
            // A jump to itself; behind it: mov edx, f4; out dx, eax.
            a.mov(dword_ptr(LOOP), 0xf4ba_feeb_u32).unwrap();
            a.mov(dword_ptr(LOOP + 4), 0xef00_0000_u32).unwrap();
            wait_until(&mut a, after);
            a.mov(word_ptr(LOOP), 0x9090).unwrap();
            wait(&mut a);
            a
        };
        let (stop, _) = figures(&config("p3"), [&waits, &writes]);
        assert!(matches!(stop, Stop::Exit(_)), "{stop}");
    }
}

#[test]
fn an_exception_that_finds_no_stack_is_told_with_its_instruction() {
    const AT: u32 = 0x11_0005;
    let fails = || {
        let mut a = CodeAssembler::new(32).unwrap();
        a.mov(esp, 0xd000_0000u32).unwrap();
        a.ud2().unwrap();
        a
    };
    let mut handler = CodeAssembler::new(32).unwrap();
    handler.iretd().unwrap();
    let mut m = load_each(config("p3"), &mut [fails()], &mut handler);
    let idt = u64::from(m.cpus()[0].idtr.base);
    let mut gate = [0; 8];
    assert!(m.bus().ram.peek(idt + 8 * u64::from(VECTOR), &mut gate));
    assert!(m.bus_mut().ram.poke(idt + 8 * 6, &gate));
    assert_eq!(m.run(&mut Nobody), Stop::EmptyAddress { cpu: 0, at: AT, address: 0xcfff_fffc });
}
