//! Tests of the 8254. Times are input clocks, turned into the first cycle of that clock.

use super::*;

fn cycle(clock: u64) -> u64 {
    (u128::from(clock) * 700_000_000).div_ceil(INPUT_HZ) as u64
}

/// A counter programmed at clock 0 with the control word's low six bits and a count of two bytes.
fn programmed(counter: u16, control: u8, count: u16) -> Pit {
    let mut p = Pit::new(700);
    p.write(3, (counter as u8) << 6 | control, 0);
    p.write(counter, count as u8, 0);
    p.write(counter, (count >> 8) as u8, 0);
    p
}

fn count(p: &mut Pit, counter: u16, clock: u64) -> u16 {
    p.write(3, (counter as u8) << 6, cycle(clock));
    u16::from(p.read(counter, 0)) | u16::from(p.read(counter, 0)) << 8
}

fn counts(p: &mut Pit, counter: u16, clocks: std::ops::Range<u64>) -> Vec<u16> {
    clocks.map(|c| count(p, counter, c)).collect()
}

/// The output of a counter, a character a clock.
fn wave(p: &Pit, counter: usize, clocks: std::ops::Range<u64>) -> String {
    clocks.map(|c| if p.counters[counter].output(c) { '-' } else { '_' }).collect()
}

#[test]
fn one_second_is_one_second() {
    let p = Pit::new(700);
    assert_eq!(p.clock(700_000_000), 1_193_182);
    assert_eq!(p.clock(699_999_999), 1_193_181);
    assert_eq!((p.cycle(1_193_182), p.cycle(1)), (700_000_000, 587));
}

/// The waveforms of the data sheet: a count is loaded one clock after it was written.
#[test]
fn outputs_are_the_data_sheet_s() {
    for (mode, n, wanted) in [
        (0, 4, "_____---------"),
        (1, 4, "--------------"),
        (2, 3, "---_--_--_--_-"),
        (2, 1, "--_-_-_-_-_-_-"),
        (3, 4, "---__--__--__-"),
        (3, 5, "----__---__---"),
        (4, 4, "-----_--------"),
        (5, 4, "--------------"),
    ] {
        let p = programmed(0, 0x30 | mode << 1, n);
        assert_eq!(wave(&p, 0, 0..14), wanted, "mode {mode}, count {n}");
    }
}

#[test]
fn the_gate_triggers_stops_and_restarts() {
    // Counter 2: the gate opens at clock 3, closes at 6, opens again at 8.
    for (mode, wanted) in [
        (0, "__________--------"),
        (1, "----__________----"),
        (2, "-------------_----"),
        (3, "-----------__--__-"),
        (4, "----------_-------"),
        (5, "--------------_---"),
    ] {
        let mut p = programmed(2, 0x30 | mode << 1, if mode == 3 { 4 } else { 5 });
        let mut seen = wave(&p, 2, 0..3);
        p.write_speaker(1, cycle(3));
        seen += &wave(&p, 2, 3..6);
        p.write_speaker(0, cycle(6));
        seen += &wave(&p, 2, 6..8);
        p.write_speaker(1, cycle(8));
        seen += &wave(&p, 2, 8..18);
        assert_eq!(seen, wanted, "mode {mode}");
    }
}

#[test]
fn a_new_count_waits_for_the_period_under_way() {
    for (mode, wanted) in [(2, "-----_-_-_"), (3, "-----_-_-_")] {
        let mut p = programmed(0, 0x10 | mode << 1, 0);
        // One byte only: 5 (or, as a square wave, 8), then 2.
        let first = if mode == 2 { 5 } else { 8 };
        p.write(3, 0x10 | mode << 1, 0);
        p.write(0, first, 0);
        p.write(0, 2, cycle(3));
        assert_eq!(wave(&p, 0, 0..10), wanted, "mode {mode}");
    }
    // Modes 0 and 4 begin anew at once.
    let mut p = programmed(0, 0x30, 10);
    p.write(0, 3, cycle(5));
    assert_eq!(count(&mut p, 0, 6), 6, "the first byte stops the count");
    p.write(0, 0, cycle(7));
    assert_eq!(wave(&p, 0, 5..13), "______--");
}

