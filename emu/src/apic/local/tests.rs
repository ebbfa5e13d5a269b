//! Tests of the local APIC: each starts from an enabled one, unless it says otherwise.

use super::super::icr::{Destination, Level};
use super::*;

const LINT0: u32 = 0x350;
const LINT1: u32 = 0x360;

fn apic() -> LocalApic {
    let mut a = LocalApic::new(3, Role::Ap, Kind::XApic, 700, 100);
    a.write(SVR, 0x1ff, 0);
    a
}

#[test]
fn reset_values_are_the_manual_s() {
    let mut a = LocalApic::new(2, Role::Bsp, Kind::P6, 700, 100);
    assert_eq!(a.read(ID, 0), 0x0200_0000);
    assert_eq!(a.read(VERSION, 0), 0x0004_0011);
    assert_eq!(a.read(SVR, 0), 0xff);
    assert_eq!(a.read(DFR, 0), u32::MAX);
    assert_eq!(a.read(LVT_TIMER, 0), MASKED);
    assert_eq!(a.read(TPR, 0) | a.read(LDR, 0) | a.read(ICR_LOW, 0), 0);
    assert_eq!(a.role(), Role::Bsp);
}

#[test]
fn a_disabled_apic_takes_nothing_and_masks_its_entries() {
    let mut a = LocalApic::new(0, Role::Bsp, Kind::XApic, 700, 100);
    assert_eq!(a.accept(0x40, Trigger::Edge), Accepted::Refused);
    a.write(LVT_TIMER, 0x40, 0);
    assert_eq!(a.read(LVT_TIMER, 0), MASKED | 0x40);
    a.write(SVR, 0x1ff, 0);
    a.write(LVT_TIMER, 0x40, 0);
    assert_eq!(a.read(LVT_TIMER, 0), 0x40);
    assert_eq!(a.accept(0x50, Trigger::Edge), Accepted::New);
    assert_eq!(a.pending(), Some(0x50));
    a.write(SVR, 0xff, 0);
    assert_eq!(a.read(LVT_TIMER, 0), MASKED | 0x40);
    assert_eq!(a.pending(), None, "held");
    a.write(SVR, 0x1ff, 0);
    assert_eq!(a.pending(), Some(0x50), "and there again");
}

#[test]
fn an_interrupt_goes_from_irr_to_isr_to_its_end() {
    let mut a = apic();
    assert_eq!(a.accept(0x41, Trigger::Edge), Accepted::New);
    assert_eq!(a.accept(0x41, Trigger::Edge), Accepted::Merged);
    assert_eq!(a.read(IRR + 0x20, 0), 2);
    assert_eq!(a.acknowledge(), Some(0x41));
    assert_eq!(a.read(IRR + 0x20, 0), 0);
    assert_eq!(a.read(ISR + 0x20, 0), 2);
    assert_eq!(a.read(PPR, 0), 0x40);
    assert_eq!(a.accept(0x41, Trigger::Edge), Accepted::New, "one in service, one waiting");
    assert_eq!(a.pending(), None);
    assert_eq!(a.write(EOI, 0, 0), Effect::Eoi(0x41));
    assert_eq!(a.pending(), Some(0x41));
    assert_eq!(a.acknowledge(), Some(0x41));
    assert_eq!(a.write(EOI, 0, 0), Effect::Eoi(0x41));
    assert_eq!(a.write(EOI, 0, 0), Effect::None, "nothing in service");
}

#[test]
fn only_a_higher_class_interrupts_a_handler() {
    let mut a = apic();
    a.accept(0x45, Trigger::Edge);
    a.acknowledge();
    a.accept(0x4f, Trigger::Edge);
    assert_eq!(a.pending(), None, "same class");
    a.accept(0x51, Trigger::Edge);
    assert_eq!(a.acknowledge(), Some(0x51));
    assert_eq!(a.write(EOI, 0, 0), Effect::Eoi(0x51), "the highest ends first");
    assert_eq!(a.write(EOI, 0, 0), Effect::Eoi(0x45));
    assert_eq!(a.pending(), Some(0x4f));
}

