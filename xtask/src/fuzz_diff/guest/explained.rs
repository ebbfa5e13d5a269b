//! Differences that are explained: what the other machine does otherwise than the manual or captures of real
//! processors say, or what neither of them defines.
//!
//! | what | there | here, and why |
//! |---|---|---|
//! | ARPL on memory | Bochs asks for write rights first, and sets D | only if RPL changes: "Arpl" of the manual writes only then |
//! | far pointers, frames of RET and IRET, images of the x87 | Bochs reads the selector, the flags, the end first | the first byte first; the manual does not say, only CR2 tells |
//! | a return to an outer stack that is not present | Bochs raises #NP | #SS (manual, "IRET", "RET") |
//! | a frame that does not fit | Bochs writes what fits | nothing, as captured from processors for PUSHA; the rest alike |
//! | a call beyond the limit of CS | Bochs has pushed already, or failed to | room on the stack, the limit, the pushes (manual, "CALL") |
//! | a gate beyond the limit of CS, no room on the stack | Bochs looks at the limit first | room first (manual, "INT n") |
//! | POPF in virtual-8086 mode, IOPL < 3 | Bochs reads the stack first | #GP(0) first, as for all that IOPL forbids |
//! | an inner stack of 16 bits | Bochs loads SP only | ESP whole (manual, "INT n": ESP from the TSS) |
//! | ENTER, 32-bit operands, 16-bit stack | Bochs writes EBP | BP, as captured from an 80386 |
//! | IRET to or in virtual-8086 mode, EIP > FFFF | Bochs cuts EIP off, or goes there | #GP(0) (manual, "IRET") |
//! | a misaligned stack, or one of ring 0, under a far call to a conforming segment | Bochs does not check | #AC or #PF, as for all pushes |
//! | bytes outside the sequence | Bochs knows MMX and SSE | #UD, as CPUID offers neither |
//! | a task switch that fails | Bochs loads SS before CS, so CS is not accessed yet | CS first; the manual does not say |
//! | a frame that an inner stack does not take | Bochs has not marked the stack accessed | it is; the manual does not say |
//! | REP CMPS, SCAS that fault | Bochs has changed the flags | flags change at the end, as captured from processors |
//! | a single step within a repeated instruction | Bochs saves RF as 0 | as 1 (manual, "RF in EFLAGS": when interrupted after an iteration) |
//! | REP STOS, MOVS over itself | Bochs reads the instruction again | it goes on; the manual does not say |
//! | an instruction beyond the limit of CS, on the next page | Bochs does not read it | it has been read, and A is set (manual: A tells that an entry was used, by prefetching, too) |
//! | UD0, whose ModRM byte is on the next page or beyond the limit of CS | Bochs does not read that byte, as older processors | it is read (manual, "UD"): A is set, or reading it faults |
//! | a far return over arguments that wraps SP | Bochs raises #SS | SP wraps, as for all pops |
//! | code outside the memory that cases have | devices, holes, the harness's own data | the same; each machine has its own |
//! | bytes outside the sequence that read a port, the time-stamp counter or CPUID | what these say is each machine's own matter | the same |
//! | bytes outside the sequence that set CR4.MCE | Bochs knows machine checks | #GP(0), as CPUID does not offer them |
//! | bytes outside the sequence that name an MSR that is not there | Bochs is told to let that pass | #GP(0) (manual, "RDMSR", "WRMSR") |
//! | general detect | Bochs saves RF as 0 | as 1 (manual, "Instruction-Breakpoint Exception Condition": RF is saved as 1 by all faults but instruction breakpoints) |
//! | a single step over a switch of tasks | Bochs drops the trap | it comes before the new task's first instruction, as on QEMU (manual, "Single-Step Exception Condition": TF as the instruction found it) |
//! | a single step with BT or B0 to B3 set in DR6 | Bochs clears them | they stay (manual, "Debug Status Register": exceptions may clear B0 to B3, and nothing else) |
//! | PUSHA in virtual-8086 mode, SP odd and below 16 | Bochs raises #SS | #GP(0) (manual, "PUSHA") |
//! | a far call, SP below the frame's size on a 16-bit stack | Bochs raises #SS | SP wraps, as for all pushes |
//! | reads and writes where there is no memory | what is read back is Bochs's own matter | all ones |
//! | memory that earlier cases have written beyond what is put back | a machine that ended is started anew, without it | the same; alone the case does the same on both |
//! | misaligned, and another fault too | Bochs raises #AC before it translates | #AC last (manual, "Priority Among Simultaneous Exceptions and Interrupts") |