#[test]
fn the_next_change_is_the_next_change() {
    for mode in 0..6 {
        for n in [1_u16, 2, 3, 7] {
            let p = programmed(0, 0x30 | mode << 1, n);
            for clock in 0..40 {
                let after = (clock + 1..60).find(|&c| p.counters[0].output(c) != p.counters[0].output(clock));
                let change = p.counters[0].next_change(clock);
                assert_eq!(change, after, "mode {mode}, count {n}, clock {clock}");
            }
        }
    }
}

#[test]
fn a_calibration_loop_sees_the_terminal_count() {
    // What kernels do: gate counter 2, mode 0, wait for the output at port 0x61.
    let mut p = Pit::new(700);
    p.write_speaker(1, 0);
    p.write(3, 0xb0, 0);
    p.write(2, 0x9c, 0);
    p.write(2, 0x2e, 0);
    assert_eq!(p.read_speaker(cycle(11_932)) & 0x20, 0);
    assert_eq!(p.read_speaker(cycle(11_933)) & 0x20, 0x20);
}

#[test]
fn a_closed_gate_holds_the_count() {
    let mut p = Pit::new(700);
    p.write_speaker(1, 0);
    p.write(3, 0xb0, 0);
    p.write(2, 100, 0);
    p.write(2, 0, 0);
    p.write_speaker(0, cycle(41));
    assert_eq!(count(&mut p, 2, 1000), 60);
    p.write_speaker(1, cycle(1000));
    assert_eq!(count(&mut p, 2, 1010), 50);
    assert_eq!(p.read_speaker(cycle(1059)) & 0x20, 0);
    assert_eq!(p.read_speaker(cycle(1060)) & 0x20, 0x20);
}

#[test]
fn counts_are_read_as_the_data_sheet_says() {
    let mut p = programmed(0, 0x34, 10);
    assert_eq!(counts(&mut p, 0, 1..13), [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 10, 9]);
    let mut p = programmed(0, 0x36, 8);
    assert_eq!(counts(&mut p, 0, 1..10), [8, 6, 4, 2, 8, 6, 4, 2, 8]);
    let mut p = programmed(0, 0x36, 5);
    assert_eq!(counts(&mut p, 0, 1..7), [4, 2, 0, 4, 2, 4]);
}

#[test]
fn a_latched_count_waits_until_it_is_read() {
    let mut p = programmed(0, 0x30, 0x1000);
    p.write(3, 0, cycle(17));
    p.write(3, 0, cycle(99));
    assert_eq!((p.read(0, cycle(200)), p.read(0, cycle(300))), (0xf0, 0x0f));
    assert_eq!(p.read(0, cycle(0x21)), 0xe0, "live again");
}

#[test]
fn read_back_gives_status_then_count() {
    let mut p = Pit::new(700);
    p.write(3, 0x34, 0);
    p.write(3, 0xe2, 0);
    assert_eq!(p.read(0, 0), 0xf4, "output high, nothing loaded, low then high, mode 2");
    p.write(0, 4, 0);
    p.write(0, 0, 0);
    p.write(3, 0xc2, cycle(1));
    assert_eq!([p.read(0, 0), p.read(0, 0), p.read(0, 0)], [0xb4, 4, 0]);
    p.write(0, 9, cycle(2));
    p.write(0, 0, cycle(2));
    p.write(3, 0xe2, cycle(3));
    assert_eq!(p.read(0, 0), 0xf4, "the new count is not in the counting element yet");
}

#[test]
fn bcd_counts_in_tens() {
    let mut p = programmed(0, 0x31, 0x1000);
    assert_eq!(count(&mut p, 0, 2), 0x0999);
    assert_eq!(count(&mut p, 0, 1002), 0x9999, "goes on below zero");
}
