/* A bare core of QEMU: floating point on, a stack, main. */
    .section .bss
    .balign 16
    .space 65536
stack:
    .text
    .global _start
    .type _start, %function
#ifdef __aarch64__
_start:
    mov x0, #(3 << 20)
    msr cpacr_el1, x0
    isb
    ldr x0, =stack
    mov sp, x0
    bl main
    bl leave
#else
    .arm
_start:
    mrc p15, 0, r0, c1, c0, 2
    orr r0, r0, #(0xF << 20)
    mcr p15, 0, r0, c1, c0, 2
    isb
    mov r0, #0x40000000
    vmsr fpexc, r0
    ldr sp, =stack
    bl main
    bl leave
#endif
    .section .note.GNU-stack, "", %progbits
