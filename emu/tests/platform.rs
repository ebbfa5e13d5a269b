//! The interrupts of a PC, used for real: each guest is some instructions in paged protected mode that programs the
//! controllers as a kernel does, waits with `hlt` and counts what comes.

mod common;
use common::*;
use iced_x86::code_asm::*;
use shootdown_emu::config::Shortcuts;
use shootdown_emu::observe::{Event, Nobody, Observer, Wanted, What};
use shootdown_emu::{Machine, MachineConfig, Stop};

/// A counter for each processor.
const COUNTS: u32 = FRAME_B;
/// What a handler has noted.
const NOTE: u32 = FRAME_B + 0x100;
/// Vector of IRQ 0 at the 8259 pair; IRQ 8 is eight further.
const PIC_BASE: u8 = 0x50;
const LVT_TIMER: u32 = APIC + 0x320;
const LVT_LINT0: u32 = APIC + 0x350;
const LVT_LINT1: u32 = APIC + 0x360;
const EXT_INT: u32 = 0x700;

fn out(a: &mut CodeAssembler, port: u32, value: u32) {
    a.mov(edx, port).unwrap();
    a.mov(eax, value).unwrap();
    a.out(dx, al).unwrap();
}

/// Initialises the 8259 pair; IRQs whose bit is clear in `mask` are open.
fn init_8259(a: &mut CodeAssembler, mask: u32) {
    let base = u32::from(PIC_BASE);
    let words = [(0x20, 0x11), (0x21, base), (0x21, 4), (0x21, 1)];
    let second = [(0xa0, 0x11), (0xa1, base + 8), (0xa1, 2), (0xa1, 1)];
    for (port, value) in words.into_iter().chain(second).chain([(0x21, mask & 0xff), (0xa1, mask >> 8)]) {
        out(a, port, value);
    }
}

/// A rate generator at IRQ 0: an interrupt each `clocks` of 1.193182 MHz.
fn start_timer(a: &mut CodeAssembler, clocks: u32) {
    for (port, value) in [(0x43, 0x34), (0x40, clocks & 0xff), (0x40, clocks >> 8)] {
        out(a, port, value);
    }
}

/// Writes both halves of an entry of the I/O APIC.
fn redirect(a: &mut CodeAssembler, pin: u32, low: u32, high: u32) {
    for (index, value) in [(0x11 + 2 * pin, high), (0x10 + 2 * pin, low)] {
        a.mov(dword_ptr(IO_APIC), index).unwrap();
        a.mov(dword_ptr(IO_APIC + 0x10), value).unwrap();
    }
}

/// Waits with `hlt` until processor 0 has counted up to `n`, then ends the machine.
fn wait_for(a: &mut CodeAssembler, n: u32) {
    wait_for_at(a, COUNTS, n);
}

fn wait_for_at(a: &mut CodeAssembler, at: u32, n: u32) {
    let mut again = a.create_label();
    a.set_label(&mut again).unwrap();
    a.sti().unwrap();
    a.hlt().unwrap();
    a.cli().unwrap();
    a.cmp(dword_ptr(at), n).unwrap();
    a.jb(again).unwrap();
    exit(a);
}

/// Sleeps for ever.
fn sleep(a: &mut CodeAssembler) {
    let mut again = a.create_label();
    a.sti().unwrap();
    a.set_label(&mut again).unwrap();
    a.hlt().unwrap();
    a.jmp(again).unwrap();
}

/// Counts at the processor's own place, does `more`, and returns.
fn counting(more: impl FnOnce(&mut CodeAssembler)) -> CodeAssembler {
    let mut a = CodeAssembler::new(32).unwrap();
    a.push(eax).unwrap();
    a.push(edx).unwrap();
    a.mov(eax, dword_ptr(APIC + 0x20)).unwrap();
    a.shr(eax, 24).unwrap();
    a.inc(dword_ptr(COUNTS + eax * 4)).unwrap();
    more(&mut a);
    a.pop(edx).unwrap();
    a.pop(eax).unwrap();
    a.iretd().unwrap();
    a
}

fn end_8259(a: &mut CodeAssembler) {
    a.mov(al, 0x20).unwrap();
    a.out(0xa0, al).unwrap();
    a.out(0x20, al).unwrap();
}

fn end_apic(a: &mut CodeAssembler) {
    a.mov(dword_ptr(EOI), 0).unwrap();
}

