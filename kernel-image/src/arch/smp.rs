//! Starting the other processors, and interrupting them (SDM vol. 3A, "MP
//! Initialization Protocol Algorithm": INIT, start-up, start-up).

use core::arch::global_asm;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use shootdown_abi::RESCHEDULE_VECTOR;

use super::{insn, lapic, mp, segment, trap};
use crate::cmdline::options;
use crate::memlayout::{TRAMPOLINE_PHYS, low_phys};
use crate::param::NCPU;
use crate::{mm, percpu, println, sched};

global_asm!(include_str!("ap.s"));

unsafe extern "C" {
    static ap_trampoline: u8;
    static ap_trampoline_end: u8;
    static ap_parameters: u8;
}

/// What the trampoline loads, in its order.
#[repr(C)]
struct Parameters {
    cr3: u32,
    cr4: u32,
    esp: u32,
    eip: u32,
}

/// Rounds of `pause` between the IPIs of the start-up sequence. The manual's 10 ms
/// are for processors of 1995; all later ones take them as fast as they come.
const STARTUP_DELAY: u32 = 200;
/// Rounds of `pause` after which a processor that was started counts as dead.
const STARTUP_LIMIT: u32 = 200_000_000;

static APIC_IDS: [AtomicU8; NCPU] = [const { AtomicU8::new(0) }; NCPU];

/// Interrupts every processor but this one, halted ones too. One write to the command register.
#[inline]
pub fn ipi_all_others(vector: u8) {
    lapic::send_ipi_all_but_self(vector);
}

/// Interrupts these processors, bit n for processor n: a message for each, in the order of their numbers.
pub fn ipi_each(mut targets: u64, vector: u8) {
    while targets != 0 {
        let cpu = targets.trailing_zeros() as usize;
        targets &= targets - 1;
        lapic::send_ipi(APIC_IDS[cpu].load(Relaxed), vector);
    }
}

/// Wakes an idle processor so that it looks for work.
pub fn kick(cpu: usize) {
    lapic::send_ipi(APIC_IDS[cpu].load(Relaxed), RESCHEDULE_VECTOR);
}

/// Starts the other processors one after the other. `mm` and the scheduler are up, interrupts are off.
pub fn start_others() {
    let processors = mp::discover(lapic::id());
    let ids = &processors.ids()[..processors.ids().len().min(options().cpus)];
    APIC_IDS[0].store(ids[0], Relaxed);
    let (code, code_end) = (&raw const ap_trampoline, &raw const ap_trampoline_end);
    let bytes = code_end as usize - code as usize;
    let offset = &raw const ap_parameters as usize - code as usize;
    // SAFETY: the page below 1 MiB is reserved for this and large enough for the code.
    let parameters = unsafe {
        code.copy_to_nonoverlapping(low_phys(TRAMPOLINE_PHYS), bytes);
        low_phys(TRAMPOLINE_PHYS).add(offset).cast::<Parameters>()
    };
    let (cr3, cr4) = mm::kernel_root();
    let mut cpu = 1;
    for &id in &ids[1..] {
        let Some(idle) = sched::create_idle(cpu) else {
            println!("cpu {cpu}: no memory for its stack");
            break;
        };
        APIC_IDS[cpu].store(id, Relaxed);
        let entry = Parameters { cr3, cr4, esp: idle.stack_top(), eip: ap_main as *const () as u32 };
        // SAFETY: no processor is between INIT and `ap_main` now, so nobody reads the parameters.
        unsafe { parameters.write_volatile(entry) }
        if start(id, cpu) {
            cpu += 1;
        } else {
            println!("cpu {cpu}: APIC id {id} does not start; left out");
        }
    }
}

/// Whether the processor came up.
fn start(id: u8, cpu: usize) -> bool {
    lapic::send_init(id);
    delay(STARTUP_DELAY);
    for _ in 0..2 {
        lapic::send_startup(id, TRAMPOLINE_PHYS);
        delay(STARTUP_DELAY);
    }
    for _ in 0..STARTUP_LIMIT {
        if percpu::online() & 1 << cpu != 0 {
            return true;
        }
        insn::pause();
    }
    false
}

fn delay(rounds: u32) {
    for _ in 0..rounds {
        insn::pause();
    }
}

/// Entered from the trampoline on the processor's idle stack, interrupts off.
extern "C" fn ap_main() -> ! {
    let cpu = percpu::cpu_id();
    segment::init(cpu); // own descriptor tables
    trap::load(); // the shared interrupt table
    lapic::init(); // own APIC
    lapic::start_timer(options().tick); // preemption
    percpu::set_online(cpu); // from here on every flush waits for us
    mm::cpu_up(cpu); // nothing from before may stay in the TLB
    sched::idle()
}
