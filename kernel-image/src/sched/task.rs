//! A task: its kernel stack with what the kernel knows of it at the bottom.
//!
//! ```text
//! stack top  +--------------------+ <- base + STACK_SIZE
//!            | trap frame         |
//!            | kernel frames      |
//!            |        |           |
//!            |        v           |
//!            | canary             |
//!            | Task               |
//! base       +--------------------+ aligned to STACK_SIZE
//! ```
//!
//! So the running task is `esp` rounded down, as in Linux 2.4.

use core::cell::Cell;
use core::mem::size_of;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use shootdown_abi::Activity;

use super::wait::WaitQueue;
use crate::arch::insn;
use crate::arch::trap::TrapFrame;
use crate::kmap::{Book, TaskSlots};
use crate::memlayout::direct;
use crate::mm::{self, AddressSpace};
use crate::param::{QUANTUM_TICKS, STACK_SIZE};

/// What a stack overflow overwrites first.
const CANARY: u32 = 0x7ac0_57ac;

/// Whether a task can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// On a processor.
    Running,
    /// In the run queue.
    Ready,
    /// In a wait queue, or asleep until it is woken by name.
    Sleeping,
    /// Never to run again.
    Dead,
}

/// What the kernel knows of a task.
#[repr(C)]
pub struct Task {
    /// Names the task in marks and system calls; never used twice.
    pub id: u32,
    /// The processor it runs on, or ran on last.
    cpu: AtomicU32,
    preempt: AtomicU32,
    resched: AtomicBool,
    /// What it is busy with; follows it from processor to processor.
    pub activity: Cell<Activity>,
    /// Its user half; none for kernel threads. Set and taken under the lock of the process table.
    pub mm: Cell<Option<&'static AddressSpace>>,
    /// Which of its address space's threads it is.
    pub number: Cell<u32>,
    /// Kernel addresses that it holds (`deferred-seq`, `deferred-local`).
    pub pins: AtomicU32,
    /// The processor that it ran on last time; set after `mm::switch`.
    pub last_cpu: AtomicU32,
    /// Its slots in its own address space (`task-window`); only the task itself touches them.
    pub slots: TaskSlots,
    /// What it holds of a window that page tables use too, and waits for.
    pub kmaps: Book,

    // The scheduler's, under its lock.
    pub(super) state: Cell<State>,
    pub(super) next: Cell<Option<&'static Task>>,
    pub(super) saved_esp: Cell<u32>,
    /// The only processor it may run on.
    pub(super) bound: Option<usize>,
    pub(super) role: Role,
    /// Ticks left of its quantum; the task's processor only.
    pub(super) ticks: Cell<u32>,

    /// What the process table keeps here, under its lock.
    pub family: Family,
    canary: Cell<u32>,
}

/// What a task is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Runs when nothing else can; never in a queue.
    Idle,
    /// Kernel only; goes first when woken.
    Thread,
    /// Has a ring 3.
    Process,
}

/// Parents, children and ends; guarded by the lock of the process table.
pub struct Family {
    /// Next in the list of all processes.
    pub next: Cell<Option<&'static Task>>,
    /// Who waits for its end.
    pub parent: Cell<Option<&'static Task>>,
    /// Exit status, once there is one.
    pub status: Cell<Option<i32>>,
    /// Where the task waits for its children.
    pub child_ended: WaitQueue,
}

// SAFETY: each `Cell` says who may touch it: the task itself, or the holder of a lock.
unsafe impl Sync for Task {}

impl Task {
    /// A task that nobody knows yet, to be placed at the bottom of its stack.
    pub(super) const fn new(id: u32, cpu: usize, role: Role, bound: Option<usize>) -> Task {
        Task {
            id,
            cpu: AtomicU32::new(cpu as u32),
            // A task begins inside the scheduler, with its lock held.
            preempt: AtomicU32::new(1),
            resched: AtomicBool::new(false),
            activity: Cell::new(Activity::Kernel),
            mm: Cell::new(None),
            number: Cell::new(0),
            pins: AtomicU32::new(0),
            last_cpu: AtomicU32::new(cpu as u32),
            slots: TaskSlots::new(),
            kmaps: Book::new(),
            state: Cell::new(State::Running),
            next: Cell::new(None),
            saved_esp: Cell::new(0),
            bound,
            role,
            ticks: Cell::new(QUANTUM_TICKS),
            family: Family {
                next: Cell::new(None),
                parent: Cell::new(None),
                status: Cell::new(None),
                child_ended: WaitQueue::new(),
            },
            canary: Cell::new(CANARY),
        }
    }