/// One processor that runs `body`, with a handler that counts and does `more` at `vector`.
fn alone(vector: u8, more: fn(&mut CodeAssembler), body: impl Fn(&mut CodeAssembler)) -> Machine {
    several(config("p3"), vector, more, &[&body])
}

fn several(
    config: MachineConfig,
    vector: u8,
    more: fn(&mut CodeAssembler),
    bodies: &[&dyn Fn(&mut CodeAssembler)],
) -> Machine {
    let mut programs: Vec<_> = bodies
        .iter()
        .map(|body| {
            let mut a = program();
            body(&mut a);
            a
        })
        .collect();
    let mut m = load_each(config, &mut programs, &mut counting(end_apic));
    on_vector(&mut m, vector, &mut counting(more));
    (0..=0x100).step_by(4).for_each(|at| poke(&mut m, COUNTS + at, 0));
    m
}

fn counts(m: &Machine, cpus: u32) -> Vec<u32> {
    (0..cpus).map(|i| peek(m, COUNTS + 4 * i)).collect()
}

/// Cycles at which a processor began to serve a vector.
fn served(m: &mut Machine, vector: u8) -> Vec<u64> {
    let mut log = Log::new(Wanted::INTERRUPTS);
    assert_eq!(m.run(&mut log), Stop::Exit(0x10), "cpu: eip {:#x}", m.cpus()[0].eip);
    assert!(m.ledgers_balance());
    log.events.iter().filter(|e| e.what == What::Interrupt(vector)).map(|e| e.cycle).collect()
}

/// Are they this far apart, but for what a wake-up and a bus cycle may differ?
fn evenly(cycles: &[u64], period: f64) -> bool {
    cycles.windows(2).all(|w| ((w[1] - w[0]) as f64 - period).abs() < 2000.0)
}

fn ticking(shortcuts: Shortcuts) -> Machine {
    let config = MachineConfig { shortcuts, ..config("p3") };
    several(
        config,
        PIC_BASE,
        end_8259,
        &[&|a| {
            a.mov(dword_ptr(LVT_LINT0), EXT_INT).unwrap();
            init_8259(a, 0xfffe);
            start_timer(a, 1193);
            wait_for(a, 10);
        }],
    )
}

#[test]
fn the_timer_ticks_through_the_8259_and_lint0() {
    let mut m = ticking(Shortcuts::On);
    let ticks = served(&mut m, PIC_BASE);
    let period = 1193.0 * f64::from(m.config().preset.clock_mhz) / 1.193182;
    assert_eq!(ticks.len(), 10);
    assert!(evenly(&ticks, period), "{ticks:?}, {period}");
    let mut again = ticking(Shortcuts::Off);
    assert_eq!(served(&mut again, PIC_BASE), ticks);
    assert_eq!(again.snapshot(), m.snapshot());
}

#[test]
fn the_timer_ticks_through_pin_0_as_an_external_interrupt() {
    let mut m = alone(PIC_BASE, end_8259, |a| {
        a.mov(dword_ptr(LVT_LINT0), 0x1_0000).unwrap();
        redirect(a, 0, EXT_INT, 0);
        init_8259(a, 0xfffe);
        start_timer(a, 2000);
        wait_for(a, 5);
    });
    assert_eq!(served(&mut m, PIC_BASE).len(), 5);
}

#[test]
fn a_masked_lint0_keeps_the_8259_out_and_a_dead_machine_is_found() {
    let mut m = alone(PIC_BASE, end_8259, |a| {
        a.mov(dword_ptr(LVT_LINT0), EXT_INT).unwrap();
        init_8259(a, 0xffff);
        start_timer(a, 2000);
        wait_for(a, 1);
    });
    assert_eq!(m.run(&mut Nobody), Stop::Deadlock, "every line is masked");
    let mut m = alone(PIC_BASE, end_8259, |a| {
        init_8259(a, 0xfffe);
        start_timer(a, 2000);
        wait_for(a, 1);
    });
    m.set_patience(10_000_000);
    assert_eq!(m.run(&mut Nobody), Stop::Livelock { cycles: 10_000_000 });
    assert_eq!(counts(&m, 1), [0]);
}

#[test]
fn the_timer_ticks_through_pin_2_of_the_io_apic() {
    let mut m = alone(0x61, end_apic, |a| {
        redirect(a, 2, 0x61, 0);
        start_timer(a, 1193);
        wait_for(a, 10);
    });
    let ticks = served(&mut m, 0x61);
    let period = 1193.0 * f64::from(m.config().preset.clock_mhz) / 1.193182;
    assert!(ticks.len() == 10 && evenly(&ticks, period), "{ticks:?}");
}

