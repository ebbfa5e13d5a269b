//! What a task does, a step at a time.

use super::{At, Conflict, Cpu, Deferred, Fault, State, Task, WRAP, Why};
use crate::search::Steps;
use crate::tlb::Page;

impl Deferred<'_> {
    fn up_to_date(&self, s: &State, cpu: usize, t: &Task) -> bool {
        let (Cpu { seen, stamp, used, .. }, k) = (s.cpus[cpu], usize::from(t.slot));
        seen >= t.born || stamp[k] == t.born || self.has(Fault::A) || self.has(Fault::J) && !used[k]
    }

    /// The pin, and the end of the part under the lock.
    fn pin(&self, s: &mut State, i: usize, k: usize) {
        s.slots[k].pins += 1;
        let t = &mut s.tasks[i];
        (t.slot, t.born, t.holds) = (k as u8, s.slots[k].born, true);
        t.at = match self.fault {
            Some(Fault::L) => At::PutEarly,
            Some(Fault::E) => At::DropAway,
            _ => At::Ensure,
        };
        t.holds = !self.has(Fault::E);
    }

    fn put(s: &mut State, i: usize) {
        let k = usize::from(s.tasks[i].slot);
        s.slots[k].pins -= 1;
        s.tasks[i].holds = false;
        if s.slots[k].pins == 0 {
            s.tasks.iter_mut().filter(|t| t.at == At::Sleep).for_each(|t| t.at = At::Spin);
        }
    }

    /// The order of the three steps of a recycle; the lock is released after the last.
    fn recycling(&self) -> [At; 3] {
        match self.fault {
            Some(Fault::C) => [At::Raise, At::Write, At::Drop],
            Some(Fault::D) => [At::Drop, At::Write, At::Raise],
            _ => [At::Write, At::Raise, At::Drop],
        }
    }

    fn recycle_step(&self, s: &mut State, cpu: usize, i: usize) -> String {
        let t = s.tasks[i];
        let k = usize::from(t.slot);
        let told = match t.at {
            At::Write => {
                s.slots[k].pte = t.page;
                format!("writes the PTE of slot {k} for page {}", t.page)
            }
            At::Raise => {
                s.epoch = if self.has(Fault::K) { (s.epoch + 1) % WRAP } else { s.epoch + 1 };
                s.tasks[i].born = s.epoch;
                format!("raises the epoch for slot {k}")
            }
            _ => {
                s.tlb.invlpg(cpu, k);
                format!("invalidates slot {k} on its processor")
            }
        };
        let order = self.recycling();
        match order.iter().position(|at| *at == t.at).and_then(|n| order.get(n + 1)) {
            Some(next) => s.tasks[i].at = *next,
            None => {
                let born = s.tasks[i].born;
                s.cpus[cpu].stamp[k] = born;
                (s.slots[k].page, s.slots[k].born) = (t.page, born);
                self.pin(s, i, k);
            }
        }
        told
    }

    pub(super) fn task_steps(&self, s: &State, cpu: usize, i: usize, steps: &mut Steps<'_, State>) {
        let t = s.tasks[i];
        let k = usize::from(t.slot);
        let mut add = |to: State, what: &dyn Fn() -> String| {
            steps.step(self.settled(to), || format!("task {i} on cpu {cpu} {}", what()));
        };
        let mut to = *s;
        let free = Self::lock_is_free(s);
        match t.at {
            At::Idle => {
                for page in 1..=self.pages as Page {
                    let mut to = *s;
                    to.tasks[i] = Task { at: At::Spin, page, ..t };
                    add(to, &|| format!("wants page {page}"));
                }
            }
            At::Spin if free => {
                if let Some(k) = s.slots.iter().position(|slot| slot.page == t.page) {
                    self.pin(&mut to, i, k);
                    add(to, &|| format!("finds page {} in slot {k} and pins it", t.page));
                    return;
                }
                let unused = (0..self.slots).filter(|k| s.slots[*k].pins == 0);
                if unused.clone().next().is_none() {
                    to.tasks[i].at = At::Sleep;
                    add(to, &|| format!("finds no slot for page {} and sleeps", t.page));
                }
                for k in unused {
                    let mut to = *s;
                    to.tasks[i].slot = k as u8;
                    if s.slots[k].page == 0 {
                        (to.slots[k].page, to.slots[k].pte) = (t.page, t.page);
                        self.pin(&mut to, i, k);
                        add(to, &|| format!("gives slot {k} its first page, {}", t.page));
                    } else {
                        to.slots[k].page = 0;
                        to.tasks[i].at = self.recycling()[0];
                        add(to, &|| format!("takes kva_lock and slot {k} for page {}", t.page));
                    }
                }
            }
            At::Write | At::Raise | At::Drop => {
                let told = self.recycle_step(&mut to, cpu, i);
                add(to, &|| told.clone());
            }
            At::Ensure if self.up_to_date(s, cpu, &t) => {
                to.tasks[i].at = At::Use;
                to.cpus[cpu].used[k] = self.has(Fault::J);
                add(to, &|| format!("is up to date for slot {k} and uses it"));
            }
            At::Ensure => {
                to.tasks[i].at = if self.conflict == Conflict::Local { At::Local } else { At::Call };
                add(to, &|| format!("is out of date for slot {k}"));
            }
            At::Local => {
                to.tlb.invlpg(cpu, k);
                to.tasks[i].at = At::Stamp;
                add(to, &|| format!("invalidates slot {k} on its processor"));
            }
            At::Stamp => {
                to.cpus[cpu].stamp[k] = t.born;
                to.cpus[cpu].used[k] = self.has(Fault::J);
                to.tasks[i].at = At::Use;
                add(to, &|| format!("notes the stamp and uses slot {k}"));
            }
            // The call lock is free; the own load follows at once.
            At::Call if s.cpus.iter().all(|cpu| !cpu.waited) && !s.tasks.iter().any(|t| t.at == At::Wait) => {
                (to.cpus[1 - cpu].pending, to.cpus[1 - cpu].waited) = (true, true);
                self.begin_load(&mut to, cpu, Why::Own);
                add(to, &|| format!("sends the IPI to cpu {} and begins its own load", 1 - cpu));
            }
            At::Wait if !s.cpus[1 - cpu].waited || self.has(Fault::NoWait) => {
                to.tasks[i].at = At::Use;
                to.cpus[cpu].used[k] = self.has(Fault::J);
                add(to, &|| format!("waits no longer and uses slot {k}"));
            }
            At::Use => {
                to.tasks[i].at = if self.has(Fault::L) { At::Idle } else { At::Put };
                if self.has(Fault::L) {
                    to.tasks[i] = Task { page: 0, slot: 0, born: 0, ..to.tasks[i] };
                }
                add(to, &|| format!("has done with slot {k}"));
            }
            At::Put | At::PutEarly if free => {
                Self::put(&mut to, i);
                if t.at == At::Put {
                    to.tasks[i] = Task { at: At::Idle, page: 0, slot: 0, born: 0, ..to.tasks[i] };
                } else {
                    to.tasks[i].at = At::Ensure;
                }
                add(to, &|| format!("gives its pin on slot {k} back"));
            }
            At::DropAway => {
                to.tlb.invlpg(cpu, k);
                to.tasks[i].at = At::StampAway;
                add(to, &|| format!("invalidates slot {k} on its processor"));
            }
            At::StampAway => {
                to.cpus[cpu].stamp[k] = t.born;
                to.tasks[i].holds = true;
                to.tasks[i].at = At::Ensure;
                add(to, &|| format!("notes the stamp of slot {k}"));
            }
            _ => (),
        }
    }
}
