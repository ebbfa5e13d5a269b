# Where an application processor begins (SDM vol. 3A, "MP Initialization"): the
# start-up IPI with vector v makes it run in real mode at v * 4096. `smp.rs`
# copies ap_trampoline..ap_trampoline_end to TRAMPOLINE_PHYS and fills in the
# parameters for one processor at a time.

.set TRAMPOLINE, 0x8000

.section .rodata.trampoline, "a"
.globl ap_trampoline, ap_trampoline_end, ap_parameters
.balign 16
.code16
ap_trampoline:
    cli
    cld
    xor ax, ax
    mov ds, ax
    .byte 0x66, 0x0f, 0x01, 0x16        # lgdt, 32-bit base, 16-bit address
    .word TRAMPOLINE + (ap_gdtr - ap_trampoline)
    mov eax, cr0
    or al, 1                            # PE
    mov cr0, eax
    .byte 0x66, 0xea                    # far jump to the 32-bit code segment
    .long TRAMPOLINE + (1f - ap_trampoline)
    .word 0x08

.code32
1:  mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    xor ax, ax
    mov fs, ax
    mov gs, ax
    .byte 0xbb                          # mov ebx, imm32
    .long TRAMPOLINE + (ap_parameters - ap_trampoline)
    mov eax, [ebx + 4]
    mov cr4, eax
    mov eax, [ebx]
    mov cr3, eax
    mov eax, 0x80010035                 # PG, WP, NE, ET, EM, PE
    mov cr0, eax
    mov esp, [ebx + 8]
    xor ebp, ebp
    mov eax, [ebx + 12]
    call eax

.balign 8
ap_gdt:
    .quad 0
    .quad 0x00cf9a000000ffff            # flat code
    .quad 0x00cf92000000ffff            # flat data
ap_gdtr:
    .word ap_gdtr - ap_gdt - 1
    .long TRAMPOLINE + (ap_gdt - ap_trampoline)
.balign 4
ap_parameters:                          # see `Parameters` in smp.rs
    .long 0                             # cr3
    .long 0                             # cr4
    .long 0                             # esp
    .long 0                             # eip
ap_trampoline_end:
