# Entry and exit of all interrupts and exceptions. Each vector has a stub of 16
# bytes that pushes its number, and a zero where the processor pushes no error
# code, so that every trap frame looks like `TrapFrame` in trap.rs.

.section .text.trap, "ax"
.globl vector_stubs, trap_return

.set VECTOR, 0
.balign 16
vector_stubs:
.rept 256
    .balign 16
    # 8, 10-14 and 17 have an error code
    .if (VECTOR == 8) || ((VECTOR >= 10) && (VECTOR <= 14)) || (VECTOR == 17)
    .else
    push 0
    .endif
    .byte 0x68                          # push imm32
    .long VECTOR
    jmp trap_common
    .set VECTOR, VECTOR + 1
.endr

trap_common:
    pushad
    .byte 0x1e                          # push ds, 32 bits wide (the assembler would make it 16)
    .byte 0x06                          # push es
    mov eax, 0x10                       # KERNEL_DATA
    mov ds, eax
    mov es, eax
    cld
    push esp
    call trap_entry
    add esp, 4

# esp points to a TrapFrame, interrupts are off
trap_return:
    .byte 0x07                          # pop es
    .byte 0x1f                          # pop ds
    popad
    add esp, 8
    iretd
