//! Code in real mode at the end of its segment.
//! (SDM vol. 3, "Interrupt 13"; "Architecture Compatibility", "Segment Wraparound".)

use shootdown_emu::cpu::State;
use shootdown_emu::cpu::op::{CS, SS};
use shootdown_emu::cpu::segment::Segment;
use shootdown_emu::{Machine, MachineConfig, Preset};

const HANDLER: u16 = 0x500;

/// Runs the bytes at 1000:`ip` until `hlt`, with every exception going to one at 0000:0500; what was pushed as IP, if
/// vector 13 was taken.
fn pushed_by_gp(ip: u16, code: &[u8]) -> Option<u16> {
    let preset = Preset::builtin("p3").expect("built-in preset");
    let config = MachineConfig { cpus: 1, memory: 1 << 20, ..MachineConfig::new(preset) };
    let mut m = Machine::new(config).expect("valid configuration");
    let mut poke = |at: u32, bytes: &[u8]| assert!(m.bus_mut().ram.poke(u64::from(at), bytes));
    // A `hlt` where a wrap to offset 0 would go, and one for each vector.
    poke(0x1_0000, &[0xf4]);
    for vector in 0..32u16 {
        poke(u32::from(vector) * 4, &(HANDLER + vector).to_le_bytes());
    }
    poke(u32::from(HANDLER), &[0xf4; 32]);
    poke(0x1_0000 + u32::from(ip), code);
    let cpu = m.cpu_mut(0).expect("one processor");
    cpu.set_segment(CS, Segment::real(0x1000));
    cpu.set_segment(SS, Segment::real(0x3000));
    cpu.idtr.limit = 0x3ff;
    cpu.eip = u32::from(ip);
    cpu.regs[4] = 0x100;
    for _ in 0..8 {
        if m.cpus()[0].state == State::Running {
            assert_eq!(m.step(0), None);
        }
    }
    let cpu = &m.cpus()[0];
    assert_eq!(cpu.state, State::Halted);
    let mut pushed = [0; 2];
    assert!(m.bus().ram.peek(0x3_00fa, &mut pushed));
    (cpu.eip == u32::from(HANDLER) + 13 + 1).then_some(u16::from_le_bytes(pushed))
}

#[test]
fn code_that_runs_past_the_end_of_its_segment_faults() {
    // nop; nop: the fetch behind them fails, at offset 10000h.
    assert_eq!(pushed_by_gp(0xfffe, &[0x90, 0x90]), Some(0));
    // clts ends its block.
    assert_eq!(pushed_by_gp(0xfffe, &[0x0f, 0x06]), Some(0));
}

#[test]
fn an_instruction_that_reaches_past_the_end_of_its_segment_faults() {
    // mov ax,1234h
    assert_eq!(pushed_by_gp(0xfffe, &[0xb8, 0x34, 0x12]), Some(0xfffe));
}

#[test]
fn a_jump_wraps() {
    // jmp short $+2 at the end goes to offset 0, where there is a hlt.
    assert_eq!(pushed_by_gp(0xfffe, &[0xeb, 0x00]), None);
}