use super::cases::Case;
use super::changes;
use super::layout::{ARENA, STACK_TOP, arena, case, record, selector};
use super::machines::{Executed, Outcome, Peer};
use super::memory::Memory;
use super::tables::Batch;
use iced_x86::{Code, CpuidFeature, Instruction, Mnemonic, OpKind, Register};
use std::collections::BTreeMap;
use std::ops::Range;

const AC: u32 = 17;
const VM: u32 = 1 << 17;

/// Two records that differ.
struct Pair<'a> {
    case: &'a Case,
    here: &'a [u32],
    there: &'a [u32],
    /// The instruction at which each machine stopped.
    at_here: Option<Instruction>,
    at_there: Option<Instruction>,
    /// What it may have come through; what it has, if that is known.
    path: Vec<Instruction>,
    path_is_known: bool,
    /// It has left the memory that cases have.
    strays: bool,
    /// It has used addresses where there is nothing.
    empty: bool,
    /// Names of what differs, but for what follows from something else.
    names: Vec<&'a str>,
    /// Addresses that differ: value here, value there.
    memory: BTreeMap<u32, (Option<u32>, Option<u32>)>,
}

/// Why these differences are none of ours, if so. What the case has executed is read from memory as it was left, if it is
/// not known.
pub fn explain(
    peer: Peer,
    batch: &Batch,
    case: &Case,
    here: &[u32],
    there: &Outcome,
    differences: &[String],
    executed: Option<&Executed>,
) -> Option<&'static str> {
    if peer != Peer::Bochs {
        return None;
    }
    let Outcome::Record(there) = there else {
        if executed.is_some_and(|e| e.strays) {
            return Some(STRAYS);
        }
        // What runs in virtual-8086 mode then may not end.
        let i = Memory { image: &batch.image, case, changes: &changes(case, here), record: here }
            .instruction()?;
        return (i.mnemonic() == Mnemonic::Iretd && here[record::INFO] == 13).then_some(CUT_OFF);
    };
    let (a, b) = (changes(case, here), changes(case, there));
    let memory = a
        .keys()
        .chain(b.keys())
        .filter(|at| a.get(at) != b.get(at))
        .map(|at| (*at, (a.get(at).copied(), b.get(at).copied())))
        .collect();
    let names = differences.iter().map(String::as_str).collect();
    let at = |record, changes: &BTreeMap<u32, u32>| {
        Memory { image: &batch.image, case, changes, record }.instruction()
    };
    let (mut at_here, mut at_there) = (at(here, &a), at(there, &b));
    let path = match executed {
        Some(executed) => {
            // The frame of the handler may lie on the instruction by now.
            if here[record::EIP] == there[record::EIP] {
                at_there = executed.instructions.last().copied();
            }
            at_here = executed.instructions.last().copied();
            executed.instructions.clone()
        }
        None => Memory { image: &batch.image, case, changes: &a, record: here }.path(),
    };
    let p = Pair {
        case,
        here,
        there,
        at_here,
        at_there,
        path,
        path_is_known: executed.is_some(),
        strays: executed.is_some_and(|e| e.strays),
        empty: executed.is_some_and(|e| e.empty),
        names,
        memory,
    };
    RULES.iter().find(|(rule, _)| rule(&p)).map(|(_, why)| *why)
}

const CUT_OFF: &str = "IRET to or in virtual-8086 mode takes EIP beyond FFFF";

const STRAYS: &str = "it runs through memory that is not the case's";

