//! Page tables, interrupt table, local APIC and the other processors.
//!
//! Linear = physical for the first 32 MiB, by 4 KiB pages; a window of 1024
//! pages at [`WINDOW`] for the `kmap` load; the local APIC, uncached, at its
//! usual place. Manual: SDM vol. 3A, "Paging", "Advanced Programmable
//! Interrupt Controller", "MP Initialization Protocol Algorithm".

use core::arch::asm;
use core::ptr;

use shootdown_abi::EXIT_PORT;

use crate::console;

/// Bits of a PTE: present, writable.
pub const PRESENT_WRITABLE: u32 = 3;
/// Bits of a PTE: cache disabled, write through.
const UNCACHED: u32 = 0x18;
/// Linear address of the window.
pub const WINDOW: u32 = 0xc000_0000;
/// Physical address of the 1024 frames of the `kmap` load: 8 to 12 MiB.
pub const KMAP_FRAMES: u32 = 0x80_0000;
/// Address of the memory of the `walk` load: 16 to 32 MiB.
pub const WALK_MEMORY: u32 = 0x100_0000;

const APIC: u32 = 0xfee0_0000;
const APIC_SPURIOUS: u32 = APIC + 0xf0;
const APIC_ICR_LOW: u32 = APIC + 0x300;
const ICR_PENDING: u32 = 1 << 12;
const ICR_INIT_OTHERS: u32 = 0x000c_4500;
const ICR_STARTUP_OTHERS: u32 = 0x000c_4600;

/// Vector of the shootdown IPI; `loads.s` sends it.
const FLUSH_VECTOR: usize = 0x40;
const SPURIOUS_VECTOR: usize = 0xff;

/// Page 8: where the trampoline lies and what the start-up IPI says.
const TRAMPOLINE_PAGE: u32 = 8;
const TRAMPOLINE_GDT_POINTER: u32 = 0x8f00;

#[repr(C, align(4096))]
struct Table([u32; 1024]);

const IDENTITY_TABLES: usize = 8;
static mut DIRECTORY: Table = Table([0; 1024]);
static mut IDENTITY: [Table; IDENTITY_TABLES] = [const { Table([0; 1024]) }; IDENTITY_TABLES];
static mut WINDOW_TABLE: Table = Table([0; 1024]);
static mut APIC_TABLE: Table = Table([0; 1024]);

unsafe extern "C" {
    static mut idt: [u64; 256];
    static gdt_pointer: [u8; 6];
    static trampoline: u8;
    static trampoline_end: u8;
    static mut ap_directory: u32;
    static mut shootdown_stop: u32;
    static mut shootdown_pending: u32;
    fn load_tables(directory: u32);
    fn flush_stub();
    fn spurious_stub();
    fn fault_stub();
}

/// Processors that are ready for IPIs.
static READY: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

/// Writes a byte to a port.
pub fn out8(port: u16, value: u8) {
    // SAFETY: the ports that this program names touch no memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) };
}

/// Reads a byte from a port.
pub fn in8(port: u16) -> u8 {
    let value;
    // SAFETY: as above.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack)) };
    value
}

fn out32(port: u16, value: u32) {
    // SAFETY: as above.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack)) };
}

