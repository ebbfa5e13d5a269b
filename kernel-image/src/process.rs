//! Processes: the first one from the Multiboot module, the others by fork, and
//! threads, which are processes that have an address space together; how they
//! end and who is told.
//!
//! One lock guards the table: the list of all processes and each one's
//! `Family`. It is taken with interrupts on, and before the scheduler's lock.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use shootdown_abi::syscall::error;

use crate::arch::trap::{TrapFrame, return_to_user};
use crate::mm::{AddressSpace, Visit};
use crate::sched::{self, Task, current};
use crate::sync::{Aligned, SpinGuard, SpinLock};
use crate::{account, elf, mm, percpu, println, refuse};

/// All processes, linked through `family.next`; those that wait to be buried too.
struct Table {
    first: Option<&'static Task>,
    /// Whose stack is looked at next; none: the first.
    check_next: Option<&'static Task>,
}

// SAFETY: tasks are shared by references that any processor may use.
unsafe impl Send for Table {}

static TABLE: Aligned<SpinLock<Table>> = Aligned::new(SpinLock::new(Table { first: None, check_next: None }));

/// Id of the process whose end is the machine's.
static FIRST_ID: AtomicU32 = AtomicU32::new(0);

/// Exit status of a process that was killed.
const KILLED: i32 = 139;

impl Table {
    fn iter(&self) -> impl Iterator<Item = &'static Task> + use<> {
        core::iter::successors(self.first, |task| task.family.next.get())
    }

    fn add(&mut self, task: &'static Task) {
        task.family.next.set(self.first);
        self.first = Some(task);
    }

    fn remove(&mut self, task: &'static Task) {
        let after = task.family.next.get();
        if self.check_next.is_some_and(|next| is(next, task)) {
            self.check_next = after;
        }
        match self.iter().find(|before| before.family.next.get().is_some_and(|next| is(next, task))) {
            Some(before) => before.family.next.set(after),
            None => self.first = after,
        }
    }
}

fn is(a: &Task, b: &Task) -> bool {
    core::ptr::eq(a, b)
}

fn has_parent(task: &Task, parent: &Task) -> bool {
    task.family.parent.get().is_some_and(|found| is(found, parent))
}

/// Makes the first process; it loads its program itself once it runs.
pub fn start_first() {
    let space = AddressSpace::new();
    let Some(first) = space.and_then(|space| sched::create_process(space, first_begin)) else {
        panic!("no memory for the first process");
    };
    FIRST_ID.store(first.id, Relaxed);
    TABLE.lock().add(first);
    sched::start(first);
}

extern "C" fn first_begin() -> ! {
    sched::begin();
    let task = current();
    let space = task.mm.get().expect("a process has an address space");
    match elf::load(space) {
        Ok(program) => {
            let cpus = percpu::cpu_count() as u32;
            let frame = TrapFrame::new_user(program.entry, program.arguments, program.arguments, cpus);
            // SAFETY: the top of the task's own stack is kept free for this frame.
            unsafe {
                task.user_frame().write(frame);
                return_to_user(task.user_frame())
            }
        }
        Err(why) => refuse!("module: {why}"),
    }
}

/// `fork() -> pid | 0`.
pub fn fork(frame: &TrapFrame) -> i32 {
    let Some(space) = current().mm.get().and_then(mm::fork) else {
        return -error::NO_MEMORY;
    };
    let Some(child) = sched::create_process(space, begin_with_frame) else {
        space.remove_thread(0);
        return -error::NO_MEMORY;
    };
    launch(child, TrapFrame { eax: 0, ..*frame })
}

/// `thread(entry, stack, argument) -> id`.
pub fn thread(entry: u32, stack: u32, argument: u32) -> i32 {
    let Some(space) = current().mm.get() else {
        return -error::INVALID;
    };
    let Some(number) = space.add_thread() else {
        return -error::NO_MEMORY;
    };
    let Some(thread) = sched::create_thread(space, number, begin_with_frame) else {
        space.remove_thread(number);
        return -error::NO_MEMORY;
    };
    launch(thread, TrapFrame::new_user(entry, stack, argument, 0))
}

/// Lets a new child of the running task begin in ring 3; its id.
fn launch(child: &'static Task, frame: TrapFrame) -> i32 {
    // SAFETY: the child does not run yet; the top of its stack is kept free for this frame.
    unsafe { child.user_frame().write(frame) }
    child.family.parent.set(Some(current()));
    let id = child.id;
    TABLE.lock().add(child);
    sched::start(child);
    id as i32
}

extern "C" fn begin_with_frame() -> ! {
    sched::begin();
    // SAFETY: `launch` has written the frame.
    unsafe { return_to_user(current().user_frame()) }
}

/// `exit(status)`.
pub fn exit(status: i32) -> ! {
    let task = current();
    let first_id = FIRST_ID.load(Relaxed);
    if task.id == first_id {
        account::finish(status);
    }
    // From here on it is a kernel thread that runs on borrowed page tables; others may too.
    let space = {
        let _table = TABLE.lock(); // `address_space_of` may be looking
        task.mm.take()
    };
    if let Some(space) = space {
        space.remove_thread(task.number.get());
    }
    let table = TABLE.lock();
    let first = table.iter().find(|task| task.id == first_id);
    for child in table.iter().filter(|child| has_parent(child, task)) {
        child.family.parent.set(first);
        if child.family.status.get().is_some()
            && let Some(first) = first
        {
            first.family.child_ended.wake_all();
        }
    }
    task.family.status.set(Some(status));
    if let Some(parent) = task.family.parent.get() {
        parent.family.child_ended.wake_all();
    }
    sched::die(table)
}

/// `wait() -> status` of one ended child.
pub fn wait() -> i32 {
    let parent = current();
    loop {
        let mut table = TABLE.lock();
        let mut any = false;
        let mut ended = None;
        for child in table.iter().filter(|child| has_parent(child, parent)) {
            any = true;
            if let Some(status) = child.family.status.get() {
                ended = Some((child, status));
                break;
            }
        }
        if let Some((child, status)) = ended {
            table.remove(child);
            // SAFETY: the table was the last that knew of it, and `exit` announced its end under the table's lock.
            unsafe { sched::bury(child) }
            return status;
        }
        if !any {
            return -error::NO_CHILD;
        }
        parent.family.child_ended.sleep_on(table);
    }
}

/// The address space of a process or thread, which stays while it is looked at; none if it is gone.
pub fn address_space_of(id: u32) -> Option<Visit> {
    let table = TABLE.lock();
    let task = table.iter().find(|task| task.id == id)?;
    task.mm.get().map(AddressSpace::visit)
}

/// All processes and threads, which stay as long as this is held.
pub struct Processes(SpinGuard<'static, Table>);

impl Processes {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &'static Task> + use<> {
        self.0.iter()
    }
}

/// The processes and threads that there are.
pub fn all() -> Processes {
    Processes(TABLE.lock())
}

/// Ends a process that did what it may not do.
pub fn kill(frame: &TrapFrame, cr2: u32) -> ! {
    println!(
        "task {}: exception {} error {:#x} at {:#010x}, cr2 {cr2:#010x}, esp {:#010x}: killed",
        current().id,
        frame.vector,
        frame.error,
        frame.eip,
        frame.esp,
    );
    exit(KILLED)
}

/// Looks whether the kernel stack of one process was overrun, the next one at each call.
pub fn check_next_stack() {
    let mut table = TABLE.lock();
    if let Some(task) = table.check_next.or(table.first) {
        assert!(task.stack_is_sound(), "task {} has overrun its kernel stack", task.id);
        table.check_next = task.family.next.get();
    }
}
