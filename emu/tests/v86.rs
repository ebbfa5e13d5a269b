//! Virtual-8086 mode: what belongs to the monitor, where faults go, ports, segments.
//! (SDM vol. 3B, "8086 Emulation". Without CR4.VME, which CPUID does not offer.)

mod common;
use common::config;
use common::traps::*;
use iced_x86::code_asm::*;
use shootdown_emu::Machine;

const VM: u32 = 1 << 17;
const IF: u32 = 1 << 9;
/// Selector of the code, whose linear address is [`CODE`] + 0x800.
const CS16: u16 = 0x4080;
/// Selector of data: linear [`DATA`].
const DS16: u16 = 0x5000;
const SS16: u16 = 0x6000;
const SP: u16 = 0x800;

/// A machine that enters virtual-8086 mode at CS16:0 with this IOPL, runs the bytes, and ends after so many notes.
fn machine(iopl: u32, code: &[u8], notes: u32) -> Machine {
    let mut a = CodeAssembler::new(32).unwrap();
    for v in
        [0, 0, u32::from(DS16), u32::from(DS16), u32::from(SS16), u32::from(SP), VM | IF | iopl << 12 | 2]
    {
        a.push(v as i32).unwrap();
    }
    a.push(i32::from(CS16)).unwrap();
    a.push(0).unwrap();
    a.iretd().unwrap();
    let mut m = guest(config("p3"), &mut a, notes);
    assert!(m.bus_mut().ram.poke(u64::from(CODE) + 0x800, code));
    m
}

/// (vector, error code, offset) of what the bytes raise first; they end in an instruction that is undefined.
fn first(iopl: u32, code: &[u8]) -> (u32, u32, u32) {
    let mut code = code.to_vec();
    code.extend([0x0f, 0x0b]);
    let mut m = machine(iopl, &code, 1);
    let n = notes(&mut m)[0];
    assert_eq!((n.flags & VM, n.cs), (VM, u32::from(CS16)));
    assert_eq!(n.flags >> 12 & 3, iopl, "IOPL stays");
    // The handler's stack is that of the TSS, with the data segments below SS.
    let top: Vec<u32> = (1..=6).map(|i| common::peek(&m, STACK0 - 4 * i)).collect();
    assert_eq!(top[..5], [0, 0, u32::from(DS16), u32::from(DS16), u32::from(SS16)]);
    (n.vector, n.code, n.eip)
}

const GP: u32 = 13;
const UD: u32 = 6;

#[test]
fn instructions_that_touch_if_need_iopl_3() {
    for iopl in 0..4 {
        for code in [
            &[0xfa][..],                        // cli
            &[0xfb],                            // sti
            &[0x9c],                            // pushf
            &[0x66, 0x9c],                      // pushfd
            &[0x9c, 0x9d],                      // pushf, popf
            &[0x9c, 0x0e, 0x68, 0x06, 0, 0xcf], // pushf, push cs, push 6, iret
        ] {
            let end = code.len() as u32;
            let expected = if iopl == 3 { (UD, 0, end) } else { (GP, 0, 0) };
            assert_eq!(first(iopl, code), expected, "iopl {iopl} {code:02x?}");
        }
        // Alone: popf and iret.
        for code in [&[0x9d][..], &[0x66, 0x9d], &[0xcf], &[0x66, 0xcf]] {
            if iopl < 3 {
                assert_eq!(first(iopl, code), (GP, 0, 0), "iopl {iopl} {code:02x?}");
            }
        }
        let expected = if iopl == 3 { (0x20, 0, 2) } else { (GP, 0, 0) };
        assert_eq!(first(iopl, &[0xcd, 0x20]), expected, "int n");
        // These do not depend on it.
        assert_eq!(first(iopl, &[0xcc]), (3, 0, 1), "int3");
        assert_eq!(first(iopl, &[0xf1]), (1, 0, 1), "int1");
        assert_eq!(first(iopl, &[0xb0, 0x7f, 0x04, 1, 0xce]), (4, 0, 5), "into");
        assert_eq!(first(iopl, &[0xce]), (UD, 0, 1), "into without overflow");
    }
}