#[test]
fn the_task_priority_holds_back_its_class_and_below() {
    let mut a = apic();
    a.accept(0x6f, Trigger::Edge);
    a.write(TPR, 0x60, 0);
    assert_eq!(a.pending(), None);
    assert_eq!(a.read(PPR, 0), 0x60);
    assert_eq!(a.acknowledge(), Some(0xff), "the spurious vector");
    assert!(a.is_requested(0x6f) && !a.is_in_service(0xff));
    a.write(TPR, 0x5f, 0);
    assert_eq!(a.pending(), Some(0x6f));
}

#[test]
fn arbitration_priority_follows_the_formula() {
    let mut a = apic();
    a.write(TPR, 0x35, 0);
    assert_eq!(a.read(APR, 0), 0x35);
    a.accept(0x52, Trigger::Edge);
    assert_eq!(a.read(APR, 0), 0x50);
    a.acknowledge();
    assert_eq!(a.read(APR, 0), 0x50);
}

#[test]
fn nothing_waits_nothing_is_taken() {
    assert_eq!(apic().acknowledge(), None);
    assert_eq!(LocalApic::new(0, Role::Bsp, Kind::P6, 1, 1).acknowledge(), None);
}

#[test]
fn level_interrupts_are_remembered_in_the_tmr() {
    let mut a = apic();
    a.accept(0x80, Trigger::Level);
    assert!(a.is_level(0x80));
    assert_eq!(a.read(TMR + 0x40, 0), 1);
    a.acknowledge();
    assert_eq!(a.write(EOI, 0, 0), Effect::Eoi(0x80));
    a.accept(0x80, Trigger::Edge);
    assert!(!a.is_level(0x80));
}

#[test]
fn a_command_is_sent_with_its_destination() {
    let mut a = apic();
    assert_eq!(a.write(ICR_HIGH, 0x0700_0000, 0), Effect::None);
    let Effect::Send(ipi) = a.write(ICR_LOW, 0x40fd, 0) else { panic!("a message") };
    assert_eq!(ipi.destination, Destination::Physical(7));
    assert_eq!((ipi.mode, ipi.vector, ipi.level), (Mode::Fixed, 0xfd, Level::Assert));
    assert_eq!(a.read(ICR_LOW, 0), 0x40fd);
    a.hold_send(100);
    assert_eq!(a.read(ICR_LOW, 99), 0x50fd);
    assert_eq!(a.read(ICR_LOW, 100), 0x40fd);
}

/// LVT entries of LINT0, with the pin rising: what the processor is asked for, and what it takes.
#[test]
fn pins_do_what_their_entries_say() {
    let lint0 = |entry| {
        let mut a = apic();
        a.write(LINT0, entry, 0);
        let effect = a.set_pin(Pin::Lint0, true);
        (effect, a.acknowledge(), a.take_external())
    };
    for (entry, effect, vector, external) in [
        (0x0041, PinEffect::None, Some(0x41), false),
        (0x8041, PinEffect::None, Some(0x41), false),
        (0x0200, PinEffect::Smi, None, false),
        (0x0400, PinEffect::Nmi, None, false),
        (0x0500, PinEffect::Init, None, false),
        (0x0700, PinEffect::None, None, true),
        (0x0341, PinEffect::None, None, false),
    ] {
        assert_eq!(lint0(entry), (effect, vector, external), "{entry:#x}");
        assert_eq!(lint0(entry | MASKED), (PinEffect::None, None, false), "{entry:#x}, masked");
    }
    assert_eq!(lint0(0x2041).1, None, "active low: it has become inactive");
}

#[test]
fn a_level_at_lint0_is_served_until_its_end() {
    let mut a = apic();
    a.write(LINT0, 0x8041, 0);
    a.set_pin(Pin::Lint0, true);
    assert_eq!(a.read(LINT0, 0), 0xc041, "remote IRR");
    assert!(a.is_level(0x41));
    assert_eq!(a.acknowledge(), Some(0x41));
    a.write(LINT0, 0x8041 | MASKED, 0);
    a.write(LINT0, 0x8041, 0);
    assert_eq!(a.read(LINT0, 0), 0xc041, "software cannot clear it");
    assert_eq!((a.write(EOI, 0, 0), a.acknowledge()), (Effect::Eoi(0x41), Some(0x41)), "asks again");
    a.set_pin(Pin::Lint0, false);
    a.write(EOI, 0, 0);
    assert_eq!((a.acknowledge(), a.read(LINT0, 0)), (None, 0x8041));
    a.set_pin(Pin::Lint0, true);
    a.write(LINT0, 0x0041, 0);
    assert_eq!(a.read(LINT0, 0), 0x0041, "an edge has none");
    a.write(LINT1, 0x8042, 0);
    a.set_pin(Pin::Lint1, true);
    assert_eq!(a.read(LINT1, 0), 0x8042, "LINT1 is edge-triggered whatever its entry says");
}

