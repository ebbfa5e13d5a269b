//! How messages between processors travel: one at a time over the P6's serial bus, at once over the system bus.
//! (SDM vol. 3A, "System Bus Vs. APIC Bus", "Interrupt Command Register (ICR)".)

mod common;
use common::*;
use iced_x86::code_asm::*;
use shootdown_emu::config::{Shortcuts, Timing};
use shootdown_emu::cpu::State;
use shootdown_emu::observe::{Event, Wanted, What};
use shootdown_emu::{Machine, MachineConfig, Stop};

/// Commands: fixed interrupt with [`VECTOR`], to one and to all others.
const TO_ONE: u32 = 0x4000 | VECTOR as u32;
const TO_OTHERS: u32 = 0xc_4000 | VECTOR as u32;
const TO_SELF: u32 = 0x4_4000 | VECTOR as u32;
/// INIT level de-assert, to all.
const INIT_DEASSERT: u32 = 0x8_8500;
const SEND_PENDING: u32 = 1 << 12;
/// When the senders begin: caches and TLBs have been filled by then.
const START: u32 = 20_000;

fn to_one(a: &mut CodeAssembler, id: u32) {
    a.mov(dword_ptr(ICR_HIGH), (id << 24) as i32).unwrap();
    a.mov(dword_ptr(ICR_LOW), TO_ONE).unwrap();
}

/// Waits until the last message has been sent.
fn poll(a: &mut CodeAssembler) {
    let mut again = a.create_label();
    a.set_label(&mut again).unwrap();
    a.test(dword_ptr(ICR_LOW), SEND_PENDING).unwrap();
    a.jnz(again).unwrap();
}

/// A machine whose first processors run `senders`; the others wait. Long after the last message the first ends it.
fn machine(config: MachineConfig, cpus: usize, senders: &[&dyn Fn(&mut CodeAssembler)]) -> Machine {
    let mut programs: Vec<_> = (0..cpus)
        .map(|i| {
            let mut a = program();
            wait_until(&mut a, START);
            if let Some(sends) = senders.get(i) {
                sends(&mut a);
            }
            if i == 0 {
                delay(&mut a, 1_000_000);
                exit(&mut a);
            }
            wait(&mut a);
            a
        })
        .collect();
    let mut handler = CodeAssembler::new(32).unwrap();
    handler.mov(dword_ptr(EOI), 0).unwrap();
    handler.iretd().unwrap();
    load_each(config, &mut programs, &mut handler)
}

/// Messages as they were written (cycle, sender) and as they arrived (cycle, target, sender).
#[derive(Debug, PartialEq, Eq)]
struct Traffic {
    sent: Vec<(u64, u8)>,
    arrived: Vec<(u64, u8, u8)>,
}

impl Traffic {
    /// When the messages of a sender to a target arrived.
    fn at(&self, target: u8, from: u8) -> Vec<u64> {
        self.arrived.iter().filter(|a| (a.1, a.2) == (target, from)).map(|a| a.0).collect()
    }
}

fn run(machine: &mut Machine) -> Traffic {
    let mut log = Log::new(Wanted::IPIS);
    assert_eq!(machine.run(&mut log), Stop::Exit(0x10));
    assert!(machine.ledgers_balance());
    let sent = |e: &Event| matches!(e.what, What::IpiSent { .. }).then_some((e.cycle, e.cpu));
    let arrived = |e: &Event| match e.what {
        What::IpiArrived { vector: VECTOR, from, .. } => Some((e.cycle, e.cpu, from)),
        _ => None,
    };
    Traffic {
        sent: log.events.iter().filter_map(sent).collect(),
        arrived: log.events.iter().filter_map(arrived).collect(),
    }
}

/// Latency of a message and the time for which it holds the bus.
fn times(m: &Machine) -> (u64, u64) {
    let c = &m.cpus()[0].costs;
    (u64::from(c.ipi_latency), u64::from(c.ipi_bus))
}

#[test]
fn on_the_serial_bus_each_target_costs_a_message_and_a_broadcast_costs_one() {
    let mut m = machine(
        config("p3"),
        5,
        &[&|a| {
            (1..5).for_each(|id| to_one(a, id));
        }],
    );
    let (latency, bus) = times(&m);
    assert!(bus > 0);
    let t = run(&mut m);
    for (k, id) in (1..5).enumerate() {
        assert_eq!(t.at(id, 0), [t.sent[0].0 + k as u64 * bus + latency], "target {id}");
    }

    let mut m = machine(
        config("p3"),
        5,
        &[&|a| {
            a.mov(dword_ptr(ICR_LOW), TO_OTHERS).unwrap();
            to_one(a, 1);
        }],
    );
    let t = run(&mut m);
    let first = t.sent[0].0 + latency;
    assert_eq!(t.at(1, 0), [first, first + bus], "the second waits for one message");
    (2..5).for_each(|id| assert_eq!(t.at(id, 0), [first], "target {id}"));
}