type Rule = fn(&Pair<'_>) -> bool;

const RULES: &[(Rule, &str)] = &[
    (arpl, "ARPL asks for write rights"),
    (pointer_order, "the parts of a far pointer or frame are read in another order"),
    (absent_stack, "a return to an outer stack that is not present raises #NP"),
    (call_limit, "a call pushes before the limit of CS is checked"),
    (gate_limit, "the limit of CS is checked before room on the stack"),
    (v86_popf, "POPF in virtual-8086 mode reads the stack before IOPL is checked"),
    (partial_frame, "what fits of a frame is written before the fault"),
    (inner_stack, "SP alone is loaded for an inner stack of 16 bits"),
    (enter, "ENTER writes all of EBP"),
    (long_v86, CUT_OFF),
    (call_rights, "far calls push with the rights of their target and without alignment checks"),
    (other_page, "bytes of another page are an instruction of MMX or SSE"),
    (task_order, "what a failing switch of tasks or stacks marks accessed"),
    (repeated_flags, "a repeated comparison changes flags before its fault"),
    (step_of_repeated, "RF is not saved by a single step within a repeated instruction"),
    (general_detect, "RF is not saved by general detect"),
    (step_into_task, "a single step over a task switch is dropped"),
    (step_clears, "a single step clears BT and B0 to B3 in DR6"),
    (odd_pusha, "PUSHA at the end of a stack in virtual-8086 mode raises #SS"),
    (wrapped_call, "a far call does not wrap SP"),
    (own_code, "a repeated instruction writes over itself and is read again"),
    (prefetch, "the page after the end of the code segment is read, and A set"),
    (|p| p.strays, STRAYS),
    (|p| p.empty, "it reads or writes where there is no memory"),
    (wrapped_return, "a far return over arguments does not wrap SP"),
    (own_answers, "bytes of another page read a port, the time-stamp counter or CPUID"),
    (machine_checks, "CR4.MCE can be set"),
    (absent_msr, "MSRs that are not there are ignored"),
    (short_ud0, "UD0 has no ModRM byte"),
    (alignment, "#AC comes before page faults"),
];

impl Pair<'_> {
    fn only(&self, names: &[&str]) -> bool {
        self.names.iter().all(|n| names.contains(n))
    }

    fn has(&self, mnemonics: &[Mnemonic]) -> bool {
        let found = |i: &Instruction| mnemonics.contains(&i.mnemonic());
        self.case.instructions().any(|i| found(&i)) || self.path.iter().chain(&self.at_here).any(found)
    }

    fn vectors(&self) -> (u32, u32) {
        (self.here[record::INFO] & 0xff, self.there[record::INFO] & 0xff)
    }

    fn same(&self, n: usize) -> bool {
        self.here[n] == self.there[n]
    }

    /// A debug exception on both sides, and nothing differs but RF as it was saved, which is set here.
    fn rf_here_only(&self) -> bool {
        const RF: u32 = 1 << 16;
        let (here, there) = (self.here[record::FLAGS], self.there[record::FLAGS]);
        here ^ there == RF && here & RF != 0 && self.vectors() == (1, 1) && self.only(&["eflags"])
    }

    /// Differing words of the frame of the handler, or of the page tables.
    fn frame_or_tables(&self) -> bool {
        let frame = |at: u32| (arena::STACKS..arena::STACKS + 0x400).contains(&(at - ARENA));
        // On any stack, the number of the vector, which the handler pushes.
        let (here, there) = self.vectors();
        let number = |words: &(Option<u32>, Option<u32>)| match words {
            (Some(a), Some(b)) => (0..4).any(|byte| a ^ b == (here ^ there) << (8 * byte)),
            _ => false,
        };
        self.memory.iter().all(|(at, words)| frame(*at) || self.is_table(*at) || number(words))
    }

    fn is_table(&self, at: u32) -> bool {
        at >= ARENA + arena::DIRECTORY
    }

    /// The instruction that ended it here goes on into another page, or is none of the sequence's.
    fn crosses(&self) -> bool {
        let start =
            self.case.word(case::CODE_AT).wrapping_add(self.here[record::EIP].wrapping_sub(self.case.eip));
        self.at_here.is_none_or(|i| start >> 12 != (start.wrapping_add(i.len() as u32 - 1)) >> 12)
    }

    /// Nothing but A and D differs.
    fn tables_only(&self) -> bool {
        self.memory.keys().all(|at| self.is_table(*at)) && self.accessed_and_dirty()
    }

    /// In page tables only A and D differ.
    fn accessed_and_dirty(&self) -> bool {
        self.memory.iter().filter(|(at, _)| self.is_table(**at)).all(|(_, (a, b))| match (a, b) {
            (Some(a), Some(b)) => (a ^ b) & !0x60 == 0,
            _ => true,
        })
    }
}

