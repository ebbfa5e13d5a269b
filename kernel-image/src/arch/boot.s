# Entry from a Multiboot 1 loader: 32-bit protected mode, flat segments of the
# loader's own descriptor table, paging off, interrupts off, eax = magic,
# ebx = physical address of the information structure.
#
# Builds page tables of 4 MiB pages in one page directory, just enough to run:
#   0x0000_0000 -> physical 0, 4 MiB     the code that turns paging on
#   0x4000_0000, 0x8000_0000, 0xC000_0000 -> physical 0, 1 GiB (the last: 992 MiB)
#                                        what the loader left; early memory, wherever split= puts it
#   0xFE80_0000 -> physical 0, 8 MiB     the kernel image
# and goes on in Rust on CPU 0's idle stack. `mm::init` replaces the tables.

.set IMAGE_BASE, 0xFE800000
.set LARGE, 0x83                        # present, writable, 4 MiB

.section .multiboot, "a"
.balign 4
    .long 0x1BADB002                    # magic
    .long 3                             # modules page aligned, memory information
    .long -(0x1BADB002 + 3)             # checksum

.section .bss.page_aligned, "aw", @nobits
.balign 4096
boot_page_directory:
    .skip 4096

.section .text.boot, "ax"
.globl boot_entry
boot_entry:
    cld
    mov edx, eax

    lea edi, [boot_page_directory - IMAGE_BASE]
    mov eax, LARGE
    mov dword ptr [edi], eax            # identity
    mov dword ptr [edi + 0x3FA * 4], eax
    mov dword ptr [edi + 0x3FB * 4], 0x400000 | LARGE
    mov ecx, 0x3F8 - 0x100
    lea esi, [edi + 0x100 * 4]
1:  mov [esi], eax
    add esi, 4
    add eax, 0x400000
    and eax, 0x3FFFFFFF                 # from physical 0 again, each GiB
    loop 1b

    mov eax, cr4
    or eax, 0x10                        # PSE
    mov cr4, eax
    mov cr3, edi
    mov eax, 0x80010035                 # PG, WP, NE, ET, EM, PE
    mov cr0, eax
    lea ecx, [2f]
    jmp ecx

2:  lea esp, [boot_stack + 8192]        # STACK_SIZE
    xor ebp, ebp
    push ebx
    push edx
    call boot_main
