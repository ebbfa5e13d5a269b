//! How long do interrupts wait, and how long are they off? Guests of a few instructions, held against what is left of
//! the time for which they keep interrupts off.

mod common;
use common::*;
use iced_x86::code_asm::*;
use shootdown_emu::config::Shortcuts;
use shootdown_emu::observe::{Event, Wanted, What};
use shootdown_emu::{Machine, MachineConfig, Stop};

const TO_SELF: u32 = 0x4_4000 | VECTOR as u32;
const LVT_TIMER: u32 = APIC + 0x320;
const TIMER_INITIAL: u32 = APIC + 0x380;
const TIMER_DIVIDE: u32 = APIC + 0x3e0;
/// Cycles from a message to the end of `sti` beside the delay: the rest of the store, and `sti` itself.
const REST: u64 = 3;
/// The timer counts each clock of the bus.
const BY_ONE: u32 = 0b1011;

fn machine(shortcuts: Shortcuts, body: &dyn Fn(&mut CodeAssembler)) -> Machine {
    let mut a = program();
    // Caches and TLBs are filled with what follows.
    a.mov(eax, dword_ptr(ICR_LOW)).unwrap();
    body(&mut a);
    exit(&mut a);
    let mut handler = CodeAssembler::new(32).unwrap();
    handler.mov(dword_ptr(EOI), 0).unwrap();
    handler.iretd().unwrap();
    load_each(MachineConfig { shortcuts, ..config("p3") }, &mut [a], &mut handler)
}

fn events(mut m: Machine) -> Vec<Event> {
    let mut log = Log::new(Wanted::IPIS | Wanted::INTERRUPTS);
    assert_eq!(m.run(&mut log), Stop::Exit(0x10), "eip {:#x}", m.cpus()[0].eip);
    assert!(m.ledgers_balance());
    log.events
}

/// Cycles at which interrupts were requested and taken.
fn taken(events: &[Event]) -> Vec<(u64, u64)> {
    let one = |e: &Event| match e.what {
        What::Accepted { vector: VECTOR, requested } => Some((requested, e.cycle)),
        _ => None,
    };
    events.iter().filter_map(one).collect()
}

/// Begin and end of each stretch without interrupts.
fn off(events: &[Event]) -> Vec<(u64, u64)> {
    let one = |e: &Event| match e.what {
        What::InterruptsOn { off_at } => Some((off_at, e.cycle)),
        _ => None,
    };
    events.iter().filter_map(one).collect()
}

fn first(events: &[Event], wanted: impl Fn(&What) -> bool) -> u64 {
    events.iter().find(|e| wanted(&e.what)).expect("it happens").cycle
}

/// A message to itself while interrupts are off for `cycles` more.
fn message_while_off(a: &mut CodeAssembler, cycles: u32) {
    a.sti().unwrap();
    a.nop().unwrap();
    a.cli().unwrap();
    a.mov(dword_ptr(ICR_LOW), TO_SELF).unwrap();
    delay(a, cycles);
    a.sti().unwrap();
    a.nop().unwrap();
    a.nop().unwrap();
}

#[test]
fn an_interrupt_waits_for_what_is_left_of_the_time_without_interrupts() {
    let run = |shortcuts, cycles| events(machine(shortcuts, &|a| message_while_off(a, cycles)));
    let mut latencies = Vec::new();
    for cycles in [4000, 4001, 4100, 10_000] {
        let seen = run(Shortcuts::On, cycles);
        assert_eq!(seen, run(Shortcuts::Off, cycles), "the host's shortcuts show");
        let sent = first(&seen, |w| matches!(w, What::IpiSent { .. }));
        let arrived = first(&seen, |w| matches!(w, What::IpiArrived { vector: VECTOR, .. }));
        let [(requested, at)] = taken(&seen)[..] else { panic!("{seen:?}") };
        assert_eq!(requested, arrived);
        // `sti` lets one more instruction through, a `nop` of one cycle.
        let [_, (off_at, on_at), (entered, left)] = off(&seen)[..] else { panic!("{:?}", off(&seen)) };
        assert_eq!((on_at + 1, entered), (at, at), "the handler is the next stretch");
        assert!(off_at < sent && left > entered);
        assert_eq!(on_at - sent, u64::from(cycles) + REST);
        latencies.push((at - requested) as i64 - i64::from(cycles));
    }
    assert!(latencies.iter().all(|rest| *rest == latencies[0]), "{latencies:?}");
}

#[test]
fn an_interrupt_that_comes_twice_has_waited_since_the_first() {
    let seen = events(machine(Shortcuts::On, &|a| {
        a.mov(dword_ptr(ICR_LOW), TO_SELF).unwrap();
        delay(a, 3000);
        message_while_off(a, 5000);
    }));
    let arrived = |e: &&Event| matches!(e.what, What::IpiArrived { .. });
    let arrivals: Vec<u64> = seen.iter().filter(arrived).map(|e| e.cycle).collect();
    assert_eq!(arrivals.len(), 2);
    // The first is taken at the `sti` with which the second begins.
    assert_eq!(taken(&seen).iter().map(|t| t.0).collect::<Vec<_>>(), arrivals);
    let seen = events(machine(Shortcuts::On, &|a| {
        a.cli().unwrap();
        for _ in 0..2 {
            a.mov(dword_ptr(ICR_LOW), TO_SELF).unwrap();
            delay(a, 3000);
        }
        a.sti().unwrap();
        a.nop().unwrap();
        a.nop().unwrap();
    }));
    let arrivals: Vec<u64> = seen.iter().filter(arrived).map(|e| e.cycle).collect();
    assert_eq!((arrivals.len(), taken(&seen).len()), (2, 1), "one request for both");
    assert_eq!(taken(&seen)[0].0, arrivals[0]);
}

#[test]
fn the_timer_wakes_a_halted_processor_after_its_wake_up() {
    let ticking = |count: u32, shortcuts| {
        let m = machine(shortcuts, &|a| {
            a.mov(dword_ptr(LVT_TIMER), u32::from(VECTOR)).unwrap();
            a.mov(dword_ptr(TIMER_DIVIDE), BY_ONE).unwrap();
            a.mov(dword_ptr(TIMER_INITIAL), count).unwrap();
            a.sti().unwrap();
            a.hlt().unwrap();
        });
        let wake = u64::from(m.cpus()[0].costs.halt_wake);
        let preset = m.config().preset.clone();
        (events(m), wake, u64::from(preset.clock_mhz / preset.bus_mhz))
    };
    let (short, wake, ratio) = ticking(1000, Shortcuts::On);
    let (long, ..) = ticking(1500, Shortcuts::On);
    assert_eq!(long, ticking(1500, Shortcuts::Off).0, "the host's shortcuts show");
    let [(requested, at)] = taken(&short)[..] else { panic!("{short:?}") };
    let [(later, _)] = taken(&long)[..] else { panic!("{long:?}") };
    assert_eq!((at - requested, later - requested), (wake, 500 * ratio));
    // It slept with interrupts on: the stretches are that of its beginning and the handler.
    assert!(
        off(&long).iter().all(|(from, to)| to - from < 1500 * ratio / 2 || *from == 0),
        "{:?}",
        off(&long)
    );
}