#[test]
fn a_level_is_held_by_remote_irr_until_its_end_and_then_asks_again() {
    // The serial port's line stays high until IIR is read, which happens at the third interrupt.
    let mut m = alone(
        0x62,
        |a| {
            let mut held = a.create_label();
            a.mov(dword_ptr(IO_APIC), 0x18).unwrap();
            a.mov(eax, dword_ptr(IO_APIC + 0x10)).unwrap();
            a.mov(dword_ptr(NOTE), eax).unwrap();
            a.cmp(dword_ptr(COUNTS), 3).unwrap();
            a.jb(held).unwrap();
            a.mov(dx, 0x3fa).unwrap();
            a.in_(al, dx).unwrap();
            a.set_label(&mut held).unwrap();
            end_apic(a);
        },
        |a| {
            redirect(a, 4, 0x8062, 0);
            out(a, 0x3fc, 8);
            out(a, 0x3f9, 2);
            wait_for(a, 3);
        },
    );
    assert_eq!(served(&mut m, 0x62).len(), 3);
    assert_eq!(peek(&m, NOTE), 0xc062, "remote IRR while it is served");

    // Afterwards, with the line low, it is clear and nothing comes any more.
    let mut m = alone(
        0x62,
        |a| {
            a.mov(dx, 0x3fa).unwrap();
            a.in_(al, dx).unwrap();
            end_apic(a);
        },
        |a| {
            redirect(a, 4, 0x8062, 0);
            out(a, 0x3fc, 8);
            out(a, 0x3f9, 2);
            a.sti().unwrap();
            delay(a, 100_000);
            a.mov(dword_ptr(IO_APIC), 0x18).unwrap();
            a.mov(eax, dword_ptr(IO_APIC + 0x10)).unwrap();
            a.mov(dword_ptr(NOTE), eax).unwrap();
            exit(a);
        },
    );
    assert_eq!(served(&mut m, 0x62).len(), 1);
    assert_eq!(peek(&m, NOTE), 0x8062);
}

/// Four processors with these task priorities; the timer's interrupt goes to the lowest of them.
fn lowest_of(preset: &str, priorities: [u32; 4]) -> Vec<u32> {
    let setup = |a: &mut CodeAssembler, i: u32| {
        a.mov(dword_ptr(APIC + 0xd0), 1 << (24 + i)).unwrap();
        a.mov(dword_ptr(APIC + 0x80), priorities[i as usize]).unwrap();
    };
    let first = |a: &mut CodeAssembler| {
        setup(a, 0);
        // By now the others have set theirs.
        delay(a, 50_000);
        redirect(a, 2, 0x0961, 0x0f00_0000);
        start_timer(a, 1193);
        a.sti().unwrap();
        delay(a, 20_000_000);
        exit(a);
    };
    let other = |i: u32| {
        move |a: &mut CodeAssembler| {
            setup(a, i);
            sleep(a);
        }
    };
    let bodies: [&dyn Fn(&mut CodeAssembler); 4] = [&first, &other(1), &other(2), &other(3)];
    let mut m = several(config(preset), 0x61, end_apic, &bodies);
    assert_eq!(m.run(&mut Nobody), Stop::Exit(0x10));
    counts(&m, 4)
}

#[test]
fn lowest_priority_finds_the_one_processor() {
    for preset in ["p3", "haswell-ep"] {
        let got = lowest_of(preset, [0x50, 0x40, 0x30, 0x40]);
        assert!(got[2] > 5 && got.iter().sum::<u32>() == got[2], "{preset}: {got:?}");
    }
}

#[test]
fn equal_priorities_are_served_in_turn_on_the_serial_bus() {
    let got = lowest_of("p3", [0, 0, 0, 0]);
    assert!(got.iter().filter(|&&n| n > 0).count() >= 2, "arbitration moves on: {got:?}");
    let got = lowest_of("haswell-ep", [0, 0, 0, 0]);
    assert!(got[0] > 5 && got[1..] == [0, 0, 0], "the lowest number on the system bus: {got:?}");
}

