//! Messages between processors: one way, there and back, and to several.
//!
//! Time-stamp counters run together, so that a handler's RDTSC can be compared with the sender's. Targets wait in a loop
//! of one short instruction: an interrupt is taken at the first instruction boundary after its arrival, and the model
//! leaves that wait of less than a branch out.
//!
//! | part | cost |
//! |---|---|
//! | write of the ICR | `apic_access` |
//! | the bus carries the messages before, where it is serial | `ipi_bus` each |
//! | to the arrival | `ipi_latency` |
//! | to the handler's first instruction, no change of ring | `interrupt_entry_same` |
//!
//! (SDM vol. 3A, "Issuing Interprocessor Interrupts", "System Bus Vs. APIC Bus".)

use super::measure::{Measured, ROUNDS, WITH, WITHOUT, machine, what};
use crate::micro::*;
use iced_x86::IcedError;
use iced_x86::code_asm::*;
use shootdown_emu::MachineConfig;
use shootdown_emu::cost::Costs;

const PING: u8 = 0x40;
const PONG: u8 = 0x41;
/// Targets of the rows that have several.
const TARGETS: u32 = 3;
/// Rounds that are not counted.
const WARM: u32 = 4;
/// Targets that are about to go into their loops.
const READY: u32 = shared(2);
/// Handlers that have run so far.
const ARRIVED: u32 = shared(4);

/// When the handler of a processor began, by its TSC.
const fn taken(cpu: u32) -> u32 {
    shared(8 + cpu)
}

/// All rows about messages; those to several targets only where a machine can have these.
pub fn all(config: &MachineConfig, c: &Costs) -> Result<Vec<Measured>, MicroError> {
    let mut rows = vec![round_trip(config, c)?, one_way(config, c)?];
    if config.preset.max_cpus > TARGETS {
        rows.push(one_by_one(config, c)?);
        rows.push(broadcast(config, c)?);
    }
    Ok(rows)
}

/// From the write of the ICR to the handler's first instruction, the bus free.
fn arrival(c: &Costs) -> f64 {
    f64::from(c.apic_access) + f64::from(c.ipi_latency) + f64::from(c.interrupt_entry_same)
}

/// Iterations, of two cycles at least, in which everybody returns from the handler and the serial bus comes free.
fn rest(c: &Costs) -> u32 {
    c.interrupt_return_same.saturating_add(c.ipi_bus).saturating_add(2000)
}

fn rest_for(a: &mut CodeAssembler, iterations: u32) -> Result<(), IcedError> {
    let mut pause = a.create_label();
    a.mov(ecx, iterations)?;
    a.set_label(&mut pause)?;
    a.dec(ecx)?;
    a.jnz(pause)
}

/// Waits until so many targets are in their loops: before that a message would find their local APICs disabled.
fn await_targets(a: &mut CodeAssembler, c: &Costs, targets: u32) -> Result<(), IcedError> {
    let mut wait = a.create_label();
    // The label of what comes before may be here.
    a.nop()?;
    a.set_label(&mut wait)?;
    a.cmp(dword_ptr(READY), targets)?;
    a.jne(wait)?;
    rest_for(a, rest(c))
}

/// A target's program: says that it is ready and waits for messages.
fn wait_for_messages(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut wait = a.create_label();
    a.lock().inc(dword_ptr(READY))?;
    a.sti()?;
    a.set_label(&mut wait)?;
    a.jmp(wait)
}

/// An IPI, answered by an IPI from the first instruction of the handler, to the first instruction of ours. Both ways
/// cost the same; on a serial bus the answer also waits until the question's message is through.
fn round_trip(config: &MachineConfig, c: &Costs) -> Result<Measured, MicroError> {
    const TAKEN: u32 = shared(3);
    let command = |vector: u8| TO_OTHERS | u32::from(vector);
    let mut m = Micro::new(machine(config, 2))?;
    m.handler(PING, &|a| {
        a.mov(dword_ptr(ICR_LOW), command(PONG))?;
        a.mov(dword_ptr(EOI), 0)?;
        a.iretd()
    })?;
    m.handler(PONG, &|a| {
        a.rdtsc()?;
        a.sub(eax, edi)?;
        a.mov(dword_ptr(TAKEN), eax)?;
        a.mov(dword_ptr(EOI), 0)?;
        // Back to the return address of the call that waits.
        a.mov(eax, dword_ptr(esp + 12))?;
        a.mov(dword_ptr(esp), eax)?;
        a.iretd()
    })?;
    m.cpu(0, &|a| {
        let (mut ping, mut wait, mut go) = (a.create_label(), a.create_label(), a.create_label());
        a.jmp(go)?;
        a.set_label(&mut ping)?;
        a.rdtsc()?;
        a.mov(edi, eax)?;
        a.mov(dword_ptr(ICR_LOW), command(PING))?;
        a.set_label(&mut wait)?;
        a.jmp(wait)?;
        a.set_label(&mut go)?;
        await_targets(a, c, 1)?;
        a.sti()?;
        for n in [WARM, ROUNDS] {
            let mut next = a.create_label();
            a.xor(esi, esi)?;
            a.mov(ebp, n)?;
            a.set_label(&mut next)?;
            a.call(ping)?;
            a.add(esp, 4)?;
            a.add(esi, dword_ptr(TAKEN))?;
            rest_for(a, rest(c))?;
            a.dec(ebp)?;
            a.jnz(next)?;
        }
        a.mov(dword_ptr(result(WITH)), esi)?;
        timed(a, WITHOUT, ROUNDS, &nothing, &nothing)?;
        finish(a)
    })?;
    m.cpu(1, &wait_for_messages)?;
    let before_answer = (arrival(c) + f64::from(c.apic_access)).max(f64::from(c.apic_access + c.ipi_bus));
    let model = before_answer + f64::from(c.ipi_latency) + f64::from(c.interrupt_entry_same);
    Ok((what::ROUND_TRIP, model, m.run()?.mean(WITH, WITHOUT, ROUNDS)))
}

