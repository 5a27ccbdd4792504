// Macros of the amd64 kernels.

// CONSTANT fills every 16-bit lane of y, whose lower half is x; CONSTANT32 the
// 32-bit ones.
#define CONSTANT(value, x, y) \
	MOVL value, AX     \
	VMOVD AX, x        \
	VPBROADCASTW x, y

#define CONSTANT32(value, x, y) \
	MOVL value, AX     \
	VMOVD AX, x        \
	VPBROADCASTD x, y

// ROUND_BF16 rounds the sixteen float32 in a and b to bf16 in a, in the order that
// the pack leaves: PACKED puts it right. Y15 = 0x7FFF, Y14 = 1 (32-bit).
#define ROUND_BF16(a, b, t, u) \
	VPSRLD $16, a, t     \
	VPSRLD $16, b, u     \
	VPAND  Y14, t, t     \
	VPAND  Y14, u, u     \
	VPADDD Y15, a, a     \
	VPADDD Y15, b, b     \
	VPADDD t, a, a       \
	VPADDD u, b, b       \
	VPSRLD $16, a, a     \
	VPSRLD $16, b, b     \
	VPACKUSDW b, a, a

#define PACKED(a) VPERMQ $0xD8, a, a

// ARGUMENTS leaves blocks of 32 elements in CX and goes to done when there is none.
#define ARGUMENTS \
	MOVQ dst+0(FP), DI        \
	MOVQ src+8(FP), SI        \
	MOVQ n+16(FP), CX         \
	SHRQ $5, CX               \
	JZ   done

// AHEAD asks for what lies a page ahead: the processor itself stops at the end of one.
#define AHEAD \
	PREFETCHNTA 4096(SI)   \
	PREFETCHNTA 4160(SI)

// STORE2 writes Y0 and Y1, 32 elements of two bytes.
#define STORE2 \
	TESTL R8, R8         \
	JNZ  past            \
	VMOVDQU Y0, (DI)     \
	VMOVDQU Y1, 32(DI)   \
	ADDQ $64, DI         \
	DECQ CX              \
	JNZ  loop            \
	JMP  done            \
past:                        \
	AHEAD                \
	VMOVNTDQ Y0, (DI)    \
	VMOVNTDQ Y1, 32(DI)  \
	ADDQ $64, DI         \
	DECQ CX              \
	JNZ  loop            \
	SFENCE               \
done:                        \
	VZEROUPPER           \
	RET