#[test]
fn logical_destinations_reach_flat_sets_and_clusters() {
    // Model, logical ids, and destinations with the processors that they mean.
    let flat = (0xffff_ffff_u32, [1, 2, 4, 8], [(0x0b, 0b1011), (0xff, 0b1111)]);
    let cluster = (0x0fff_ffff_u32, [0x11, 0x12, 0x21, 0x22], [(0x23, 0b1100), (0xf1, 0b0101)]);
    for (model, ids, destinations) in [flat, cluster] {
        for (destination, wanted) in destinations {
            let setup = |a: &mut CodeAssembler, i: usize| {
                a.mov(dword_ptr(APIC + 0xe0), model).unwrap();
                a.mov(dword_ptr(APIC + 0xd0), (ids[i] as u32) << 24).unwrap();
            };
            let first = |a: &mut CodeAssembler| {
                setup(a, 0);
                delay(a, 50_000);
                a.mov(dword_ptr(ICR_HIGH), (destination as u32) << 24).unwrap();
                a.mov(dword_ptr(ICR_LOW), 0x4800 | u32::from(VECTOR)).unwrap();
                a.sti().unwrap();
                delay(a, 50_000);
                exit(a);
            };
            let other = |i: usize| {
                move |a: &mut CodeAssembler| {
                    setup(a, i);
                    sleep(a);
                }
            };
            let bodies: [&dyn Fn(&mut CodeAssembler); 4] = [&first, &other(1), &other(2), &other(3)];
            let mut m = several(config("p3"), 0x61, end_apic, &bodies);
            assert_eq!(m.run(&mut Nobody), Stop::Exit(0x10));
            let got = counts(&m, 4).iter().rev().fold(0, |mask, &n| mask << 1 | n);
            assert_eq!(got, wanted, "{model:#x}, destination {destination:#x}");
        }
    }
}

/// Keeps what the serial port puts out.
#[derive(Default)]
struct Console(Vec<u8>);

