//! One state for many: numbers by their order, slots and pages by their roles.

use super::{At, Deferred, EVER, State, TASKS};
use crate::tlb::{Page, SLOTS};

impl Deferred<'_> {
    /// The same state with slots and pages numbered by their roles: which is which does not matter. With two slots it
    /// saves a factor of ten where nothing is wrong; traces keep their names.
    pub(super) fn renamed(&self, s: &State) -> State {
        let mut t = *s;
        let key = |k: usize| (s.slots[k].pins, s.slots[k].born, s.slots[k].page == 0);
        let slot_of = if self.slots < SLOTS || key(0) <= key(1) { [0, 1] } else { [1, 0] };
        t.slots = slot_of.map(|k| s.slots[k]);
        // Pages in the order in which slots and tasks name them, then the others.
        let named = t.slots.iter().flat_map(|k| [k.page, k.pte]).chain(s.tasks.iter().map(|t| t.page));
        let mut page_of = vec![0];
        for page in named.chain(1..=self.pages as Page) {
            if !page_of.contains(&page) {
                page_of.push(page);
            }
        }
        let page = |old: Page| page_of.iter().position(|p| *p == old).unwrap_or(0) as Page;
        t.slots.iter_mut().for_each(|k| (k.page, k.pte) = (page(k.page), page(k.pte)));
        for task in &mut t.tasks {
            task.page = page(task.page);
            if task.at != At::Idle {
                task.slot = slot_of[usize::from(task.slot)] as u8; // of two, its own inverse
            }
        }
        for cpu in &mut t.cpus {
            cpu.stamp = slot_of.map(|k| cpu.stamp[k]);
        }
        t.tlb = s.tlb.renamed(slot_of, &page_of);
        t
    }

    /// Numbers are only compared, and a new one is greater than all: their order says it all, and old stamps nothing.
    pub(super) fn order_numbers(s: &mut State) {
        let mut all = [0; 1 + SLOTS + TASKS + 1];
        all[0] = s.epoch;
        (0..SLOTS).for_each(|k| all[1 + k] = s.slots[k].born);
        (0..TASKS).for_each(|i| all[1 + SLOTS + i] = s.tasks[i].born);
        all.sort_unstable();
        // How many different ones are not above it, 0 aside.
        let rank = |value: u8| {
            let below = (1..all.len()).filter(|i| all[*i] <= value && all[*i] != all[*i - 1]);
            if value == EVER { EVER } else { below.count() as u8 }
        };
        let is_some_birth = |value: u8| all.contains(&value);
        s.epoch = rank(s.epoch);
        for cpu in &mut s.cpus {
            cpu.seen = rank(cpu.seen);
            cpu.stamp = cpu.stamp.map(|stamp| if is_some_birth(stamp) { rank(stamp) } else { 0 });
            if let Some(load) = &mut cpu.load {
                load.sampled = rank(load.sampled);
            }
        }
        s.slots.iter_mut().for_each(|k| k.born = rank(k.born));
        s.tasks.iter_mut().for_each(|t| t.born = rank(t.born));
    }
}
