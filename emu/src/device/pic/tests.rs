//! Tests of the 8259A pair: unless said otherwise initialised as kernels do, vectors 20h and 28h, nothing masked.

use super::*;

fn pics() -> Pics {
    with_icw4(1)
}

fn with_icw4(icw4: u8) -> Pics {
    let mut p = Pics::new();
    for (chip, words) in [(0, [0x11, 0x20, 4, icw4]), (1, [0x11, 0x28, 2, icw4 & !0x10])] {
        p.write(chip, 0, words[0]);
        words[1..].iter().for_each(|&w| p.write(chip, 1, w));
    }
    p
}

/// What the first (0) or second (1) controller has in service.
fn in_service(p: &mut Pics, chip: usize) -> u8 {
    p.write(chip, 0, 0x0b);
    let isr = p.read(chip, 0);
    p.write(chip, 0, 0x0a);
    isr
}

fn raise(p: &mut Pics, irqs: &[u8]) {
    irqs.iter().for_each(|&irq| p.set_line(irq, true));
}

#[test]
fn initialised_and_masked_as_a_kernel_does() {
    let mut p = pics();
    assert_eq!((p.read(0, 1), p.read(1, 1)), (0, 0), "initialisation clears the mask");
    p.write(1, 1, 0xfe);
    assert_eq!(p.read(1, 1), 0xfe);
    p.write(1, 0, 0x20);
    assert_eq!((p.read(1, 0), p.read(1, 1)), (0, 0xfe));
}

#[test]
fn a_single_controller_without_icw4_has_two_words() {
    let mut p = Pics::new();
    p.write(0, 0, 0x12);
    p.write(0, 1, 0x43);
    p.write(0, 1, 0x55);
    assert_eq!(p.read(0, 1), 0x55);
    p.write(0, 1, 0);
    p.set_line(3, true);
    assert_eq!(p.acknowledge(), 0x43, "the low three bits are the input's");
}

#[test]
fn all_lines_are_masked_at_first() {
    let mut p = Pics::new();
    assert_eq!((p.read(0, 1), p.read(1, 1)), (0xff, 0xff));
    raise(&mut p, &[0, 8]);
    assert!(!p.interrupt() && !p.listens(0) && !p.listens(8));
}

#[test]
fn nothing_is_asked_for_during_initialisation() {
    let mut p = pics();
    p.write(0, 0, 0x11);
    p.set_line(1, true);
    assert!(!p.interrupt());
    [0x20, 4, 1].into_iter().for_each(|w| p.write(0, 1, w));
    assert!(p.interrupt());
}

#[test]
fn requests_come_by_priority_and_end() {
    let mut p = pics();
    raise(&mut p, &[6, 1, 3]);
    assert_eq!(p.read(0, 0), 0b0100_1010);
    assert_eq!(p.acknowledge(), 0x21);
    assert!(!p.interrupt(), "the others are lower");
    p.set_line(0, true);
    assert_eq!(p.acknowledge(), 0x20, "a higher one nests");
    assert_eq!(in_service(&mut p, 0), 0b11);
    p.write(0, 0, 0x20);
    assert_eq!(in_service(&mut p, 0), 0b10, "the highest ends");
    p.write(0, 0, 0x20);
    assert_eq!(p.acknowledge(), 0x23);
    p.write(0, 0, 0x63);
    assert_eq!((in_service(&mut p, 0), p.acknowledge()), (0, 0x26));
}

#[test]
fn an_edge_counts_once_and_a_level_again() {
    let mut p = pics();
    p.write_levels(0, 0xff);
    p.write_levels(1, 0xff);
    assert_eq!((p.read_levels(0), p.read_levels(1)), (0xf8, 0xde), "some are edge-triggered for good");
    raise(&mut p, &[1, 5]);
    for (vector, again) in [(0x21, false), (0x25, true)] {
        assert_eq!(p.acknowledge(), vector);
        p.write(0, 0, 0x20);
        assert_eq!(p.interrupt(), vector == 0x21 || again);
    }
    p.set_line(5, false);
    assert!(!p.interrupt());
    p.set_line(1, false);
    p.set_line(1, true);
    assert_eq!(p.acknowledge(), 0x21, "the next edge");
}