impl Observer for Console {
    fn wanted(&self) -> Wanted {
        Wanted::CONSOLE
    }
    fn event(&mut self, _: &Event) {}
    fn console(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

#[test]
fn a_driver_prints_by_interrupts_of_the_serial_port() {
    // Each interrupt sends the next letter, until the last turns them off.
    let mut m = alone(
        PIC_BASE + 4,
        |a| {
            let (mut more, mut end) = (a.create_label(), a.create_label());
            a.mov(dx, 0x3fa).unwrap();
            a.in_(al, dx).unwrap();
            a.mov(dl, 0xf8).unwrap();
            a.mov(al, byte_ptr(COUNTS)).unwrap();
            a.add(al, 0x60).unwrap();
            a.cmp(al, 0x6a).unwrap();
            a.jne(more).unwrap();
            a.inc(edx).unwrap();
            a.xor(eax, eax).unwrap();
            a.set_label(&mut more).unwrap();
            a.out(dx, al).unwrap();
            a.set_label(&mut end).unwrap();
            a.mov(al, 0x20).unwrap();
            a.out(0x20, al).unwrap();
        },
        |a| {
            a.mov(dword_ptr(LVT_LINT0), EXT_INT).unwrap();
            init_8259(a, 0xffef);
            out(a, 0x3fc, 8);
            out(a, 0x3f9, 2);
            wait_for(a, 10);
        },
    );
    let mut console = Console::default();
    assert_eq!(m.run(&mut console), Stop::Exit(0x10));
    assert_eq!(console.0, b"abcdefghi");
}

#[test]
fn the_clock_interrupts_periodically_through_both_8259s() {
    let mut m = alone(
        PIC_BASE + 8,
        |a| {
            a.mov(al, 0x0c).unwrap();
            a.out(0x70, al).unwrap();
            a.in_(al, 0x71).unwrap();
            a.mov(dword_ptr(NOTE), eax).unwrap();
            end_8259(a);
        },
        |a| {
            a.mov(dword_ptr(LVT_LINT0), EXT_INT).unwrap();
            init_8259(a, 0xfefb);
            for (index, value) in [(0x0a, 0x23), (0x0b, 0x42)] {
                out(a, 0x70, index);
                out(a, 0x71, value);
            }
            wait_for(a, 20);
        },
    );
    let ticks = served(&mut m, PIC_BASE + 8);
    let period = f64::from(m.config().preset.clock_mhz) * 1e6 / 8192.0;
    assert!(ticks.len() == 20 && evenly(&ticks, period), "{ticks:?}");
    assert_eq!(peek(&m, NOTE) & 0xff, 0xc0);
}

#[test]
fn an_nmi_comes_through_lint1_and_the_next_waits_for_the_iret() {
    // The handler runs with interrupts off and for long; each NMI notes how deep it is nested.
    let body = |entry: u32| {
        move |a: &mut CodeAssembler| {
            a.mov(dword_ptr(LVT_LINT1), entry).unwrap();
            delay(a, 1_000_000);
            exit(a);
        }
    };
    let run = |entry: u32| {
        let mut programs = [program()];
        body(entry)(&mut programs[0]);
        let mut m = load_each(config("p3"), &mut programs, &mut counting(end_apic));
        poke(&mut m, COUNTS, 0);
        poke(&mut m, NOTE, 0);
        let mut handler = CodeAssembler::new(32).unwrap();
        let (mut flat, mut wait) = (handler.create_label(), handler.create_label());
        handler.inc(dword_ptr(COUNTS)).unwrap();
        handler.inc(dword_ptr(NOTE)).unwrap();
        handler.cmp(dword_ptr(NOTE), 1).unwrap();
        handler.je(flat).unwrap();
        handler.mov(dword_ptr(COUNTS), 99).unwrap();
        handler.set_label(&mut flat).unwrap();
        handler.push(ecx).unwrap();
        handler.mov(ecx, 20_000).unwrap();
        handler.set_label(&mut wait).unwrap();
        handler.dec(ecx).unwrap();
        handler.jnz(wait).unwrap();
        handler.pop(ecx).unwrap();
        handler.dec(dword_ptr(NOTE)).unwrap();
        handler.iretd().unwrap();
        on_vector(&mut m, 2, &mut handler);
        // The second and third while the first is served: one is kept.
        [100_000, 110_000, 120_000, 300_000].into_iter().for_each(|at| m.press_nmi(at));
        let taken = served(&mut m, 2);
        (taken, counts(&m, 1))
    };
    let (taken, count) = run(0x400);
    assert_eq!((taken.len(), count), (3, vec![3]));
    assert!(taken[1] >= taken[0] + 40_000, "{taken:?}");
    assert_eq!(run(0x1_0400).0, [], "masked");
}

#[test]
fn the_apic_timer_is_periodic() {
    let mut m = alone(0x61, end_apic, |a| {
        a.mov(dword_ptr(APIC + 0x3e0), 0b1011).unwrap();
        a.mov(dword_ptr(LVT_TIMER), 0x2_0061).unwrap();
        a.mov(dword_ptr(APIC + 0x380), 10_000).unwrap();
        wait_for(a, 10);
    });
    let ticks = served(&mut m, 0x61);
    let preset = &m.config().preset;
    let period = 10_000 * u64::from(preset.clock_mhz) / u64::from(preset.bus_mhz);
    assert_eq!(ticks.len(), 10);
    assert!(ticks.windows(2).all(|w| w[1] - w[0] == period), "{ticks:?}");
}

#[test]
fn an_apic_that_is_switched_off_leaves_the_pins() {
    // IA32_APIC_BASE bit 11 cleared: INTR comes straight from the 8259 pair.
    let mut m = alone(
        PIC_BASE,
        |a| {
            // The APIC's page is gone.
            a.inc(dword_ptr(NOTE)).unwrap();
            end_8259(a);
        },
        |a| {
            init_8259(a, 0xfffe);
            start_timer(a, 2000);
            a.mov(ecx, 0x1b).unwrap();
            a.rdmsr().unwrap();
            a.and(eax, !0x800).unwrap();
            a.wrmsr().unwrap();
            // On a P6 there is no way back.
            a.or(eax, 0x800).unwrap();
            a.wrmsr().unwrap();
            wait_for_at(a, NOTE, 3);
        },
    );
    m.bus_mut().strict = false;
    assert_eq!(m.run(&mut Nobody), Stop::Exit(0x10));
    assert_eq!(peek(&m, NOTE), 3);
    assert_eq!(m.cpus()[0].msr.apic_base & 1 << 11, 0);
    assert!(!m.cpus()[0].apic.is_on());
}

#[test]
fn a_reset_ends_the_run() {
    for (port, value) in [(0x64, 0xfe), (0x92, 3), (0xcf9, 6)] {
        let mut m = alone(0x61, end_apic, |a| out(a, port, value));
        let stop = m.run(&mut Nobody);
        assert!(matches!(stop, Stop::Reset { cpu: 0, port: p, .. } if u32::from(p) == port), "{stop}");
    }
}