#[test]
fn an_external_interrupt_has_no_priority_and_leaves_no_trace() {
    let mut a = apic();
    a.write(LINT0, 0x0700, 0);
    a.write(TPR, 0xff, 0);
    a.accept(0x41, Trigger::Edge);
    a.set_pin(Pin::Lint0, true);
    assert!(a.interrupting());
    assert_eq!(a.acknowledge(), None, "no spurious vector while the 8259 pair asks");
    assert!(a.take_external() && !a.interrupting());
    assert!((0..8).all(|i| a.read(ISR + 16 * i, 0) == 0));
    a.accept_external();
    assert!(a.interrupting() && a.take_external());
    a.set_pin(Pin::Lint0, true);
    a.write(SVR, 0xff, 0);
    assert!(!a.interrupting(), "disabled by software: the entry is masked");
}

#[test]
fn switched_off_its_pins_are_intr_and_nmi() {
    for (kind, comes_back) in [(Kind::P6, false), (Kind::XApic, true)] {
        let mut a = LocalApic::new(3, Role::Ap, kind, 700, 100);
        a.write(SVR, 0x1ff, 0);
        a.write(TPR, 0x20, 0);
        assert!(!a.switch(false));
        assert_eq!(a.accept(0x41, Trigger::Edge), Accepted::Refused);
        assert!(!a.view(0x41).on);
        assert_eq!(a.set_pin(Pin::Lint0, true), PinEffect::None);
        assert!(a.interrupting());
        assert_eq!(a.set_pin(Pin::Lint1, true), PinEffect::Nmi);
        a.init();
        assert!(a.interrupting(), "INIT does not switch it on");
        assert_eq!(a.switch(true), comes_back, "{kind:?}");
        assert_eq!((a.interrupting(), a.id(), a.read(TPR, 0)), (!comes_back, 3, 0));
    }
}

#[test]
fn firmware_leaves_a_virtual_wire() {
    let mut a = LocalApic::new(0, Role::Bsp, Kind::P6, 700, 100);
    a.wire_virtually();
    assert_eq!((a.read(LINT0, 0), a.read(LINT1, 0), a.read(SVR, 0)), (0x700, 0x400, 0x10f));
    a.set_pin(Pin::Lint0, true);
    assert!(a.take_external());
    assert_eq!(a.set_pin(Pin::Lint1, true), PinEffect::Nmi);
}

#[test]
fn only_a_p6_tells_of_messages_that_nobody_took_and_has_a_focus() {
    for (kind, errors, focus) in
        [(Kind::P6, ERROR_SEND_ACCEPT | ERROR_RECEIVE_ACCEPT, true), (Kind::XApic, 0, false)]
    {
        let mut a = LocalApic::new(3, Role::Ap, kind, 700, 100);
        a.write(SVR, 0x1ff, 0);
        a.not_accepted(true);
        a.not_accepted(false);
        a.write(ESR, 0, 0);
        assert_eq!(a.read(ESR, 0), errors);
        assert!(!a.view(0x41).focus);
        a.accept(0x41, Trigger::Edge);
        assert_eq!((a.view(0x41).focus, a.view(0x42).focus), (focus, false));
        a.acknowledge();
        assert_eq!(a.view(0x41).focus, focus, "in service, too");
        a.write(SVR, 0x3ff, 0);
        assert!(!a.view(0x41).focus, "told not to");
    }
}