/// [`arrival`], measured.
fn one_way(config: &MachineConfig, c: &Costs) -> Result<Measured, MicroError> {
    let send: Emit<'_> = &|a| a.mov(dword_ptr(ICR_LOW), TO_OTHERS | u32::from(PING));
    Ok((what::ONE_WAY, arrival(c), to_the_last(config, c, 1, send)?))
}

/// One message for all.
fn broadcast(config: &MachineConfig, c: &Costs) -> Result<Measured, MicroError> {
    let send: Emit<'_> = &|a| a.mov(dword_ptr(ICR_LOW), TO_OTHERS | u32::from(PING));
    Ok((what::BROADCAST, arrival(c), to_the_last(config, c, TARGETS, send)?))
}

/// A message for each, as kernels send them to a set of processors: wait until the ICR shows the one before as sent,
/// write the destination, write the command. On a serial bus the sender sees it free up to one poll late each time,
/// which the model leaves out.
fn one_by_one(config: &MachineConfig, c: &Costs) -> Result<Measured, MicroError> {
    let send: Emit<'_> = &|a| {
        (1..=TARGETS).try_for_each(|cpu| {
            let mut poll = a.create_label();
            a.set_label(&mut poll)?;
            a.mov(eax, dword_ptr(ICR_LOW))?;
            a.test(eax, SEND_PENDING)?;
            a.jnz(poll)?;
            a.mov(dword_ptr(ICR_HIGH), cpu << 24)?;
            a.mov(dword_ptr(ICR_LOW), TO_ONE | u32::from(PING))
        })
    };
    let read = c.alu + c.load + c.apic_access;
    let decide = c.alu + c.branch;
    let write = c.alu + c.store + c.apic_access;
    // Between two commands: all of the code, or the message on the bus and what follows the poll that sees it gone.
    let code = f64::from(write + read + decide + write);
    let bus = f64::from(c.ipi_bus) + f64::from(c.alu + c.load + decide + write + c.apic_access);
    let step = if c.ipi_bus == 0 { code } else { code.max(bus) };
    let model = f64::from(read + decide + write) + f64::from(TARGETS - 1) * step + arrival(c);
    Ok((what::UNICASTS, model, to_the_last(config, c, TARGETS, send)?))
}

/// Mean cycles from before `send` to the first instruction of the handler of the last of `targets` processors.
fn to_the_last(config: &MachineConfig, c: &Costs, targets: u32, send: Emit<'_>) -> Result<f64, MicroError> {
    let mut m = Micro::new(machine(config, targets as usize + 1))?;
    // A target keeps the address of its time stamp in `ebx`.
    m.handler(PING, &|a| {
        a.rdtsc()?;
        a.mov(dword_ptr(ebx), eax)?;
        a.mov(dword_ptr(EOI), 0)?;
        a.lock().inc(dword_ptr(ARRIVED))?;
        a.iretd()
    })?;
    m.cpu(0, &|a| {
        a.xor(ebx, ebx)?;
        await_targets(a, c, targets)?;
        for n in [WARM, ROUNDS] {
            let (mut next, mut wait) = (a.create_label(), a.create_label());
            a.xor(esi, esi)?;
            a.mov(ebp, n)?;
            a.set_label(&mut next)?;
            a.rdtsc()?;
            a.mov(edi, eax)?;
            send(a)?;
            a.add(ebx, targets)?;
            a.set_label(&mut wait)?;
            a.cmp(dword_ptr(ARRIVED), ebx)?;
            a.jne(wait)?;
            a.mov(eax, dword_ptr(taken(targets)))?;
            a.sub(eax, edi)?;
            a.add(esi, eax)?;
            rest_for(a, rest(c))?;
            a.dec(ebp)?;
            a.jnz(next)?;
        }
        a.mov(dword_ptr(result(WITH)), esi)?;
        timed(a, WITHOUT, ROUNDS, &nothing, &nothing)?;
        finish(a)
    })?;
    for cpu in 1..=targets {
        m.cpu(cpu as usize, &|a| {
            a.mov(ebx, taken(cpu))?;
            wait_for_messages(a)
        })?;
    }
    Ok(m.run()?.mean(WITH, WITHOUT, ROUNDS))
}
