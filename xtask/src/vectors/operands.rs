//! Registers, stack and memory of a case, so that its instruction has something to work on.

use super::case::{USER_CODE, USER_DATA};
use super::forms::{decode, in_memory, is_prefix};
use super::generate::{DF, Draft, value};
use super::image::{CODE, DATA};
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

/// Flags that `popf` may load here: not TF, which would stop the child; nor ID, which ptrace cannot clear for the next case.
const LOADABLE: u32 = 0x4_7ed5;

const EAX: usize = 0;
const ECX: usize = 1;
const EDX: usize = 2;
/// Number of the stack pointer.
pub const ESP: usize = 4;
const EBP: usize = 5;
const ESI: usize = 6;
const EDI: usize = 7;

/// Selectors: those of user mode, with and without their RPL, null, of the system, beyond the table, of no LDT.
/// None of 64-bit code.
const SELECTORS: [u16; 12] =
    [USER_DATA, USER_DATA, USER_DATA, USER_CODE, 0x28, 0x20, 0, 3, 0x18, 0x13, 0x80, 0x2f];

fn number(r: Register) -> usize {
    r.full_register32().number()
}

impl Draft<'_> {
    fn fix(&mut self, register: usize) {
        self.fixed |= 1 << register;
    }

    fn is_fixed(&self, register: usize) -> bool {
        self.fixed & 1 << register != 0
    }

    /// Gives a register a value, and keeps it.
    fn set(&mut self, register: usize, v: u32) {
        self.case.registers[register] = v;
        self.fix(register);
    }

    /// Puts something into memory.
    pub fn put(&mut self, at: u32, bytes: &[u8]) {
        self.case.memory.push((at, bytes.to_vec()));
    }

    /// Puts something where the instruction's operand lies.
    pub fn put_operand(&mut self, bytes: &[u8]) {
        if let Some(at) = self.case.place {
            self.case.memory.retain(|(from, _)| *from != at);
            self.put(at, bytes);
        }
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n.div_ceil(4)).flat_map(|_| value(self.random).to_le_bytes()).take(n).collect()
    }

    /// An address of code away from the instruction.
    fn target(&mut self) -> u32 {
        let eip = self.case.registers[8];
        let v = CODE.start + self.random.below(CODE.end - CODE.start);
        if v.wrapping_sub(eip.wrapping_sub(32)) < 64 { v ^ 0x400 } else { v }
    }

    fn selector(&mut self) -> u16 {
        self.random.pick(&SELECTORS)
    }

    /// A code segment twice of three times.
    fn code_selector(&mut self) -> u16 {
        if self.random.percent(66) { USER_CODE } else { self.selector() }
    }

    fn data_address(&mut self) -> u32 {
        DATA[1].start + 0x1000 + self.random.below(0x1_e000)
    }

    fn stack(&mut self, bytes: &[u8]) {
        let at = self.case.registers[ESP];
        self.put(at, bytes);
    }

    /// Bytes of the operands of a string instruction, or of a transfer.
    fn width(&self) -> usize {
        if prefixed(&self.case.code, 0x66) { 2 } else { 4 }
    }

    /// What must hold before the operand's address is formed.
    pub fn before_address(&mut self) {
        use Mnemonic as M;
        let r = value(self.random);
        match self.i.mnemonic() {
            M::Bt | M::Bts | M::Btr | M::Btc if self.place_by_bit() => {
                let bit = self.random.below(0x4000).wrapping_sub(0x2000);
                self.set(number(self.i.op1_register()), bit);
            }
            M::Shl | M::Sal | M::Shr | M::Sar | M::Rol | M::Ror | M::Rcl | M::Rcr | M::Shld | M::Shrd
                if self.random.percent(60) =>
            {
                self.set(ECX, r & 0xffff_ff00 | r >> 8 & 0x1f);
            }
            M::Div | M::Idiv if self.random.percent(70) => {
                // The quotient then has a chance to fit.
                let eax = self.case.registers[EAX];
                let high = if self.random.percent(30) { (eax as i32 >> 31) as u32 } else { r & 7 };
                self.set(EDX, high);
                self.set(EAX, if self.i.op0_register().size() == 1 { eax & 0xffff_03ff } else { eax });
            }
            M::Loop | M::Loope | M::Loopne | M::Jecxz | M::Jcxz if self.random.percent(60) => {
                let count = self.random.below(3);
                let high = if self.random.percent(50) { r & 0xffff_0000 } else { 0 };
                self.set(ECX, high | count);
            }
            M::Enter => {
                let ebp = self.data_address() & !3;
                self.set(EBP, ebp);
                let frames = self.bytes(32);
                self.put(ebp - 32, &frames);
                let end = self.case.code.len();
                let size = self.random.below(0x400) as u16;
                let nesting = if self.random.percent(70) { self.random.below(5) } else { r & 0xff };
                self.case.code[end - 3..end - 1].copy_from_slice(&size.to_le_bytes());
                self.case.code[end - 1] = nesting as u8;
            }
            M::Leave => {
                let ebp = self.data_address();
                self.set(EBP, ebp);
                let saved = self.bytes(4);
                self.put(ebp, &saved);
            }
            M::Arpl | M::Lar | M::Lsl | M::Verr | M::Verw => {
                for r in [self.i.op0_register(), self.i.op1_register()] {
                    if r != Register::None {
                        let selector = self.selector();
                        let n = number(r);
                        self.set(n, self.case.registers[n] & 0xffff_0000 | u32::from(selector));
                    }
                }
            }
            M::Mov if self.i.op0_register().is_segment_register() && !in_memory(&self.i) => {
                let selector = self.selector();
                let n = number(self.i.op1_register());
                self.set(n, self.case.registers[n] & 0xffff_0000 | u32::from(selector));
            }
            M::Call | M::Jmp if self.i.op0_kind() == OpKind::Register => {
                let target = self.target();
                self.set(number(self.i.op0_register()), target);
            }
            _ => {}
        }
        if self.i.is_string_instruction() {
            self.strings();
        } else {
            self.pops();
        }
    }

    /// A bit of a string in memory, counted by a register?
    fn place_by_bit(&self) -> bool {
        self.i.op0_kind() == OpKind::Memory && self.i.op1_kind() == OpKind::Register
    }

    /// What an instruction takes from the stack.
    fn pops(&mut self) {
        use Mnemonic as M;
        let width = self.width();
        let mut words: Vec<u32> = match self.i.mnemonic() {
            M::Ret => vec![self.target()],
            M::Retf => vec![self.target(), self.code_selector().into()],
            M::Iret | M::Iretd => {
                vec![self.target(), self.code_selector().into(), value(self.random) & LOADABLE | 2]
            }
            M::Popf | M::Popfd => vec![value(self.random) & LOADABLE],
            M::Pop if self.i.op0_register().is_segment_register() => {
                vec![value(self.random) << 16 | u32::from(self.selector())]
            }
            M::Pop => vec![value(self.random)],
            M::Popa | M::Popad => (0..8).map(|_| value(self.random)).collect(),
            _ => return,
        };
        if self.i.mnemonic() == M::Ret && width == 2 {
            words[0] &= 0xffff;
        }
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()[..width].to_vec()).collect();
        self.stack(&bytes);
    }

    /// Source, destination and count of a string instruction.
    fn strings(&mut self) {
        use Mnemonic as M;
        let size = match self.i.mnemonic() {
            M::Movsb | M::Cmpsb | M::Stosb | M::Lodsb | M::Scasb | M::Insb | M::Outsb => 1,
            M::Movsw | M::Cmpsw | M::Stosw | M::Lodsw | M::Scasw | M::Insw | M::Outsw => 2,
            _ => 4u32,
        };
        let narrow = prefixed(&self.case.code, 0x67);
        let repeats = self.i.has_rep_prefix() || self.i.has_repne_prefix();
        let high = |v: u32| if narrow { v & 0xffff_0000 } else { 0 };
        let count = self.random.below(9);
        if repeats {
            let ecx = value(self.random);
            self.set(ECX, high(ecx) | count);
        }
        let elements = if repeats { count.max(1) } else { 1 };
        let compares = self.i.rflags_written() != 0;
        let eax = self.case.registers[EAX].to_le_bytes();
        let mut alike = Vec::new();
        for _ in 0..elements {
            alike.extend_from_slice(&eax[..size as usize]);
        }
        for register in [ESI, EDI] {
            let at = if narrow { 0x1100 + self.random.below(0xeb00) } else { self.data_address() };
            let mut data = alike.clone();
            if !compares || self.random.percent(60) {
                // Differs at one place, or everywhere.
                let from = if compares { self.random.below(data.len() as u32) as usize } else { 0 };
                let other = self.bytes(data.len());
                let end = if compares { (from + 1).min(data.len()) } else { data.len() };
                data[from..end].copy_from_slice(&other[from..end]);
            }
            let down = self.case.registers[9] & DF != 0;
            let first = if down { at + (elements - 1) * size } else { at };
            let keep = high(self.case.registers[register]);
            self.set(register, keep | first);
            self.put(at, &data);
        }
    }

    /// Forms the address of the operand in memory.
    pub fn address(&mut self) -> Option<()> {
        let i = self.i;
        let (base, index) = (i.memory_base(), i.memory_index());
        let offsets = {
            let mut d = Decoder::with_ip(32, &self.case.code, 0, DecoderOptions::NONE);
            let again = d.decode();
            d.get_constant_offsets(&again)
        };
        let size = i.memory_size().size() as u32;
        let narrow =
            base.is_gpr16() || index.is_gpr16() || base == Register::None && offsets.displacement_size() == 2;
        let mask = if narrow { 0xffff } else { u32::MAX };
        let mut at = if narrow { 0x1100 + self.random.below(0xea00) } else { self.data_address() };
        if self.random.percent(20) {
            // At the end of a page.
            at = at | 0xff8 | self.random.below(8);
        } else if narrow && self.random.percent(8) {
            // At the end of what 16 bits address.
            at = 0xfff0 + self.random.below(16);
        }
        if self.locked || i.mnemonic() == Mnemonic::Xchg {
            // What is locked and crosses a line is a fault to some.
            at &= !7;
        }
        if size == 512 && self.random.percent(90) {
            at &= !15;
        }
        let of = |r: Register| self.case.registers[number(r)];
        let scaled = match index {
            Register::None => 0,
            Register::AL => of(index) & 0xff,
            r => of(r).wrapping_mul(i.memory_index_scale()) & mask,
        };
        let displacement = i.memory_displacement32();
        let wide = offsets.displacement_size() == if narrow { 2 } else { 4 };
        let fixed =
            base == Register::None || self.is_fixed(number(base)) || base == Register::ESP || base == index;
        if !fixed {
            let n = number(base);
            let v = at.wrapping_sub(displacement).wrapping_sub(scaled) & mask;
            let keep = self.case.registers[n] & !mask;
            self.set(n, keep | v);
        } else if wide {
            let from = if base == Register::None { 0 } else { of(base) };
            let v = at.wrapping_sub(from).wrapping_sub(scaled);
            let (offset, n) = (offsets.displacement_offset(), offsets.displacement_size());
            self.case.code[offset..offset + n].copy_from_slice(&v.to_le_bytes()[..n]);
        } else if base == Register::ESP && index == Register::None && !self.locked {
            at = of(base).wrapping_add(displacement);
        } else {
            return None;
        }
        if index != Register::None {
            self.fix(number(index));
        }
        self.case.place = Some(at);
        // The code may have changed.
        self.i = decode(&self.case.code, 0);
        Some(())
    }

    /// What lies at the address, and what must hold besides.
    pub fn after_address(&mut self) -> Option<()> {
        use Mnemonic as M;
        let i = self.i;
        let size = i.memory_size().size();
        let mut data = if size <= 16 { self.bytes(size) } else { Vec::new() };
        let width = self.width();
        let far = |offset: u32, selector: u16| {
            let mut b = offset.to_le_bytes()[..width].to_vec();
            b.extend(selector.to_le_bytes());
            b
        };
        let memory = self.case.place.is_some();
        match i.mnemonic() {
            M::Call | M::Jmp if memory && matches!(size, 2 | 4) && !far_pointer(&i) => {
                data = self.target().to_le_bytes()[..size].to_vec();
            }
            M::Call | M::Jmp if memory => data = far(self.target(), self.code_selector()),
            M::Lds | M::Les | M::Lss | M::Lfs | M::Lgs => data = far(value(self.random), self.selector()),
            M::Mov if memory && i.op0_register().is_segment_register() => {
                data = self.selector().to_le_bytes().to_vec();
            }
            M::Arpl | M::Lar | M::Lsl | M::Verr | M::Verw if memory => {
                data = self.selector().to_le_bytes().to_vec();
            }
            M::Cmpxchg if self.random.percent(50) => {
                let eax = self.case.registers[EAX];
                data = eax.to_le_bytes()[..size].to_vec();
                let n = number(i.op0_register());
                if !memory && n != EAX && i.op0_register().size() > 1 {
                    self.set(n, eax);
                }
            }
            M::Cmpxchg8b if self.random.percent(50) => {
                let wide = u64::from(self.case.registers[EDX]) << 32 | u64::from(self.case.registers[EAX]);
                data = wide.to_le_bytes().to_vec();
            }
            M::Bound if self.random.percent(60) => {
                // Lower bound, then upper: around the index.
                let v = self.case.registers[number(i.op0_register())];
                let (low, high) =
                    (v.wrapping_sub(self.random.below(3)), v.wrapping_add(self.random.below(3)));
                data = [low, high].iter().flat_map(|b| b.to_le_bytes()[..width].to_vec()).collect();
            }
            M::Bt | M::Bts | M::Btr | M::Btc if memory && self.place_by_bit() => {
                let n = number(i.op1_register());
                let bit = if width == 2 {
                    self.case.registers[n] as i16 as i32
                } else {
                    self.case.registers[n] as i32
                };
                let step = (bit >> if width == 2 { 4 } else { 5 }).wrapping_mul(width as i32);
                let at = self.case.place?.wrapping_add(step as u32);
                if !DATA.iter().any(|r| r.contains(&at)) {
                    return None;
                }
                self.put(at, &data);
                return Some(());
            }
            _ => {}
        }
        if !data.is_empty() {
            self.put_operand(&data);
        }
        Some(())
    }

    /// Lets a branch go where it may.
    pub fn branch(&mut self) -> Option<()> {
        let eip = self.case.registers[8];
        let end = self.case.code.len();
        match self.i.op0_kind() {
            OpKind::NearBranch32 => {
                let size = immediate_size(&self.case.code);
                if size == 4 {
                    let v = self.target().wrapping_sub(eip.wrapping_add(end as u32));
                    self.case.code[end - 4..].copy_from_slice(&v.to_le_bytes());
                } else {
                    let at = eip.wrapping_add(self.i.near_branch32());
                    if (eip..eip + end as u32).contains(&at) {
                        return None;
                    }
                }
            }
            OpKind::FarBranch32 | OpKind::FarBranch16 => {
                let (target, selector) = (self.target(), self.code_selector());
                let n = self.width();
                self.case.code[end - 2..].copy_from_slice(&selector.to_le_bytes());
                self.case.code[end - 2 - n..end - 2].copy_from_slice(&target.to_le_bytes()[..n]);
            }
            _ => {}
        }
        Some(())
    }
}

fn prefixed(code: &[u8], prefix: u8) -> bool {
    code.iter().take_while(|b| is_prefix(**b)).any(|b| *b == prefix)
}

fn far_pointer(i: &Instruction) -> bool {
    matches!(i.code(), Code::Call_m1616 | Code::Call_m1632 | Code::Jmp_m1616 | Code::Jmp_m1632)
}

/// Bytes of the displacement of a branch.
fn immediate_size(code: &[u8]) -> usize {
    let mut d = Decoder::with_ip(32, code, 0, DecoderOptions::NONE);
    let i = d.decode();
    d.get_constant_offsets(&i).immediate_size()
}
