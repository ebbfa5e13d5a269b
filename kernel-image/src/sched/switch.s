# switch_stacks(save: *mut u32, next: u32): keeps the registers that a callee
# has to keep on the old stack, notes where, and takes them from the new one.

.section .text.switch_stacks, "ax"
.globl switch_stacks
switch_stacks:
    mov eax, [esp + 4]
    mov edx, [esp + 8]
    push ebp
    push ebx
    push esi
    push edi
    mov [eax], esp
    mov esp, edx
    pop edi
    pop esi
    pop ebx
    pop ebp
    ret
