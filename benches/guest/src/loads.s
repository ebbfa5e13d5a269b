# The loads whose instructions are counted by hand. C calling convention.

.text

# u32 load_integer(u32 n): about 36 instructions a round, registers only (and the stack for call and ret).
.globl load_integer
.type load_integer, @function
load_integer:
    push ebx
    push esi
    push edi
    push ebp
    mov ebp, [esp + 20]
    mov eax, 0x12345678
    mov ebx, 0x9e3779b9
    mov ecx, 1
    xor edx, edx
    xor esi, esi
    xor edi, edi
.balign 16
7:
    add eax, ebx
    xor edx, eax
    shl edx, 3
    lea esi, [esi + eax*4 + 5]
    imul ecx, esi
    add ecx, 7
    cmp ecx, edx
    jb 2f
    sub edx, ecx
    xor edi, edx
2:
    mov edx, eax
    shr edx, 11
    xor eax, edx
    call 5f
    test eax, 1
    jz 3f
    inc edi
    not esi
3:
    and edx, 0xffff
    or edx, 0x10
    sub esi, edx
    rol ebx, 7
    adc edi, 0
    cmp esi, edi
    setg dl
    movzx edx, dl
    add eax, edx
    call 5f
    dec ebp
    jnz 7b
    add eax, edi
    add eax, ecx
    pop ebp
    pop edi
    pop esi
    pop ebx
    ret
5:
    xor ecx, eax
    add edi, ecx
    neg ecx
    ret
.size load_integer, . - load_integer

# u32 load_walk(u32 n, u32 *memory, u32 pages): n rounds over all pages, 10 instructions a page:
# one word read, one written back to the same page.
.globl load_walk
.type load_walk, @function
load_walk:
    push ebx
    push esi
    push edi
    push ebp
    mov ebp, [esp + 20]
    mov edi, [esp + 28]
    xor edx, edx
7:
    mov esi, [esp + 24]
    mov ecx, edi
    xor ebx, ebx
.balign 16
2:
    mov eax, [esi + ebx]
    add edx, eax
    rol edx, 5
    xor eax, edx
    mov [esi + ebx], eax
    add ebx, 64                 # another line in each page
    and ebx, 0xfc0
    add esi, 4096
    dec ecx
    jnz 2b
    dec ebp
    jnz 7b
    mov eax, edx
    pop ebp
    pop edi
    pop esi
    pop ebx
    ret
.size load_walk, . - load_walk

# u32 load_kmap(u32 n, u32 *ptes, u32 window, u32 first_pte): n maps of 110 instructions.
# 64 slots in turn, 1024 frames in turn; 64 bytes of the page are read and written by words.
.globl load_kmap
.type load_kmap, @function
load_kmap:
    push ebx
    push esi
    push edi
    push ebp
    mov ebp, [esp + 20]
    mov edi, [esp + 24]
    xor ebx, ebx                # number of the map
    xor edx, edx
.balign 16
7:
    mov esi, ebx
    and esi, 63                 # slot
    mov eax, ebx
    and eax, 1023
    shl eax, 12
    add eax, [esp + 32]         # new PTE
    mov [edi + esi*4], eax
    shl esi, 12
    add esi, [esp + 28]         # the slot's address
    invlpg [esi]
    xor ecx, ecx
2:
    mov eax, [esi + ecx*4]
    add edx, eax
    mov [esi + ecx*4], edx
    inc ecx
    cmp ecx, 16
    jb 2b
    inc ebx
    cmp ebx, ebp
    jb 7b
    mov eax, edx
    pop ebp
    pop edi
    pop esi
    pop ebx
    ret
.size load_kmap, . - load_kmap

# void load_shootdown(u32 n, u32 targets, u32 page): n rounds of one broadcast IPI to all others, all acknowledged.
.globl load_shootdown
.type load_shootdown, @function
load_shootdown:
    push ebx
    mov ecx, [esp + 8]
    mov ebx, [esp + 12]
    mov edx, [esp + 16]
7:
    mov [shootdown_page], edx
    mov [shootdown_pending], ebx
    mov dword ptr [0xfee00300], 0x000c4040  # ICR: all but self, fixed, assert, vector 0x40
    invlpg [edx]
2:
    pause
    cmp dword ptr [shootdown_pending], 0
    jne 2b
    dec ecx
    jnz 7b
    pop ebx
    ret
.size load_shootdown, . - load_shootdown

# void poll_until_stop(): a target, busy with interrupts on.
.globl poll_until_stop
.type poll_until_stop, @function
poll_until_stop:
    sti
7:
    pause
    cmp dword ptr [shootdown_stop], 0
    je 7b
    cli
    ret
.size poll_until_stop, . - poll_until_stop