fn arpl(p: &Pair<'_>) -> bool {
    if !p.has(&[Mnemonic::Arpl]) {
        return false;
    }
    // Without a fault of its own it has set D.
    if p.only(&["memory"]) && p.tables_only() {
        return true;
    }
    p.at_there.is_some_and(|i| i.mnemonic() == Mnemonic::Arpl) && matches!(p.vectors().1, 12 | 13 | 14 | AC)
}

/// Reads several words that belong together.
fn of_parts(i: &Instruction) -> bool {
    matches!(i.mnemonic(), Mnemonic::Lds | Mnemonic::Les | Mnemonic::Lss | Mnemonic::Lfs | Mnemonic::Lgs)
        || matches!(i.mnemonic(), Mnemonic::Retf | Mnemonic::Iret | Mnemonic::Iretd)
        || matches!(i.mnemonic(), Mnemonic::Fldenv | Mnemonic::Frstor | Mnemonic::Fnstenv | Mnemonic::Fnsave)
        || matches!(i.code(), Code::Call_m1616 | Code::Call_m1632 | Code::Jmp_m1616 | Code::Jmp_m1632)
}

fn pointer_order(p: &Pair<'_>) -> bool {
    let pointer = p.at_here.is_some_and(|i| of_parts(&i));
    let longest = if p.at_here.is_some_and(|i| i.op0_kind() == OpKind::Memory) { 108 } else { 16 };
    let near = p.there[record::CR2].wrapping_sub(p.here[record::CR2]) <= longest;
    let same_fault = p.same(record::INFO) && p.same(record::EIP);
    let (here, there) = p.vectors();
    // Both parts fault, each in its own way.
    if pointer
        && p.same(record::EIP)
        && matches!(here, 12..=14 | AC)
        && matches!(there, 12..=14 | AC)
        && p.only(&["vector", "error code", "cr2", "memory"])
        && p.frame_or_tables()
    {
        return true;
    }
    let rights = p.only(&["cr2", "error code", "memory"]) && p.frame_or_tables() && p.accessed_and_dirty();
    let double =
        p.vectors() == (8, 8) && p.only(&["cr2"]) && near && p.case.instructions().any(|i| of_parts(&i));
    double || pointer && same_fault && near && (p.only(&["cr2"]) || rights)
}

fn absent_stack(p: &Pair<'_>) -> bool {
    let returns =
        p.at_here.is_some_and(|i| matches!(i.mnemonic(), Mnemonic::Iret | Mnemonic::Iretd | Mnemonic::Retf));
    returns
        && p.same(record::EIP)
        && p.vectors() == (12, 11)
        && p.same(record::ERROR)
        && p.only(&["vector", "memory"])
}

fn call_limit(p: &Pair<'_>) -> bool {
    let (here, there) = p.vectors();
    p.at_here.is_some_and(|i| i.mnemonic() == Mnemonic::Call)
        && p.same(record::EIP)
        && here == 13
        && p.here[record::ERROR] == 0
        && matches!(there, 12..=14 | AC)
        && p.only(&["vector", "error code", "cr2", "memory"])
}

fn gate_limit(p: &Pair<'_>) -> bool {
    let gate = p.at_here.is_some_and(|i| {
        matches!(i.mnemonic(), Mnemonic::Int | Mnemonic::Into | Mnemonic::Int3 | Mnemonic::Call)
    });
    gate && p.same(record::EIP)
        && p.vectors() == (12, 13)
        && p.there[record::ERROR] == 0
        && p.only(&["vector", "error code", "memory"])
        && p.frame_or_tables()
}