#[test]
fn the_sender_comes_last_in_the_next_arbitration() {
    let mut apics: Vec<_> = (0..16).map(|id| LocalApic::new(id, Role::Ap, Kind::P6, 700, 100)).collect();
    for from in [3, 15, 3, 7] {
        let winner = apics[from].arbitration();
        apics.iter_mut().enumerate().for_each(|(i, a)| a.message_passed(winner, i == from));
        assert_eq!(apics[from].arbitration(), 0);
        let mut ids: Vec<_> = apics.iter().map(LocalApic::arbitration).collect();
        ids.sort_unstable();
        assert!(ids.iter().copied().eq(0..16), "each has its own: {ids:?}");
    }
    apics[5].synchronise();
    assert_eq!(apics[5].arbitration(), 5);
}

#[test]
fn the_end_of_a_level_is_a_message() {
    let mut a = apic();
    for (trigger, sends) in [(Trigger::Edge, false), (Trigger::Level, true)] {
        a.accept(0x41, trigger);
        assert!(!a.sends(EOI), "nothing in service");
        a.acknowledge();
        assert_eq!(a.sends(EOI), sends);
        a.write(EOI, 0, 0);
    }
    assert!(a.sends(ICR_LOW) && !a.sends(ICR_HIGH));
}

#[test]
fn vectors_below_sixteen_are_errors() {
    let mut a = apic();
    assert_eq!(a.write(ICR_LOW, 0x400f, 0), Effect::None);
    assert_eq!(a.accept(0x0f, Trigger::Edge), Accepted::Refused);
    assert_eq!(a.read(ESR, 0), 0, "latched by a write only");
    a.write(ESR, 0, 0);
    assert_eq!(a.read(ESR, 0), ERROR_SEND_VECTOR | ERROR_RECEIVE_VECTOR);
    a.write(ESR, 0, 0);
    assert_eq!(a.read(ESR, 0), 0);
}

#[test]
fn registers_that_do_not_exist_are_errors() {
    for offset in [0x000, 0x0c0, 0x2f0, 0x3f0, 0x081, 0x322, 0x1008, u32::MAX] {
        let mut a = apic();
        assert_eq!(a.peek(offset, 0), None);
        assert_eq!(a.read(offset, 0), 0);
        assert_eq!(a.write(offset, 1, 0), Effect::None);
        a.write(ESR, 0, 0);
        assert_eq!(a.read(ESR, 0), ERROR_REGISTER, "{offset:#x}");
    }
    let mut p6 = LocalApic::new(0, Role::Bsp, Kind::P6, 1, 1);
    assert_eq!(p6.peek(0x330, 0), None, "a P6 has no thermal sensor entry");
    p6.write(SVR, 0x1f0, 0);
    assert_eq!(p6.read(SVR, 0), 0x1ff, "and wires four bits of the spurious vector");
}

#[test]
fn the_error_entry_interrupts_once_per_kind_of_error() {
    let mut a = apic();
    a.write(LVT_ERROR, 0x33, 0);
    a.read(0x000, 0);
    assert_eq!(a.acknowledge(), Some(0x33));
    a.write(EOI, 0, 0);
    a.read(0x000, 0);
    assert_eq!(a.pending(), None);
    a.write(LVT_ERROR, 0x05, 0);
    a.accept(3, Trigger::Edge);
    assert_eq!(a.pending(), None, "a bad vector of its own raises nothing");
}

#[test]
fn the_timer_interrupts_on_its_cycle() {
    let mut a = apic();
    a.write(TIMER_DIVIDE, 0b1011, 0);
    assert_eq!(a.write(TIMER_INITIAL, 100, 1000), Effect::TimerChanged);
    assert_eq!(a.timer_due(), None, "masked");
    assert_eq!(a.write(LVT_TIMER, PERIODIC | 0x31, 1000), Effect::TimerChanged);
    assert_eq!(a.timer_due(), Some(1700));
    a.timer_fire(1699);
    assert_eq!(a.pending(), None);
    a.timer_fire(1700);
    assert_eq!(a.pending(), Some(0x31));
    assert_eq!(a.timer_due(), Some(2400));
    assert_eq!(a.read(TIMER_CURRENT, 2050), 50);
    assert_eq!(a.read(TIMER_INITIAL, 2050), 100);
    a.write(TIMER_INITIAL, 0, 2100);
    assert_eq!(a.timer_due(), None);
    assert_eq!(a.read(TIMER_CURRENT, 2100), 0);
}

