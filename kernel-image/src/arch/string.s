# memcpy and memset by string instructions, as Linux 2.4 copies and clears pages on a P6: a start, and two cycles a word.
# The compiler's own go word by word through a loop. DF is clear in the kernel (`trap.s`).

.section .text.memcpy, "ax"
.globl memcpy
memcpy:
    push edi
    push esi
    mov edi, [esp + 12]
    mov esi, [esp + 16]
    mov edx, [esp + 20]
    mov eax, edi
    mov ecx, edx
    shr ecx, 2
    rep movsd
    mov ecx, edx
    and ecx, 3
    jz 1f
    rep movsb
1:  pop esi
    pop edi
    ret

.section .text.memset, "ax"
.globl memset
memset:
    push edi
    mov edi, [esp + 8]
    movzx eax, byte ptr [esp + 12]
    mov edx, [esp + 16]
    imul eax, eax, 0x01010101
    mov ecx, edx
    shr ecx, 2
    rep stosd
    mov ecx, edx
    and ecx, 3
    jz 1f
    rep stosb
1:  mov eax, [esp + 8]
    pop edi
    ret
