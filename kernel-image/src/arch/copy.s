# Copies one of whose addresses is the user's, twice the same: what becomes of a
# fault in one hangs on which of them it is (copy.rs). The loop is that of the
# compiler's `memcpy`, so that either way a copy costs the same.

.macro COPY name
.balign 16
.globl \name, \name\()_end
# (to, from, bytes) on the stack; eax: 0, or 1 if it was given up
\name:
    push ebx
    push edi
    mov ebx, [esp + 12]
    mov ecx, [esp + 16]
    mov edi, [esp + 20]
    mov eax, edi
    and eax, 3                          # bytes behind the last whole word
    sub edi, eax
    add edi, ebx
    cmp ebx, edi
    jae 2f
1:  mov edx, [ecx]
    mov [ebx], edx
    add ebx, 4
    add ecx, 4
    cmp ebx, edi
    jb 1b
2:  add edi, eax
    cmp ebx, edi
    jae 4f
3:  movzx edx, byte ptr [ecx]
    mov [ebx], dl
    inc ebx
    inc ecx
    cmp ebx, edi
    jb 3b
4:  xor eax, eax
    pop edi
    pop ebx
    ret
# From above a fault leads here, with the stack as it was.
\name\()_end:
    mov eax, 1
    pop edi
    pop ebx
    ret
.endm

.section .text.copy, "ax"
COPY copy_if_there
COPY copy_and_repair
