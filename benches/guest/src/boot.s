# Entry from the boot loader, entry of the other processors, and the interrupt stubs.

.section .multiboot, "a"
.balign 4
    .long 0x1badb002            # Multiboot-1 magic
    .long 2                     # flags: memory map wanted (so that mem_* is there); ELF addresses are used
    .long -(0x1badb002 + 2)

.text
.globl _start
.type _start, @function
_start:
    cli
    cld
    lgdt [gdt_pointer]
    # Multiboot leaves ESP undefined.
    mov esp, offset boot_stack_top
    # A far return instead of a far jump: it takes the selector from the stack.
    push 0x08
    mov ecx, offset reload
    push ecx
    retf
reload:
    mov cx, 0x10
    mov ds, cx
    mov es, cx
    mov ss, cx
    mov fs, cx
    mov gs, cx
    mov esp, offset boot_stack_top
    xor ebp, ebp
    sub esp, 8
    push ebx                    # Multiboot information
    push eax                    # Multiboot magic
    call {main}
3:  cli
    hlt
    jmp 3b
.size _start, . - _start

# Turns on paging with the directory whose address is the argument, and loads the IDT.
.globl load_tables
.type load_tables, @function
load_tables:
    mov eax, [esp + 4]
    mov cr3, eax
    mov eax, cr0
    or eax, 0x80010000          # PG, WP
    mov cr0, eax
    jmp 2f
2:  lidt [idt_pointer]
    ret
.size load_tables, . - load_tables

# Where a processor wakes up, copied to 0x8000. The descriptor table pointer is at 0x8f00.
.section .text16, "ax"
.code16
.globl trampoline
.globl trampoline_end
trampoline:
    cli
    xor ax, ax
    mov ds, ax
    .byte 0x66, 0x0f, 0x01, 0x16    # lgdt [0x8f00] with a 32-bit base
    .word 0x8f00
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xea                # far jump to 32 bits
    .long ap_entry
    .word 0x08
trampoline_end:
.code32

.text
.type ap_entry, @function
ap_entry:
    mov cx, 0x10
    mov ds, cx
    mov es, cx
    mov ss, cx
    mov fs, cx
    mov gs, cx
    # Each takes the next stack.
    mov eax, 1
    lock xadd [ap_count], eax
    inc eax
    shl eax, 12
    add eax, offset ap_stacks
    mov esp, eax
    push dword ptr [ap_directory]
    call load_tables
    pop eax
    call {ap_main}
3:  cli
    hlt
    jmp 3b
.size ap_entry, . - ap_entry

# Interrupt stubs.
.globl flush_stub
.type flush_stub, @function
flush_stub:
    push eax
    mov eax, [shootdown_page]
    invlpg [eax]
    lock dec dword ptr [shootdown_pending]
    mov dword ptr [0xfee000b0], 0   # EOI
    pop eax
    iretd
.size flush_stub, . - flush_stub

.globl spurious_stub
.type spurious_stub, @function
spurious_stub:
    iretd
.size spurious_stub, . - spurious_stub

.globl fault_stub
.type fault_stub, @function
fault_stub:
    cld
    call {fault}
.size fault_stub, . - fault_stub

.section .data
.balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff        # 0x08 code, flat, ring 0
    .quad 0x00cf93000000ffff        # 0x10 data
gdt_end:
.globl gdt_pointer
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
.balign 4
.globl idt_pointer
idt_pointer:
    .word 256 * 8 - 1
    .long idt

.section .bss
.balign 4096
.globl boot_stack_top
.skip 16384
boot_stack_top:
.globl ap_stacks
ap_stacks:
.skip 64 * 4096
.globl idt
idt:
.skip 256 * 8
.globl ap_count
ap_count: .skip 4
.globl ap_directory
ap_directory: .skip 4
.globl shootdown_page
shootdown_page: .skip 4
# Two lines of their own: they are what the processors share.
.balign 64
.globl shootdown_pending
shootdown_pending: .skip 64
.globl shootdown_stop
shootdown_stop: .skip 64
.text