#[test]
fn privileged_and_protected_mode_instructions() {
    for code in [
        &[0xf4][..],               // hlt
        &[0x0f, 0x20, 0xc0],       // mov eax,cr0
        &[0x0f, 0x22, 0xc0],       // mov cr0,eax
        &[0x0f, 0x21, 0xf8],       // mov eax,dr7
        &[0x0f, 0x01, 0x16, 0, 0], // lgdt [0]
        &[0x0f, 0x01, 0x1e, 0, 0], // lidt [0]
        &[0x0f, 0x01, 0x36, 0, 0], // lmsw [0]
        &[0x0f, 0x01, 0x3e, 0, 0], // invlpg [0]
        &[0x0f, 0x06],             // clts
        &[0x0f, 0x08],             // invd
        &[0x0f, 0x30],             // wrmsr
        &[0x0f, 0x33],             // rdpmc
        &[0x0f, 0x35],             // sysexit
    ] {
        assert_eq!(first(3, code), (GP, 0, 0), "{code:02x?}");
    }
    for code in [
        &[0x0f, 0x00, 0xc0][..], // sldt ax
        &[0x0f, 0x00, 0xc8],     // str ax
        &[0x0f, 0x00, 0xd0],     // lldt ax
        &[0x0f, 0x00, 0xd8],     // ltr ax
        &[0x0f, 0x00, 0xe0],     // verr ax
        &[0x0f, 0x02, 0xc0],     // lar ax,ax
        &[0x0f, 0x03, 0xc0],     // lsl ax,ax
        &[0x63, 0xc0],           // arpl ax,ax
    ] {
        assert_eq!(first(3, code), (UD, 0, 0), "{code:02x?}");
    }
    // smsw and sgdt are free.
    assert_eq!(first(0, &[0x0f, 0x01, 0xe0]), (UD, 0, 3));
    assert_eq!(first(0, &[0x0f, 0x01, 0x06, 0, 0]), (UD, 0, 5));
}

#[test]
fn ports_ask_the_bitmap_whatever_iopl_says() {
    for iopl in [0, 3] {
        for (allowed, code, ok) in [
            (0x80u32, &[0xe6, 0x80][..], true),
            (0x80, &[0xe6, 0x70], false),
            (0x70, &[0xe4, 0x70], true),
            (0x70, &[0xe5, 0x70], false), // a word: 71 is forbidden
        ] {
            let mut code = code.to_vec();
            let end = code.len() as u32;
            code.extend([0x0f, 0x0b]);
            let mut m = machine(iopl, &code, 1);
            let byte = TSS + 0x68 + allowed / 8;
            assert!(m.bus_mut().ram.poke(u64::from(byte), &[!(1u8 << (allowed & 7))]));
            let n = notes(&mut m)[0];
            let expected = if ok { (UD, end) } else { (GP, 0) };
            assert_eq!((n.vector, n.eip), expected, "iopl {iopl} {code:02x?}");
        }
    }
}

#[test]
fn segments_are_those_of_an_8086() {
    // mov ax,1234h; mov es,ax; mov word es:[0x10],5678h; mov al,[0xffff]: all allowed.
    let code =
        [0xb8, 0x34, 0x12, 0x8e, 0xc0, 0x26, 0xc7, 0x06, 0x10, 0, 0x78, 0x56, 0xa0, 0xff, 0xff, 0x0f, 0x0b];
    let mut m = machine(0, &code, 1);
    let n = notes(&mut m)[0];
    assert_eq!((n.vector, n.eip), (UD, 15));
    assert_eq!(common::peek(&m, 0x1_2350) & 0xffff, 0x5678);
    // A word at FFFFh leaves the segment: #GP, and #SS on the stack; both without code.
    assert_eq!(first(0, &[0xa1, 0xff, 0xff]), (GP, 0, 0));
    assert_eq!(first(0, &[0x36, 0xa1, 0xff, 0xff]), (12, 0, 0));
    // An address of 32 bits beyond 64 KiB: mov al,[0x10000].
    assert_eq!(first(0, &[0x67, 0xa0, 0, 0, 1, 0]), (GP, 0, 0));
    // Far transfers go by paragraph: jmp 4081:0 is sixteen bytes further, where the ud2 is.
    let mut code = vec![0xea, 0, 0, 0x81, 0x40];
    code.resize(16, 0x90);
    code.extend([0x0f, 0x0b]);
    let mut m = machine(0, &code, 1);
    let n = notes(&mut m)[0];
    assert_eq!((n.vector, n.cs, n.eip), (UD, 0x4081, 0));
}

