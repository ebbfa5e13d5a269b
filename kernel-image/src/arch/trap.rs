//! Interrupts and exceptions: the table, the frame, and what each vector does.
//!
//! All gates turn interrupts off. A page fault reads CR2 first and then turns
//! them on again if they were on; so does a system call. On the way out a task
//! whose quantum is over gives its processor up, in the kernel too if
//! preemption is on and interrupts were (with `preempt=off` never there).
//!
//! With `entry-cr3=1` the border to ring 3 costs what it costs a kernel with
//! 4 GiB of its own: see [`cross_border`].

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;

use shootdown_abi::{Activity, FLUSH_VECTOR, RESCHEDULE_VECTOR, TIMER_VECTOR};

use super::copy;
use super::insn::{self, EFLAGS_IF};
use super::lapic::{self, SPURIOUS_VECTOR};
use super::segment::{KERNEL_CODE, USER_CODE, USER_DATA};
use crate::cmdline::options;
use crate::sched::{self, current};
use crate::{marks, memlayout, mm, process, syscall};

global_asm!(include_str!("trap.s"));

/// Exceptions, of those that have a name here.
const PAGE_FAULT: u32 = 14;
const EXCEPTIONS: u32 = 32;
/// Vector of system calls.
const SYSCALL: u32 = 0x80;

/// EFLAGS of a new process: interrupts on, and the bit that is always set.
const USER_FLAGS: u32 = EFLAGS_IF | 2;

/// What the stub and the processor push, lowest address first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TrapFrame {
    pub es: u32,
    pub ds: u32,
    pub edi: u32,
    pub esi: u32,
    pub ebp: u32,
    /// Of `pushad`; not restored.
    pub kernel_esp: u32,
    pub ebx: u32,
    pub edx: u32,
    pub ecx: u32,
    pub eax: u32,
    pub vector: u32,
    pub error: u32,
    pub eip: u32,
    pub cs: u32,
    pub eflags: u32,
    /// Only there if ring 3 was interrupted.
    pub esp: u32,
    pub ss: u32,
}

impl TrapFrame {
    /// A process that is about to begin.
    pub fn new_user(eip: u32, esp: u32, eax: u32, ebx: u32) -> TrapFrame {
        let data = u32::from(USER_DATA);
        TrapFrame {
            es: data,
            ds: data,
            edi: 0,
            esi: 0,
            ebp: 0,
            kernel_esp: 0,
            ebx,
            edx: 0,
            ecx: 0,
            eax,
            vector: 0,
            error: 0,
            eip,
            cs: u32::from(USER_CODE),
            eflags: USER_FLAGS,
            esp,
            ss: data,
        }
    }

    /// Whether ring 3 was interrupted.
    #[inline]
    pub fn is_from_user(&self) -> bool {
        self.cs & 3 == 3
    }
}

#[repr(C, align(8))]
struct InterruptTable(UnsafeCell<[u64; 256]>);

// SAFETY: written once, by `init`, before another processor runs.
unsafe impl Sync for InterruptTable {}

static TABLE: InterruptTable = InterruptTable(UnsafeCell::new([0; 256]));

unsafe extern "C" {
    static vector_stubs: u8;
    fn trap_return() -> !;
}

/// Fills the interrupt table and loads it on the boot processor.
pub fn init() {
    for vector in 0..256 {
        let stub = (&raw const vector_stubs) as u32 + 16 * vector;
        // Present 32-bit interrupt gate; only the system call may be called from ring 3.
        let kind: u64 = if vector == SYSCALL { 0xee00 } else { 0x8e00 };
        let gate = u64::from(stub & 0xffff)
            | u64::from(KERNEL_CODE) << 16
            | kind << 32
            | u64::from(stub >> 16) << 48;
        // SAFETY: only the boot processor runs.
        unsafe { (*TABLE.0.get())[vector as usize] = gate }
    }
    load();
}

/// Loads the shared interrupt table on this processor.
pub fn load() {
    #[repr(C, packed)]
    struct Pointer {
        limit: u16,
        base: u32,
    }
    let pointer = Pointer { limit: 256 * 8 - 1, base: TABLE.0.get() as u32 };
    // SAFETY: the table is filled and never moves.
    unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(nostack, preserves_flags)) }
}