/// Ends the machine: isa-debug-exit first; Bochs has none, but a port that takes the word `Shutdown`.
pub fn end(code: u32) -> ! {
    console::drain();
    out32(EXIT_PORT, code);
    for byte in *b"Shutdown" {
        out8(0x8900, byte);
    }
    loop {
        // SAFETY: nothing is left to do.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// Builds the tables and turns on paging. Once, on the first processor.
pub fn set_up() {
    // Both 8259s masked: no interrupt of a device is wanted.
    out8(0x21, 0xff);
    out8(0xa1, 0xff);
    // SAFETY: the first processor is alone, and nothing refers to these tables yet. Physical
    // and linear addresses are the same, before and after.
    unsafe {
        let directory = (&raw mut DIRECTORY.0).cast::<u32>();
        for number in 0..IDENTITY_TABLES {
            let table = (&raw mut IDENTITY).cast::<Table>().add(number).cast::<u32>();
            for entry in 0..1024 {
                let frame = (number * 1024 + entry) as u32;
                *table.add(entry) = frame << 12 | PRESENT_WRITABLE;
            }
            *directory.add(number) = table as u32 | PRESENT_WRITABLE;
        }
        let window = window_ptes();
        for entry in 0..1024 {
            *window.add(entry) = (KMAP_FRAMES + ((entry as u32) << 12)) | PRESENT_WRITABLE;
        }
        *directory.add(WINDOW as usize >> 22) = window as u32 | PRESENT_WRITABLE;
        let apic = (&raw mut APIC_TABLE.0).cast::<u32>();
        *apic.add(APIC as usize >> 12 & 1023) = APIC | UNCACHED | PRESENT_WRITABLE;
        *directory.add(APIC as usize >> 22) = apic as u32 | PRESENT_WRITABLE;

        for vector in 0..256 {
            set_gate(vector, fault_stub);
        }
        set_gate(FLUSH_VECTOR, flush_stub);
        set_gate(SPURIOUS_VECTOR, spurious_stub);
        load_tables(directory as u32);
        // The frames of the window hold what the loader left: make them the same everywhere.
        for word in 0..1024 * 1024 {
            *(KMAP_FRAMES as *mut u32).add(word) = word as u32;
        }
    }
}

/// # Safety
/// The table is not in use for this vector yet.
unsafe fn set_gate(vector: usize, stub: unsafe extern "C" fn()) {
    let address = stub as usize as u64;
    // Interrupt gate, present, ring 0, code selector 8.
    let gate = (address & 0xffff) | 0x08 << 16 | 0x8e00 << 32 | (address >> 16) << 48;
    // SAFETY: the vector is below 256.
    unsafe { (&raw mut idt).cast::<u64>().add(vector).write(gate) };
}

/// The PTEs of the window.
pub fn window_ptes() -> *mut u32 {
    (&raw mut WINDOW_TABLE).cast()
}

fn apic_read(register: u32) -> u32 {
    // SAFETY: the page is mapped, uncached, since `set_up`.
    unsafe { ptr::read_volatile(register as *const u32) }
}

fn apic_write(register: u32, value: u32) {
    // SAFETY: as above.
    unsafe { ptr::write_volatile(register as *mut u32, value) };
}

fn enable_apic() {
    apic_write(APIC_SPURIOUS, 0x100 | SPURIOUS_VECTOR as u32);
}

/// Lets at least that many times the cost of reading a port go by: about a microsecond each on a PC.
fn delay(microseconds: u32) {
    for _ in 0..microseconds {
        in8(0x80);
    }
}

fn send_to_others(command: u32) {
    apic_write(APIC_ICR_LOW, command);
    while apic_read(APIC_ICR_LOW) & ICR_PENDING != 0 {}
}

/// Starts all other processors and waits until `wanted` are ready; false when they do not come.
pub fn start_others(wanted: u32) -> bool {
    enable_apic();
    // SAFETY: the low megabyte is ours but for the loader's information, which has been read.
    unsafe {
        let length = (&raw const trampoline_end) as usize - (&raw const trampoline) as usize;
        ptr::copy_nonoverlapping(&raw const trampoline, (TRAMPOLINE_PAGE << 12) as *mut u8, length);
        ptr::copy_nonoverlapping((&raw const gdt_pointer).cast::<u8>(), TRAMPOLINE_GDT_POINTER as *mut u8, 6);
        (&raw mut ap_directory).write_volatile((&raw const DIRECTORY) as u32);
    }
    send_to_others(ICR_INIT_OTHERS);
    delay(10_000);
    send_to_others(ICR_STARTUP_OTHERS | TRAMPOLINE_PAGE);
    delay(200);
    // The second one is ignored by those that are up.
    send_to_others(ICR_STARTUP_OTHERS | TRAMPOLINE_PAGE);
    for _ in 0..10_000_000 {
        if READY.load(core::sync::atomic::Ordering::SeqCst) == wanted {
            return true;
        }
        core::hint::spin_loop();
    }
    false
}

/// What another processor does before it polls.
pub fn set_up_other() {
    enable_apic();
    READY.fetch_add(1, core::sync::atomic::Ordering::SeqCst);
}

/// Ends the polling; returns the acknowledgements that are still missing (none).
pub fn stop_others() -> u32 {
    // SAFETY: words shared with the other processors, aligned, written by one at a time.
    unsafe {
        (&raw mut shootdown_stop).write_volatile(1);
        (&raw const shootdown_pending).read_volatile()
    }
}