fn v86_popf(p: &Pair<'_>) -> bool {
    let (here, there) = p.vectors();
    p.at_here.is_some_and(|i| matches!(i.mnemonic(), Mnemonic::Popf | Mnemonic::Popfd))
        && p.here[record::FLAGS] & VM != 0
        && p.same(record::EIP)
        && (here, p.here[record::ERROR]) == (13, 0)
        && (matches!(there, 12 | 14 | AC) || p.only(&["memory"]) && p.tables_only())
}

fn partial_frame(p: &Pair<'_>) -> bool {
    let pushes = p.at_here.is_some_and(|i| {
        matches!(
            i.mnemonic(),
            Mnemonic::Call
                | Mnemonic::Int
                | Mnemonic::Into
                | Mnemonic::Int3
                | Mnemonic::Int1
                | Mnemonic::Pusha
                | Mnemonic::Pushad
                | Mnemonic::Enter
        )
    });
    // Only in what it does to memory, and only there.
    let all = (pushes || p.has(&[Mnemonic::Pusha, Mnemonic::Pushad]))
        && p.same(record::EIP)
        && matches!(p.vectors(), (12, 14) | (14, 12))
        && p.only(&["vector", "error code", "cr2", "memory"]);
    let none_here = p.here[record::CR2] == p.case.word(case::CR2);
    all || p.vectors() == (8, 8) && p.only(&["cr2", "memory"]) && none_here || pushes
        && p.only(&["memory"])
        && matches!(p.vectors().0, 10 | 12 | 13 | 14 | AC)
        && p.accessed_and_dirty()
        // A double fault tells of the first one only what it wrote.
        || p.vectors() == (8, 8)
            && p.only(&["memory"])
}

fn inner_stack(p: &Pair<'_>) -> bool {
    // What the upper half is left from: the harness's own stack, or what the case had.
    let esp = record::EAX + 4;
    let changed = p.here[esp] ^ p.there[esp];
    let upper = (STACK_TOP - 1) >> 16;
    let left = |v: u32| v == changed || (0..4).any(|byte| v == upper << (8 * byte));
    p.only(&["esp", "ebp", "memory"])
        && changed & 0xffff == 0
        && p.memory.len() <= 3
        && p.memory.values().all(|(a, b)| left(a.unwrap_or(0) ^ b.unwrap_or(0)))
}

fn enter(p: &Pair<'_>) -> bool {
    // That of the case, or what entering an outer ring has left of the harness's own stack.
    let uppers = [p.case.word(case::ESP) >> 16, (STACK_TOP - 1) >> 16];
    let moved = |n: usize| (p.here[n] ^ p.there[n]) & 0xffff == 0 && uppers.contains(&(p.there[n] >> 16));
    if !p.has(&[Mnemonic::Enter]) {
        return false;
    }
    // Where EBP still shows it, the rest follows from addresses that it was part of.
    let ebp = record::EAX + 5;
    if !p.same(ebp) {
        return moved(ebp);
    }
    let registers = ["eax", "ecx", "edx", "ebx", "esi", "edi"];
    p.names.iter().all(|n| registers.contains(n))
        && (record::EAX..record::EAX + 8).all(|n| p.same(n) || moved(n))
}

fn long_v86(p: &Pair<'_>) -> bool {
    p.at_here.is_some_and(|i| i.mnemonic() == Mnemonic::Iretd)
        && p.here[record::INFO] == 13
        && p.here[record::ERROR] == 0
        && p.there[record::FLAGS] & VM != 0
        && (p.here[record::FLAGS] & VM == 0 || p.there[record::EIP] > 0xffff)
}

fn call_rights(p: &Pair<'_>) -> bool {
    let (here, there) = p.vectors();
    let user = p.here[record::ERROR] & 4 != 0;
    let rights = here == 14
        && user
        && ((there, p.same(record::EIP)) != (14, true) || p.only(&["error code", "cr2", "memory"]));
    p.at_here.is_some_and(|i| i.mnemonic() == Mnemonic::Call) && (here == AC || rights)
}

fn other_page(p: &Pair<'_>) -> bool {
    let offered = |f: &CpuidFeature| {
        !matches!(f, CpuidFeature::MMX | CpuidFeature::SSE | CpuidFeature::SSE2 | CpuidFeature::MULTIBYTENOP)
    };
    let beyond = p.at_here.is_some_and(|i| !i.cpuid_features().iter().all(offered));
    // There it goes on, and may come to the next of them.
    beyond && p.here[record::INFO] == 6 && (p.there[record::INFO] != 6 || !p.same(record::EIP))
}