#[test]
fn the_way_back_restores_everything() {
    // int3 (the handler returns), then mov ax,ds; push ax; pushes show that DS is as before; then ud2.
    let mut m = machine(3, &[0xcc, 0x8c, 0xd8, 0x50, 0x9c, 0x0f, 0x0b], 2);
    let n = notes(&mut m);
    assert_eq!((n[0].vector, n[1].vector, n[1].eip), (3, UD, 5));
    let stack = common::peek(&m, (u32::from(SS16) << 4) + u32::from(SP) - 4);
    assert_eq!(stack >> 16, u32::from(DS16));
    assert_eq!(stack & 0x7200, 0x3200, "the flags pushed in the mode: IOPL and IF");
}

#[test]
fn popf_and_iret_leave_iopl_and_vm() {
    // push 0; popf; then pushfd.
    let mut m = machine(3, &[0x6a, 0, 0x9d, 0x66, 0x9c, 0x0f, 0x0b], 1);
    let n = notes(&mut m)[0];
    assert_eq!((n.vector, n.flags & (VM | IF | 0x3000)), (UD, VM | 0x3000), "IF was cleared, IOPL was not");
    // push 0; push cs; push 6; iret.
    let mut m = machine(3, &[0x6a, 0, 0x0e, 0x6a, 0x06, 0xcf, 0x0f, 0x0b], 1);
    let n = notes(&mut m)[0];
    assert_eq!((n.vector, n.eip, n.flags & (VM | IF | 0x3000)), (UD, 6, VM | 0x3000));
}

#[test]
fn a_handler_must_run_in_ring_0() {
    // The gate leads to ring 3: #GP with the selector of its code.
    let mut m = machine(3, &[0xcd, 0x20, 0x0f, 0x0b], 1);
    put(&mut m, IDT + 8 * 0x20, u32::from(CODE3 & !3) << 16);
    let n = notes(&mut m)[0];
    assert_eq!((n.vector, n.code), (GP, u32::from(CODE3 & !3)));
    // A gate that ring 3 may not use.
    let mut m = machine(3, &[0xcd, 0x20, 0x0f, 0x0b], 1);
    let old = common::peek(&m, IDT + 8 * 0x20 + 4);
    put(&mut m, IDT + 8 * 0x20 + 4, old & !0x6000);
    let n = notes(&mut m)[0];
    assert_eq!((n.vector, n.code), (GP, 0x20 * 8 + 2));
}

#[test]
fn faults_of_the_operands_are_saved_there() {
    // div by zero: mov bl,0; div bl
    assert_eq!(first(0, &[0xb3, 0, 0xf6, 0xf3]), (0, 0, 2));
    // bound ax,[0] with zero bounds: mov ax,5; bound ax,[0x100]
    assert_eq!(first(0, &[0xb8, 5, 0, 0x62, 0x06, 0, 1]), (5, 0, 3));
    // lock nop
    assert_eq!(first(0, &[0xf0, 0x90]), (UD, 0, 0));
}

#[test]
fn vme_stays_reserved() {
    let mut a = CodeAssembler::new(32).unwrap();
    for bit in [1, 2] {
        a.mov(eax, bit).unwrap();
        a.mov(cr4, eax).unwrap();
    }
    let n = notes(&mut guest(config("p3"), &mut a, 1))[0];
    assert_eq!((n.vector, n.code, n.eip), (GP, 0, CODE + 5));
}
