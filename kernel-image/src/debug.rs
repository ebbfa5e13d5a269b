//! Console, panic and the ways to end the machine.
//!
//! The console is the first serial port, polled: no interrupt, no buffer, and
//! so nothing to wait for when the kernel dies.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use shootdown_abi::{EXIT_PORT, SERIAL_PORT, exit};

use crate::arch::insn;
use crate::sync::SpinLock;

/// Registers of the 16550 as offsets from its base port.
mod uart {
    pub const DATA: u16 = 0;
    pub const INTERRUPT_ENABLE: u16 = 1;
    pub const FIFO_CONTROL: u16 = 2;
    pub const LINE_CONTROL: u16 = 3;
    pub const MODEM_CONTROL: u16 = 4;
    pub const LINE_STATUS: u16 = 5;

    /// LINE_CONTROL: the first two registers are the divisor.
    pub const DIVISOR_ACCESS: u8 = 0x80;
    /// LINE_CONTROL: eight bits, no parity, one stop bit.
    pub const EIGHT_N_ONE: u8 = 0x03;
    /// LINE_STATUS: the transmitter takes a byte.
    pub const TRANSMIT_EMPTY: u8 = 0x20;
}

struct Serial;

impl Serial {
    fn byte(&mut self, byte: u8) {
        // A bound keeps a machine without the port alive.
        for _ in 0..100_000 {
            if insn::in8(SERIAL_PORT + uart::LINE_STATUS) & uart::TRANSMIT_EMPTY != 0 {
                break;
            }
            insn::pause();
        }
        insn::out8(SERIAL_PORT + uart::DATA, byte);
    }
}

impl Write for Serial {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for &byte in s.as_bytes() {
            if byte == b'\n' {
                self.byte(b'\r');
            }
            self.byte(byte);
        }
        Ok(())
    }
}

static CONSOLE: SpinLock<Serial> = SpinLock::new(Serial);
static PANICKING: AtomicBool = AtomicBool::new(false);

/// Sets the serial port to 115200 8N1, interrupts off.
pub fn init() {
    insn::out8(SERIAL_PORT + uart::INTERRUPT_ENABLE, 0);
    insn::out8(SERIAL_PORT + uart::LINE_CONTROL, uart::DIVISOR_ACCESS);
    insn::out8(SERIAL_PORT, 1);
    insn::out8(SERIAL_PORT + 1, 0);
    insn::out8(SERIAL_PORT + uart::LINE_CONTROL, uart::EIGHT_N_ONE);
    insn::out8(SERIAL_PORT + uart::FIFO_CONTROL, 0);
    insn::out8(SERIAL_PORT + uart::MODEM_CONTROL, 3);
}

/// What `print!` calls. Lines of different processors do not mix.
pub fn print(args: fmt::Arguments) {
    if PANICKING.load(Relaxed) {
        // Whoever holds the console may never let go of it.
        let _ = Serial.write_fmt(args);
    } else {
        let _ = CONSOLE.lock().write_fmt(args);
    }
}

/// Bytes of a process to the console; whatever is not ASCII text becomes `?`.
pub fn print_bytes(bytes: &[u8]) {
    let mut console = CONSOLE.lock();
    for &byte in bytes {
        let text = byte == b'\n' || byte == b'\t' || (b' '..=b'~').contains(&byte);
        let _ = console.write_char(if text { byte as char } else { '?' });
    }
}

/// Text to the console.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::debug::print(format_args!($($arg)*)) };
}

/// A line to the console.
#[macro_export]
macro_rules! println {
    ($($arg:tt)*) => { $crate::debug::print(format_args!("{}\n", format_args!($($arg)*))) };
}

/// Ends the machine because the command line asks for something that cannot be; the message says what and what can.
#[macro_export]
macro_rules! refuse {
    ($($arg:tt)*) => {{
        $crate::println!($($arg)*);
        $crate::debug::power_off(shootdown_abi::exit::BAD_COMMAND_LINE)
    }};
}

/// Ends the machine with a code of [`exit`].
pub fn power_off(code: u32) -> ! {
    insn::out32(EXIT_PORT, code);
    // No such port on this machine.
    insn::halt()
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    insn::cli();
    if PANICKING.compare_exchange(false, true, Relaxed, Relaxed).is_ok() {
        println!("\nkernel panic on cpu {}: {info}", crate::percpu::cpu_id());
    }
    power_off(exit::PANIC)
}
