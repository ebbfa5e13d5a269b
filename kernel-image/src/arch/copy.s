# Copies one of whose addresses is the user's, twice the same: what becomes of a
# fault in one hangs on which of them it is (copy.rs). By string instructions as
# `memcpy` (string.s), so that either way a copy costs the same; one that faults
# goes on at the word at which it was interrupted.

.macro COPY name
.balign 16
.globl \name, \name\()_end
# (to, from, bytes) on the stack; eax: 0, or 1 if it was given up
\name:
    push edi
    push esi
    mov edi, [esp + 12]
    mov esi, [esp + 16]
    mov edx, [esp + 20]
    mov ecx, edx
    shr ecx, 2
    rep movsd
    mov ecx, edx
    and ecx, 3
    jz 1f
    rep movsb
1:  xor eax, eax
    pop esi
    pop edi
    ret
# From above a fault leads here, with the stack as it was.
\name\()_end:
    mov eax, 1
    pop esi
    pop edi
    ret
.endm

.section .text.copy, "ax"
COPY copy_if_there
COPY copy_and_repair