/// Goes to ring 3 with the registers of a frame at the top of the running task's stack.
///
/// # Safety
/// The frame has to be complete, and on the stack of the running task.
pub unsafe fn return_to_user(frame: *const TrapFrame) -> ! {
    insn::cli();
    cross_border();
    // SAFETY: promised by the caller; `trap_return` takes everything from the frame.
    unsafe { asm!("mov esp, {}", "jmp {}", in(reg) frame, sym trap_return, options(noreturn)) }
}

/// Called from `trap.s` with interrupts off.
#[unsafe(no_mangle)]
extern "C" fn trap_entry(frame: &mut TrapFrame) {
    let from_user = frame.is_from_user();
    if from_user {
        cross_border();
    }
    handle(frame);
    if from_user {
        cross_border();
    }
}

/// Between ring 3 and the kernel, with interrupts off. A kernel with page tables of its own (the 4G/4G split of
/// 2003) loads CR3 here, both ways, and none of its pages can be global. This one shows itself to ring 3 as ever, so
/// it loads the root that is there already: the same flush and the same refills, of the same page tables.
#[inline]
fn cross_border() {
    if options().entry_cr3 {
        mm::flush::local_non_global();
    }
}

/// What each vector does.
#[inline]
fn handle(frame: &mut TrapFrame) {
    const TIMER: u32 = TIMER_VECTOR as u32;
    const FLUSH: u32 = FLUSH_VECTOR as u32;
    const RESCHEDULE: u32 = RESCHEDULE_VECTOR as u32;
    const SPURIOUS: u32 = SPURIOUS_VECTOR as u32;
    match frame.vector {
        SYSCALL => {
            insn::sti();
            syscall::dispatch(frame);
            insn::cli();
        }
        PAGE_FAULT => page_fault(frame),
        TIMER => {
            lapic::eoi();
            let before = marks::activity(Activity::Kernel);
            sched::tick();
            leave(frame);
            marks::activity(before);
            return;
        }
        FLUSH => {
            lapic::eoi();
            mm::flush::on_ipi();
        }
        RESCHEDULE => {
            lapic::eoi();
            let before = marks::activity(Activity::Kernel);
            current().want_resched();
            leave(frame);
            marks::activity(before);
            return;
        }
        SPURIOUS => {}
        _ => exception(frame),
    }
    leave(frame);
}

/// Lets another task run before the interrupted code goes on, if it is time and allowed.
#[inline]
fn leave(frame: &TrapFrame) {
    if frame.eflags & EFLAGS_IF != 0 {
        let task = current();
        while task.wants_resched()
            && task.preempt_count() == 0
            && (frame.is_from_user() || sched::preemptible())
        {
            sched::schedule();
        }
    }
}

fn page_fault(frame: &mut TrapFrame) {
    let address = insn::read_cr2();
    if !frame.is_from_user() {
        if address >= memlayout::page_offset() || current().mm.get().is_none() {
            die(frame, address);
        }
        if let Some(eip) = copy::without_repair(frame.eip) {
            frame.eip = eip;
            return;
        }
    }
    // The kernel touches user memory with interrupts off or preemption off only after it has made
    // it usable; then the fault is spurious and is repaired without sleeping.
    if frame.eflags & EFLAGS_IF != 0 {
        insn::sti();
    }
    let outcome = mm::fault::handle(address, frame.error);
    if outcome.is_err() {
        if frame.is_from_user() {
            process::kill(frame, address);
        }
        match copy::after_failure(frame.eip) {
            Some(eip) => frame.eip = eip,
            None => die(frame, address),
        }
    }
    insn::cli();
}

/// An exception that nobody expects, or an interrupt that nobody sends.
fn exception(frame: &mut TrapFrame) {
    if frame.is_from_user() && frame.vector < EXCEPTIONS {
        insn::sti();
        process::kill(frame, insn::read_cr2());
    }
    die(frame, insn::read_cr2());
}

fn die(frame: &TrapFrame, cr2: u32) -> ! {
    panic!(
        "exception {} error {:#x} at {:#x}:{:#010x} eflags {:#x} cr2 {cr2:#010x} cr3 {:#x} task {}\n\
         eax {:#010x} ebx {:#010x} ecx {:#010x} edx {:#010x} esi {:#010x} edi {:#010x} ebp {:#010x} frame {:p}",
        frame.vector,
        frame.error,
        frame.cs,
        frame.eip,
        frame.eflags,
        insn::read_cr3(),
        current().id,
        frame.eax,
        frame.ebx,
        frame.ecx,
        frame.edx,
        frame.esi,
        frame.edi,
        frame.ebp,
        frame,
    )
}