fn task_order(p: &Pair<'_>) -> bool {
    let tables = |at: u32| (arena::GDT..arena::TSS).contains(&(at - ARENA));
    let failed = |v: u32| matches!(v, 10..=12);
    let (here, there) = p.vectors();
    let marked = |at: u32| (arena::GDT..arena::TSS).contains(&(at - ARENA)) && at & 4 != 0;
    // Or the frame did not fit on a stack that is marked already.
    if here == there
        && matches!(here, 8 | 10..=14)
        && p.only(&["memory"])
        && p.memory.keys().all(|at| marked(*at))
    {
        return true;
    }
    failed(here)
        && failed(there)
        && p.same(record::EIP)
        && p.here[record::SYSTEM] >> 16 != selector::TSS
        && p.only(&["vector", "error code", "memory"])
        && p.memory.keys().all(|at| tables(*at) || (arena::STACKS..arena::GDT).contains(&(at - ARENA)))
}

fn repeated_flags(p: &Pair<'_>) -> bool {
    let compares = p.at_here.is_some_and(|i| {
        (i.has_rep_prefix() || i.has_repne_prefix())
            && matches!(
                i.mnemonic(),
                Mnemonic::Cmpsb
                    | Mnemonic::Cmpsw
                    | Mnemonic::Cmpsd
                    | Mnemonic::Scasb
                    | Mnemonic::Scasw
                    | Mnemonic::Scasd
            )
    });
    compares && p.only(&["eflags"]) && p.vectors().0 != 3
}

fn step_of_repeated(p: &Pair<'_>) -> bool {
    let repeats = p.at_here.is_some_and(|i| i.has_rep_prefix() || i.has_repne_prefix());
    repeats && p.rf_here_only()
}

fn general_detect(p: &Pair<'_>) -> bool {
    const BD: u32 = 1 << 13;
    p.rf_here_only() && p.here[record::DR + 4] & BD != 0
}

fn step_into_task(p: &Pair<'_>) -> bool {
    const TF: u32 = 1 << 8;
    const BS: u32 = 1 << 14;
    let dr6 = record::DR + 4;
    let far = |i: &Instruction| {
        matches!(i.code(), Code::Call_m1616 | Code::Call_m1632 | Code::Jmp_m1616 | Code::Jmp_m1632)
            || matches!(
                i.code(),
                Code::Call_ptr1616 | Code::Call_ptr1632 | Code::Jmp_ptr1616 | Code::Jmp_ptr1632
            )
            || matches!(i.mnemonic(), Mnemonic::Iret | Mnemonic::Iretd)
    };
    // One instruction, which left the task, and a trap after it that says why.
    let switched = p.path_is_known && matches!(p.path.as_slice(), [one] if far(one));
    switched
        && p.case.word(case::FLAGS) & TF != 0
        && p.here[record::SYSTEM] >> 16 != selector::TSS
        && p.vectors().0 == 1
        && p.here[dr6] & BS != 0
        && p.there[dr6] & BS == 0
}

fn step_clears(p: &Pair<'_>) -> bool {
    let dr6 = record::DR + 4;
    let stepped = [p.here, p.there].iter().all(|r| r[dr6] & 1 << 14 != 0);
    stepped && p.only(&["dr6"]) && (p.here[dr6] ^ p.there[dr6]) & !0x800f == 0 && p.there[dr6] & 0x800f == 0
}

fn odd_pusha(p: &Pair<'_>) -> bool {
    p.at_here.is_some_and(|i| matches!(i.mnemonic(), Mnemonic::Pusha | Mnemonic::Pushad))
        && p.here[record::FLAGS] & VM != 0
        && p.same(record::EIP)
        && p.vectors() == (13, 12)
        && p.only(&["vector", "memory"])
}

fn wrapped_call(p: &Pair<'_>) -> bool {
    let esp = p.there[record::EAX + 4] & 0xffff;
    p.at_there.is_some_and(|i| i.is_call_far() || i.is_call_far_indirect())
        && p.there[record::INFO] == 12
        && !p.same(record::EIP)
        && esp < 8
}

