//! A first-in-first-out list of tasks, linked through the tasks themselves. A
//! task is in at most one list; all are guarded by the scheduler's lock.

use super::task::Task;

/// The list.
pub(super) struct TaskList {
    first: Option<&'static Task>,
    last: Option<&'static Task>,
}

impl TaskList {
    pub(super) const fn new() -> TaskList {
        TaskList { first: None, last: None }
    }

    pub(super) fn push_back(&mut self, task: &'static Task) {
        task.next.set(None);
        match self.last {
            Some(last) => last.next.set(Some(task)),
            None => self.first = Some(task),
        }
        self.last = Some(task);
    }

    pub(super) fn push_front(&mut self, task: &'static Task) {
        task.next.set(self.first);
        self.first = Some(task);
        if self.last.is_none() {
            self.last = Some(task);
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<&'static Task> {
        self.pop_first(|_| true)
    }

    /// Takes out the first task that is wanted.
    pub(super) fn pop_first(&mut self, wanted: impl Fn(&Task) -> bool) -> Option<&'static Task> {
        let mut before: Option<&'static Task> = None;
        let mut at = self.first;
        while let Some(task) = at {
            let after = task.next.get();
            if wanted(task) {
                match before {
                    Some(before) => before.next.set(after),
                    None => self.first = after,
                }
                if after.is_none() {
                    self.last = before;
                }
                task.next.set(None);
                return Some(task);
            }
            before = at;
            at = after;
        }
        None
    }
}
