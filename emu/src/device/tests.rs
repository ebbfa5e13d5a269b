//! Tests of the devices together: ports, time, interrupt lines.

use super::*;
use proptest::prelude::*;

fn devices() -> Devices {
    Devices::new(&Preset::builtin("p3").expect("built in")).with_memory(128 << 20)
}

#[test]
fn serial_and_debug_output_are_kept_apart() {
    let mut d = devices();
    for (port, byte) in [(0x3f8, b'a'), (0xe9, b'b'), (0x3f8, b'c'), (0xe9, b'd')] {
        assert_eq!(d.write(port, 1, byte.into(), 0), PortWrite::Done);
    }
    assert_eq!((d.take_output(), d.take_debug()), (b"ac".to_vec(), b"bd".to_vec()));
    assert_eq!((d.take_output(), d.take_debug()), (Vec::new(), Vec::new()));
    assert_eq!(d.read(0xe9, 1, 0), PortRead::Value(0xe9));
}

#[test]
fn empty_ports_float_and_say_so() {
    let mut d = devices();
    assert_eq!(d.read(0xcf8, 4, 0), PortRead::Empty);
    assert_eq!(d.write(0xcf8, 4, 0x8000_0000, 0), PortWrite::Empty);
    assert_eq!(d.read(0xffff, 4, 0), PortRead::Empty, "no wrap to port 0");
}

#[test]
fn wide_accesses_are_taken_apart() {
    let mut d = devices();
    assert_eq!(d.write(0x80, 2, 0x1234, 0), PortWrite::Done);
    assert_eq!(d.peek_post(), 0x34);
    assert_eq!(d.read(0x80, 2, 0), PortRead::Value(0x1234));
    assert_eq!(d.write(0xef, 2, 0, 0), PortWrite::Done, "the coprocessor's port only");
    assert_eq!(d.write(0x20, 2, 0xfb20, 0), PortWrite::Done);
    assert_eq!(d.read(0x21, 1, 0), PortRead::Value(0xfb));
}

#[test]
fn the_exit_port_gives_its_value() {
    let mut d = devices();
    assert_eq!(d.write(0xf4, 4, 0x0001_0010, 0), PortWrite::Exit(0x0001_0010));
    assert_eq!(d.write(0xf4, 1, 0xff10, 0), PortWrite::Exit(0x10));
}

/// Opens the timer's line at the 8259 pair, with a tick each 1000 clocks.
fn ticking() -> Devices {
    let mut d = devices();
    for (port, value) in [
        (0x20, 0x11),
        (0x21, 0x20),
        (0x21, 4),
        (0x21, 1),
        (0x21, 0xfe),
        (0x43, 0x34),
        (0x40, 0xe8),
        (0x40, 3),
    ] {
        d.write(port, 1, value, 0);
    }
    d
}

#[test]
fn nothing_is_due_while_every_line_is_masked() {
    let mut d = devices();
    assert_eq!(d.due(), u64::MAX);
    assert!(!d.has_news());
    d.write(0x21, 1, 0xfe, 0);
    assert!(d.due() < u64::MAX && d.take_news());
    d.write(0x21, 1, 0xff, 0);
    assert_eq!(d.due(), u64::MAX);
    d.write_io_apic(0, 0x14, 0);
    d.write_io_apic(0x10, 0x40, 0);
    assert!(d.due() < u64::MAX, "pin 2 of the I/O APIC");
}

#[test]
fn what_is_due_happens_then_and_edges_under_the_mask_wait() {
    let mut d = ticking();
    d.take_news();
    let mut rises = Vec::new();
    for _ in 0..6 {
        let due = d.due();
        d.advance(due);
        if d.take_intr_changes() == [(due, true)] {
            assert_eq!(d.acknowledge(due), 0x20);
            assert_eq!(d.take_intr_changes(), [(due, false)]);
            d.write(0x20, 1, 0x20, due);
            rises.push(due);
        }
    }
    // 1000 clocks at 700 MHz are 586666.6 cycles; one more for the first load.
    assert_eq!(rises, [587_254, 1_173_920, 1_760_587]);
    d.write(0x21, 1, 0xff, 1_760_590);
    d.advance(100_000_000);
    assert!(!d.interrupt());
    d.write(0x21, 1, 0xfe, 100_000_000);
    assert!(d.interrupt(), "an edge has come meanwhile");
    assert_eq!(d.acknowledge(100_000_001), 0x20);
}

#[test]
fn one_leap_of_time_is_as_good_as_many() {
    let (mut leap, mut steps) = (ticking(), ticking());
    leap.advance(5_000_000);
    (0..=5_000_000).step_by(997).for_each(|now| steps.advance(now));
    steps.advance(5_000_000);
    assert_eq!((leap.due(), leap.interrupt()), (steps.due(), steps.interrupt()));
    leap.advance(1 << 60);
    assert!(leap.due() > 1 << 60, "and ends soon");
}

proptest! {
    #[test]
    fn any_access_is_survived(ops in proptest::collection::vec((0_u16..0x500, any::<u32>(), any::<u64>(), 0_u32..3, any::<bool>()), 0..300)) {
        let mut d = devices();
        for (port, value, now, size, store) in ops {
            if store {
                d.write(port, 1 << size, value, now);
            } else {
                d.read(port, 1 << size, now);
            }
        }
    }
}