    /// The processor it runs on, or ran on last.
    #[inline(always)]
    pub fn cpu(&self) -> usize {
        self.cpu.load(Relaxed) as usize
    }

    /// It has arrived on a processor.
    #[inline]
    pub(super) fn arrive(&self, cpu: usize) {
        self.last_cpu.store(cpu as u32, Relaxed);
        self.cpu.store(cpu as u32, Relaxed);
    }

    /// Only the task itself and interrupts on its processor write the count, and an
    /// interrupt leaves it as it was: plain loads and stores do.
    #[inline(always)]
    pub(super) fn preempt_add(&self, n: i32) {
        self.preempt.store(self.preempt.load(Relaxed).wrapping_add_signed(n), Relaxed);
    }

    /// How many times preemption is off.
    #[inline(always)]
    pub fn preempt_count(&self) -> u32 {
        self.preempt.load(Relaxed)
    }

    /// Whether it has to give its processor up.
    #[inline(always)]
    pub fn wants_resched(&self) -> bool {
        self.resched.load(Relaxed)
    }

    /// It has to give its processor up; only from that processor.
    #[inline]
    pub fn want_resched(&self) {
        self.resched.store(true, Relaxed);
    }

    #[inline]
    pub(super) fn clear_resched(&self) {
        self.resched.store(false, Relaxed);
    }

    /// Whether it is what a processor runs when there is nothing to run.
    pub fn is_idle(&self) -> bool {
        self.role == Role::Idle
    }

    /// First address above its kernel stack.
    #[inline(always)]
    pub fn stack_top(&self) -> u32 {
        self as *const Task as u32 + STACK_SIZE as u32
    }

    /// Where the registers of its ring 3 are while it is in the kernel.
    pub fn user_frame(&self) -> *mut TrapFrame {
        (self.stack_top() as usize - size_of::<TrapFrame>()) as *mut TrapFrame
    }

    /// Whether the stack has never grown into the task.
    pub fn stack_is_sound(&self) -> bool {
        self.canary.get() == CANARY
    }

    /// Makes a task with a stack of its own that begins at `entry`; none if memory is out.
    pub(super) fn create(task: Task, entry: extern "C" fn() -> !) -> Option<&'static Task> {
        let frame = mm::frame::alloc_pair()?;
        let base = direct(frame.phys() as u32);
        let top = base as u32 + STACK_SIZE as u32;
        // What `switch_stacks` takes: edi, esi, ebx, ebp, return address. A trap frame stays free above it.
        let start = top - size_of::<TrapFrame>() as u32 - 16;
        let esp = start - 20;
        // SAFETY: the two frames are this task's alone, and aligned as a stack has to be.
        let task = unsafe {
            let words = esp as *mut u32;
            for i in 0..4 {
                words.add(i).write(0);
            }
            words.add(4).write(entry as *const () as u32);
            base.cast::<Task>().write(task);
            &*base.cast::<Task>()
        };
        task.saved_esp.set(esp);
        Some(task)
    }

    /// Gives a dead task's stack back.
    ///
    /// # Safety
    /// The task is dead, off its processor, and no reference to it is left.
    pub(super) unsafe fn destroy(&'static self) {
        let phys = self as *const Task as u32 - crate::memlayout::page_offset();
        mm::frame::free_pair(mm::Frame::containing(u64::from(phys)));
    }
}

/// The boot stack: CPU 0 boots on the stack of its idle task. `boot.s` knows it by name.
#[repr(C, align(8192))]
struct BootStack {
    task: Task,
    rest: [u8; STACK_SIZE - size_of::<Task>()],
}

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
static boot_stack: BootStack =
    BootStack { task: Task::new(0, 0, Role::Idle, Some(0)), rest: [0; STACK_SIZE - size_of::<Task>()] };

/// The running task.
#[inline(always)]
pub fn current() -> &'static Task {
    // SAFETY: every stack that the kernel runs on has its task at the bottom.
    unsafe { &*((insn::esp() & !(STACK_SIZE as u32 - 1)) as *const Task) }
}