fn own_code(p: &Pair<'_>) -> bool {
    let repeats = p.case.instructions().any(|i| {
        (i.has_rep_prefix() || i.has_repne_prefix())
            && matches!(
                i.mnemonic(),
                Mnemonic::Movsb
                    | Mnemonic::Movsw
                    | Mnemonic::Movsd
                    | Mnemonic::Stosb
                    | Mnemonic::Stosw
                    | Mnemonic::Stosd
            )
    });
    let code = p.case.word(case::CODE_AT);
    let touched = |r: &[u32]| {
        changes(p.case, r).keys().any(|at| (code & !3..code + case::CODE_BYTES as u32).contains(at))
    };
    // More than is reported: it went through everything.
    let all = |r: &[u32]| r[record::CHANGES] as usize > record::MOST_CHANGES;
    repeats && [p.here, p.there].into_iter().any(|r| touched(r) || all(r))
}

fn prefetch(p: &Pair<'_>) -> bool {
    p.crosses()
        && p.only(&["memory"])
        && p.tables_only()
        && p.here[record::INFO] == 13
        && p.here[record::ERROR] == 0
}

fn wrapped_return(p: &Pair<'_>) -> bool {
    let sp = p.there[record::EAX + 4] & 0xffff;
    let wraps = |i: Instruction| {
        i.mnemonic() == Mnemonic::Retf && i.op_count() == 1 && sp + u32::from(i.immediate16()) > 0xffff
    };
    p.at_here.is_some_and(wraps)
        && p.same(record::EIP)
        && (p.there[record::INFO], p.there[record::ERROR]) == (12, 0)
        && p.only(&["vector", "error code", "cr2", "memory"])
}

fn own_answers(p: &Pair<'_>) -> bool {
    let reads = |i: &Instruction| {
        matches!(i.mnemonic(), Mnemonic::In | Mnemonic::Insb | Mnemonic::Insw | Mnemonic::Insd)
            || matches!(i.mnemonic(), Mnemonic::Rdtsc | Mnemonic::Cpuid)
    };
    p.path_is_known && p.path.iter().any(reads) && !p.case.instructions().any(|i| reads(&i))
}

fn machine_checks(p: &Pair<'_>) -> bool {
    const MCE: u32 = 1 << 6;
    p.at_here.is_some_and(|i| i.code() == Code::Mov_cr_r32 && i.op0_register() == Register::CR4)
        && p.crosses()
        && (p.here[record::INFO], p.here[record::ERROR]) == (13, 0)
        && p.there[record::CR4] & MCE != 0
}

/// Where most MSRs lie that are there: those of the time stamp, the APIC, SYSENTER and the MTRRs.
const KNOWN_MSRS: Range<u32> = 0x10..0x300;

fn absent_msr(p: &Pair<'_>) -> bool {
    let passed = p.vectors().1 != 13 || !p.same(record::EIP);
    p.at_here.is_some_and(|i| matches!(i.mnemonic(), Mnemonic::Rdmsr | Mnemonic::Wrmsr))
        && p.crosses()
        && (p.here[record::INFO], p.here[record::ERROR]) == (13, 0)
        && passed
        && !KNOWN_MSRS.contains(&p.here[record::EAX + 1])
}

fn short_ud0(p: &Pair<'_>) -> bool {
    let (here, there) = p.vectors();
    let marked = here == 6 && p.crosses() && p.only(&["memory"]) && p.tables_only();
    let beyond = matches!(here, 13 | 14)
        && p.same(record::EIP)
        && p.only(&["vector", "error code", "cr2", "memory"])
        && p.frame_or_tables();
    p.at_here.is_some_and(|i| i.mnemonic() == Mnemonic::Ud0) && there == 6 && (marked || beyond)
}

fn alignment(p: &Pair<'_>) -> bool {
    let (here, there) = p.vectors();
    let names = ["vector", "error code", "cr2", "memory", "eflags"];
    there == AC && p.same(record::EIP) && matches!(here, 12..=14 | AC) && p.only(&names)
}
