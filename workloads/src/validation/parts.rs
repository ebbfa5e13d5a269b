//! What the micro-guests of several checks are made of.

use crate::micro::*;
use iced_x86::IcedError;
use iced_x86::code_asm::*;
use shootdown_emu::cost::Costs;

/// Lets about `cycles` cycles go by without touching memory: the stand-in for code that is not here. Mostly CPUID,
/// because few instructions are quick to run. `eax` to `edx` are taken.
pub fn idle(a: &mut CodeAssembler, costs: &Costs, cycles: u32) -> Result<(), IcedError> {
    let rest = cycles % costs.cpuid;
    (0..cycles / costs.cpuid).try_for_each(|_| a.cpuid())?;
    let pass = costs.alu + costs.branch;
    if rest < 2 * pass {
        return Ok(());
    }
    let mut next = a.create_label();
    a.mov(ecx, rest / pass)?;
    a.set_label(&mut next)?;
    a.dec(ecx)?;
    a.jnz(next)
}

/// `invlpg` of `pages` pages of the window, from its first.
pub fn invalidate(a: &mut CodeAssembler, pages: u32) -> Result<(), IcedError> {
    each_page(a, pages, &|a| a.invlpg(ptr(ebx)))
}

/// Code for each of the first `pages` pages of the window; `ebx` is the page.
pub fn each_page(a: &mut CodeAssembler, pages: u32, code: Emit<'_>) -> Result<(), IcedError> {
    let mut next = a.create_label();
    a.mov(ebx, WINDOW)?;
    a.set_label(&mut next)?;
    code(a)?;
    a.add(ebx, 4096)?;
    a.cmp(ebx, (WINDOW + 4096 * pages) as i32)?;
    a.jne(next)
}

/// Drops every translation: CR4.PGE off and on. `eax` and `edx` are taken.
pub fn flush_global(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.mov(eax, cr4)?;
    a.mov(edx, eax)?;
    a.and(eax, !(PGE as i32))?;
    a.mov(cr4, eax)?;
    a.mov(cr4, edx)
}

/// Test and set, unfair, reading until it looks free. `eax` is taken.
pub fn lock(a: &mut CodeAssembler, word: u32) -> Result<(), IcedError> {
    let (mut again, mut spin, mut taken) = (a.create_label(), a.create_label(), a.create_label());
    a.set_label(&mut again)?;
    a.mov(eax, 1)?;
    a.xchg(dword_ptr(word), eax)?;
    a.test(eax, eax)?;
    a.jz(taken)?;
    a.set_label(&mut spin)?;
    a.pause()?;
    a.cmp(dword_ptr(word), 0)?;
    a.jne(spin)?;
    a.jmp(again)?;
    a.set_label(&mut taken)?;
    a.nop()
}

/// Releases [`lock`].
pub fn unlock(a: &mut CodeAssembler, word: u32) -> Result<(), IcedError> {
    a.mov(dword_ptr(word), 0)
}

/// Writes the ICR, after it has let go of the message before. `eax` is taken.
pub fn send(a: &mut CodeAssembler, command: u32) -> Result<(), IcedError> {
    let mut busy = a.create_label();
    a.set_label(&mut busy)?;
    a.mov(eax, dword_ptr(ICR_LOW))?;
    a.test(eax, SEND_PENDING as i32)?;
    a.jnz(busy)?;
    a.mov(dword_ptr(ICR_LOW), command)
}

/// Waits until a word is zero, with `pause`.
pub fn wait_zero(a: &mut CodeAssembler, word: u32) -> Result<(), IcedError> {
    let (mut spin, mut done) = (a.create_label(), a.create_label());
    a.set_label(&mut spin)?;
    a.cmp(dword_ptr(word), 0)?;
    a.je(done)?;
    a.pause()?;
    a.jmp(spin)?;
    a.set_label(&mut done)?;
    a.nop()
}

/// Tells the others that this processor is ready, and waits for `all` of them.
pub fn meet(a: &mut CodeAssembler, word: u32, all: u32) -> Result<(), IcedError> {
    let (mut spin, mut done) = (a.create_label(), a.create_label());
    a.lock().inc(dword_ptr(word))?;
    a.set_label(&mut spin)?;
    a.cmp(dword_ptr(word), all)?;
    a.je(done)?;
    a.pause()?;
    a.jmp(spin)?;
    a.set_label(&mut done)?;
    a.nop()
}

/// Calls `f` with whole numbers in `low..=high` until what it gives, which grows with them, is as near as can be to
/// `wanted`; gives that number and the last result.
pub fn solve<E>(
    low: u32,
    high: u32,
    wanted: f64,
    mut f: impl FnMut(u32) -> Result<f64, E>,
) -> Result<(u32, f64), E> {
    let (mut low, mut high) = (low, high);
    while low < high {
        let middle = low + (high - low) / 2;
        if f(middle)? < wanted { low = middle + 1 } else { high = middle }
    }
    Ok((low, f(low)?))
}
