//! Devices, local APIC and I/O APIC: a list of accesses of any width to ports and registers, of waits and of messages.
//! In one half of the inputs a guest makes them, with the interrupts that follow; in the other half they go to the port
//! devices directly, at times that a guest would take years to reach.
//!
//! Asserted: as for blocks, that the run ends, that the ledgers sum to the clocks and that the host's shortcuts change
//! nothing.

use crate::guest::Setup;
use crate::input::Input;
use shootdown_emu::Preset;
use shootdown_emu::device::{Devices, PortRead};
use std::sync::OnceLock;

/// Accesses in one input.
const MOST: usize = 200;
/// Bytes of code of one processor.
const MOST_CODE: usize = 4000;
/// The ports of a PC that have or could have a device, by the low bits of what an input asks for.
const PORTS: [u16; 16] =
    [0x20, 0xa0, 0x40, 0x61, 0x70, 0x3f8, 0xf4, 0xe8, 0x80, 0x92, 0x22, 0x60, 0x4d0, 0xcf8, 0xf0, 0x2f8];

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    if input.byte() & 1 == 0 {
        return directly(input);
    }
    let kind = input.byte();
    let cycles = 1000 * (1 + u64::from(input.byte()));
    let mut setup = Setup::bare(kind, cycles);
    let n = setup.start.len();
    for start in &mut setup.start {
        // Local APIC on, interrupts on.
        start.code = vec![0xc7, 0x05, 0xf0, 0, 0xe0, 0xfe, 0xff, 0x01, 0, 0, 0xfb];
    }
    for turn in 0..MOST {
        if input.is_empty() {
            break;
        }
        let code = &mut setup.start[turn % n].code;
        if code.len() < MOST_CODE {
            emit(code, &mut input);
        }
    }
    setup.check();
}

fn port(input: &mut Input<'_>) -> u16 {
    let n = input.byte();
    if n == 0xff { input.word() } else { PORTS[usize::from(n & 15)] + u16::from(n >> 4 & 7) }
}

/// One access as code.
fn emit(code: &mut Vec<u8>, input: &mut Input<'_>) {
    let what = input.byte();
    let width = what >> 4 & 3;
    let wide: &[u8] = if width == 1 { &[0x66] } else { &[] };
    match what & 7 {
        // mov edx, port; in
        0 => {
            code.push(0xba);
            code.extend(u32::from(port(input)).to_le_bytes());
            code.extend(wide);
            code.push(if width == 0 { 0xec } else { 0xed });
        }
        // mov edx, port; mov eax, value; out
        1 | 2 => {
            code.push(0xba);
            code.extend(u32::from(port(input)).to_le_bytes());
            code.push(0xb8);
            code.extend(input.interesting().to_le_bytes());
            code.extend(wide);
            code.push(if width == 0 { 0xee } else { 0xef });
        }
        // mov eax, [register]
        3 => {
            let at = register(input);
            code.extend(wide);
            code.push(if width == 0 { 0xa0 } else { 0xa1 });
            code.extend(at.to_le_bytes());
        }
        // mov eax, value; mov [register], eax
        4 | 5 => {
            let at = register(input);
            code.push(0xb8);
            code.extend(input.interesting().to_le_bytes());
            code.extend(wide);
            code.push(if width == 0 { 0xa2 } else { 0xa3 });
            code.extend(at.to_le_bytes());
        }
        // mov ecx, n; loop here
        6 => {
            code.push(0xb9);
            code.extend((1 + u32::from(input.byte()) * 8).to_le_bytes());
            code.extend([0xe2, 0xfe]);
        }
        // hlt; cli; sti; lock xadd [register], eax; fxsave of the registers; rep outsb
        _ => match width {
            0 => code.push(0xf4),
            1 => code.push(0xfa),
            2 => code.push(0xfb),
            _ => {
                let at = register(input);
                code.extend([0xf0, 0x0f, 0xc1, 0x05]);
                code.extend(at.to_le_bytes());
            }
        },
    }
}

/// A physical address in the local APIC or the I/O APIC.
fn register(input: &mut Input<'_>) -> u32 {
    let (page, n) = (input.byte(), input.byte());
    let within = u32::from(n & 0x3f) << 4;
    match page & 7 {
        0..=3 => 0xfee0_0000 + within,
        4 | 5 => 0xfec0_0000 + (within & 0x1ff),
        6 => 0xfee0_0000 + u32::from(input.word() & 0xfff),
        _ => 0xfec0_0000 + u32::from(input.word() & 0xfff),
    }
}

/// Accesses to the port devices at any time.
fn directly(mut input: Input<'_>) {
    static PRESETS: OnceLock<Vec<Preset>> = OnceLock::new();
    let presets = PRESETS.get_or_init(|| Preset::names().filter_map(Preset::builtin).collect());
    let mut devices = Devices::new(&presets[usize::from(input.byte()) % presets.len()]).with_memory(1 << 36);
    let mut now = 0u64;
    for _ in 0..1 << 14 {
        if input.is_empty() {
            break;
        }
        let what = input.byte();
        let size = 1 << (what & 3).min(2);
        match what >> 2 & 3 {
            0 => now = now.saturating_add(u64::from(input.dword()) << (what >> 4 << 1)).min(1 << 62),
            1 => {
                if let PortRead::Value(v) = devices.read(port(&mut input), size, now) {
                    assert!(size == 4 || v >> (8 * size) == 0, "{v:#x} in {size} bytes");
                }
            }
            _ => {
                let port = port(&mut input);
                devices.write(port, size, input.interesting(), now);
            }
        }
    }
    assert!(devices.take_output().len() <= 4 << 14);
    assert!(devices.take_debug().len() <= 128 << 10);
}