#[test]
fn expiries_under_the_mask_are_lost() {
    let mut a = apic();
    a.write(TIMER_DIVIDE, 0b1011, 0);
    a.write(LVT_TIMER, PERIODIC | MASKED | 0x31, 0);
    a.write(TIMER_INITIAL, 100, 0);
    a.write(LVT_TIMER, PERIODIC | 0x31, 1750);
    assert_eq!(a.pending(), None);
    assert_eq!(a.timer_due(), Some(2100));
    a.write(LVT_TIMER, 0x31, 1800);
    assert_eq!(a.timer_due(), Some(2100), "the count under way ends as before");
    a.timer_fire(2100);
    assert_eq!(a.timer_due(), None);
}

#[test]
fn init_keeps_the_id_only() {
    let mut a = apic();
    a.write(ID, 0x0900_0000, 0);
    a.write(LDR, 0x0400_0000, 0);
    a.accept(0x40, Trigger::Edge);
    a.write(LVT_TIMER, 0x31, 0);
    a.write(TIMER_INITIAL, 100, 0);
    a.init();
    assert_eq!(a.id(), 9);
    assert!(!a.enabled() && !a.is_requested(0x40));
    assert_eq!((a.timer_due(), a.pending()), (None, None));
    assert_eq!(a.read(LDR, 0), 0);
}

#[test]
fn the_view_follows_the_registers() {
    let mut a = apic();
    a.write(LDR, 0x1200_0000, 0);
    a.write(DFR, 0x0000_0000, 0);
    a.write(TPR, 0x20, 0);
    let v = a.view(0x40);
    assert_eq!((v.id, v.logical, v.model, v.priority), (3, 0x12, LogicalModel::Cluster, 0x20));
    assert!(v.enabled);
    assert_eq!(a.read(DFR, 0), 0x0fff_ffff);
}

mod properties {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Clone, Debug)]
    enum Step {
        Accept(u8),
        Acknowledge,
        Eoi,
        Tpr(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (16_u8..=255).prop_map(Step::Accept),
            3 => Just(Step::Acknowledge),
            2 => Just(Step::Eoi),
            1 => any::<u8>().prop_map(Step::Tpr),
        ]
    }

    proptest! {
        /// Against two plain sets and the rule of priorities.
        #[test]
        fn agrees_with_two_sets(steps in proptest::collection::vec(step(), 1..200)) {
            let mut a = apic();
            let (mut irr, mut isr, mut tpr) = (BTreeSet::new(), BTreeSet::new(), 0_u8);
            for step in steps {
                match step {
                    Step::Accept(v) => {
                        let expect = if irr.insert(v) { Accepted::New } else { Accepted::Merged };
                        prop_assert_eq!(a.accept(v, Trigger::Edge), expect);
                    }
                    Step::Acknowledge => {
                        let floor = (tpr >> 4).max(isr.last().map_or(0, |v: &u8| v >> 4));
                        let expect = match irr.last().copied() {
                            Some(v) if v >> 4 > floor => {
                                irr.remove(&v);
                                isr.insert(v);
                                Some(v)
                            }
                            Some(_) => Some(0xff),
                            None => None,
                        };
                        prop_assert_eq!(a.acknowledge(), expect);
                    }
                    Step::Eoi => {
                        let expect = isr.pop_last().map_or(Effect::None, Effect::Eoi);
                        prop_assert_eq!(a.write(EOI, 0, 0), expect);
                    }
                    Step::Tpr(v) => {
                        tpr = v;
                        a.write(TPR, u32::from(v), 0);
                    }
                }
                let floor = (tpr >> 4).max(isr.last().map_or(0, |v| v >> 4));
                prop_assert_eq!(a.pending(), irr.last().copied().filter(|v| v >> 4 > floor));
            }
        }

        /// Whatever a guest writes, nothing panics.
        #[test]
        fn any_access_is_survived(ops in proptest::collection::vec((any::<u32>(), any::<u32>(), any::<u64>(), any::<bool>()), 0..300)) {
            let mut a = LocalApic::new(0, Role::Bsp, Kind::P6, 700, 100);
            let mut now = 0_u64;
            for (offset, value, by, page) in ops {
                let offset = if page { offset & 0x3f0 } else { offset };
                now = now.saturating_add(by >> 20);
                a.write(offset, value, now);
                a.read(offset, now);
                a.timer_fire(now);
                a.acknowledge();
            }
        }
    }
}