#[test]
fn a_request_that_has_gone_is_spurious() {
    let mut p = pics();
    p.set_line(4, true);
    p.set_line(4, false);
    assert_eq!((p.acknowledge(), in_service(&mut p, 0)), (0x27, 0));
    p.set_line(12, true);
    p.chips[1].set_line(4, false);
    assert_eq!(p.acknowledge(), 0x2f, "the second controller's");
    assert_eq!(
        (in_service(&mut p, 0), in_service(&mut p, 1)),
        (4, 0),
        "the first has its cascade in service"
    );
}

#[test]
fn the_second_controller_asks_through_the_first() {
    let mut p = pics();
    raise(&mut p, &[9, 8, 3]);
    assert_eq!(p.acknowledge(), 0x28);
    assert_eq!((in_service(&mut p, 0), in_service(&mut p, 1)), (4, 1));
    p.write(1, 0, 0x20);
    assert!(!p.interrupt(), "the cascade is still in service");
    p.write(0, 0, 0x20);
    assert_eq!(p.acknowledge(), 0x29, "before IRQ 3");
    p.write(0, 1, 4);
    assert!(!p.listens(9) && p.listens(3));
}

#[test]
fn special_fully_nested_mode_lets_the_second_nest() {
    for (icw4, nests) in [(0x01, false), (0x11, true)] {
        let mut p = with_icw4(icw4);
        p.set_line(14, true);
        assert_eq!(p.acknowledge(), 0x2e);
        p.set_line(8, true);
        assert_eq!(p.interrupt(), nests);
    }
}

#[test]
fn special_mask_mode_lets_lower_ones_through() {
    let mut p = pics();
    raise(&mut p, &[2, 3, 5]);
    p.write(0, 1, 4);
    assert_eq!(p.acknowledge(), 0x23);
    p.write(0, 1, 0x0c);
    assert!(!p.interrupt());
    p.write(0, 0, 0x68);
    assert_eq!(p.acknowledge(), 0x25);
    p.write(0, 0, 0x20);
    assert_eq!(in_service(&mut p, 0), 0b1000, "an end that names nobody spares masked inputs");
    p.write(0, 0, 0x48);
    p.set_line(6, true);
    assert!(!p.interrupt());
}

#[test]
fn rotation_moves_priorities() {
    // Command, and the input that then comes first of 1, 4 and 6, with 4 in service before it.
    for (command, first) in [(0x20, 0x21), (0xa0, 0x26), (0xe4, 0x26), (0xc3, 0x24), (0xc6, 0x21)] {
        let mut p = pics();
        p.set_line(4, true);
        assert_eq!(p.acknowledge(), 0x24);
        p.write(0, 0, command);
        if command & 0x20 == 0 {
            p.write(0, 0, 0x20);
        }
        p.set_line(4, false);
        raise(&mut p, &[1, 4, 6]);
        assert_eq!(p.acknowledge(), first, "command {command:#x}");
    }
}

#[test]
fn automatic_end_leaves_nothing_in_service() {
    let mut p = with_icw4(3);
    raise(&mut p, &[3, 4]);
    assert_eq!((p.acknowledge(), in_service(&mut p, 0)), (0x23, 0));
    assert_eq!(p.acknowledge(), 0x24);
    p.write(0, 0, 0x80);
    for line in [3, 4] {
        p.set_line(line, false);
        p.set_line(line, true);
    }
    assert_eq!(p.acknowledge(), 0x23);
    p.set_line(3, false);
    p.set_line(3, true);
    assert_eq!(p.acknowledge(), 0x24, "rotated: input 3 is now last");
}

#[test]
fn a_poll_acknowledges() {
    let mut p = pics();
    raise(&mut p, &[5, 10]);
    p.write(0, 0, 0x0c);
    assert_eq!(p.read(0, 0), 0x82);
    p.write(1, 0, 0x0c);
    assert_eq!(p.read(1, 0), 0x82, "IRQ 10");
    p.write(1, 0, 0x0c);
    assert_eq!(p.read(1, 0), 0);
    assert_eq!((in_service(&mut p, 0), in_service(&mut p, 1)), (4, 4));
}