#[test]
fn over_the_system_bus_nothing_waits() {
    for preset in ["p4-xeon", "haswell-ep"] {
        let mut m = machine(
            config(preset),
            5,
            &[&|a| {
                (1..5).for_each(|id| to_one(a, id));
                a.mov(esi, dword_ptr(ICR_LOW)).unwrap();
            }],
        );
        let (latency, bus) = times(&m);
        assert_eq!(bus, 0);
        let t = run(&mut m);
        for (sent, id) in t.sent.iter().zip(1..) {
            assert_eq!(t.at(id, 0), [sent.0 + latency], "target {id} on {preset}");
        }
        assert_eq!(m.cpus()[0].regs[6] & SEND_PENDING, 0, "nothing is pending on {preset}");
    }
}

#[test]
fn messages_of_several_senders_queue_in_the_order_of_their_clocks() {
    // The last processor first.
    let send = |after: u32| {
        move |a: &mut CodeAssembler| {
            delay(a, after);
            to_one(a, 3);
        }
    };
    let (third, second, first) = (send(401), send(201), send(1));
    for timing in [Timing::Full, Timing::Flat] {
        let mut m = machine(MachineConfig { timing, ..config("p3") }, 4, &[&third, &second, &first]);
        let (latency, bus) = times(&m);
        let t = run(&mut m);
        assert_eq!(t.sent.iter().map(|s| s.1).collect::<Vec<_>>(), [2, 1, 0]);
        assert!(t.sent[2].0 - t.sent[0].0 < bus, "all of them while the first is under way");
        let start = t.sent[0].0;
        for (k, from) in [2, 1, 0].into_iter().enumerate() {
            assert_eq!(t.at(3, from), [start + k as u64 * bus + latency], "from {from}");
        }
    }
}

#[test]
fn the_delivery_status_shows_a_message_that_waits_or_is_on_the_bus() {
    // The second sender's message waits for the first one's; both poll, and tell when it is through.
    let send = |after: u32| {
        move |a: &mut CodeAssembler| {
            delay(a, after);
            a.mov(dword_ptr(ICR_LOW), TO_OTHERS).unwrap();
            a.mov(ebx, dword_ptr(ICR_LOW)).unwrap();
            poll(a);
            a.rdtsc().unwrap();
            a.mov(ebp, eax).unwrap();
        }
    };
    let mut m = machine(config("p3"), 2, &[&send(1), &send(100)]);
    let (_, bus) = times(&m);
    let t = run(&mut m);
    let c = m.cpus()[0].costs;
    // A pass of the poll, and what else it takes from the read that finds the bit clear to RDTSC.
    let pass = u64::from(c.apic_access + c.alu + c.load + c.branch);
    for (cpu, through) in [(0, t.sent[0].0 + bus), (1, t.sent[0].0 + 2 * bus)] {
        let regs = &m.cpus()[cpu].regs;
        assert_ne!(regs[3] & SEND_PENDING, 0, "pending at first on {cpu}");
        let late = u64::from(regs[5]) - through;
        // An interrupt from the other one may fall into the poll.
        let interrupt = u64::from(c.interrupt_entry_same + c.interrupt_return_same + c.apic_access) + 20;
        assert!(late < 2 * pass + interrupt, "{late} cycles late on {cpu}");
    }
}

#[test]
fn init_start_up_and_own_messages_hold_the_bus_too() {
    for command in [INIT_DEASSERT, TO_SELF, 0x4500, 0x4608] {
        let mut m = machine(
            config("p3"),
            4,
            &[&|a| {
                a.mov(dword_ptr(ICR_HIGH), 3 << 24).unwrap();
                a.mov(dword_ptr(ICR_LOW), command).unwrap();
                to_one(a, 1);
            }],
        );
        let (latency, bus) = times(&m);
        let t = run(&mut m);
        let (fixed, _) = *t.sent.last().unwrap();
        let arrived = t.at(1, 0)[0];
        // The first message was written a few cycles before the second, which waits for all the rest of it.
        let waited = arrived - fixed - latency;
        assert!(waited > bus - 200 && waited < bus, "command {command:#x}: waited {waited} of {bus}");
    }
}

#[test]
fn an_init_stops_a_running_processor() {
    let mut m = machine(config("p3"), 2, &[&|a| a.mov(dword_ptr(ICR_LOW), 0xc_4500).unwrap()]);
    run(&mut m);
    assert_eq!(m.cpus()[1].state, State::WaitForSipi);
    assert_eq!(m.cpus()[1].eip, 0xfff0, "and it has run nothing since");
}

#[test]
fn traffic_is_the_same_each_time_and_without_host_shortcuts() {
    let traffic = |shortcuts| {
        let send = |a: &mut CodeAssembler| {
            for _ in 0..3 {
                a.mov(dword_ptr(ICR_LOW), TO_OTHERS).unwrap();
                poll(a);
            }
        };
        let mut m = machine(MachineConfig { shortcuts, ..config("p3") }, 4, &[&send, &send, &send, &send]);
        let t = run(&mut m);
        assert_eq!(t.sent.len(), 12);
        (t, m.snapshot())
    };
    let first = traffic(Shortcuts::On);
    assert_eq!(first, traffic(Shortcuts::On));
    assert_eq!(first, traffic(Shortcuts::Off));
}
