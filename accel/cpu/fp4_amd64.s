//go:build !purego

#include "textflag.h"

// MORE adds 1 to the lanes of c where x is more than t. m is scratch.
#define MORE(t, x, c, m) \
	VCMPPS $0x11, x, t, m \
	VPSUBD m, c, c

// CODES4 turns the quotients' numerators at off(SI) into codes in c.
#define CODES4(off, x, a, c, m) \
	VMOVUPS off(SI), x     \
	VDIVPS Y15, x, x       \
	VPAND  Y14, x, a       \
	VPXOR  c, c, c         \
	MORE(Y7, a, c, m)      \
	MORE(Y8, a, c, m)      \
	MORE(Y9, a, c, m)      \
	MORE(Y10, a, c, m)     \
	MORE(Y11, a, c, m)     \
	MORE(Y12, a, c, m)     \
	MORE(Y13, a, c, m)     \
	VPXOR  a, a, a         \
	VPCMPEQD a, c, a       \
	VPSRLD $31, x, x       \
	VPSLLD $3, x, x        \
	VPANDN x, a, x         \
	VPOR   x, c, c

// func codes4AVX2(q *uint8, src *float32, n int, divisor float32, above *[7]float32)
//
// The e2m1 codes of n float32 (a multiple of 16) over divisor, two a byte: how many
// of above the quotient exceeds, and its sign unless that is none.
TEXT ·codes4AVX2(SB), NOSPLIT, $0-40
	MOVQ q+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS divisor+24(FP), Y15
	MOVQ above+32(FP), DX
	MOVL $0x7FFFFFFF, AX
	VMOVD AX, X14
	VPBROADCASTD X14, Y14
	VBROADCASTSS (DX), Y7
	VBROADCASTSS 4(DX), Y8
	VBROADCASTSS 8(DX), Y9
	VBROADCASTSS 12(DX), Y10
	VBROADCASTSS 16(DX), Y11
	VBROADCASTSS 20(DX), Y12
	VBROADCASTSS 24(DX), Y13
	MOVL $0x1001, BX
	SHRQ $4, CX

loop:
	CODES4(0, Y0, Y1, Y2, Y3)
	CODES4(32, Y0, Y1, Y4, Y3)
	VPACKUSDW Y4, Y2, Y2
	VPERMQ $0xD8, Y2, Y2
	VEXTRACTI128 $1, Y2, X4
	VPACKUSWB X4, X2, X2     // sixteen codes in order
	VMOVD BX, X3
	VPBROADCASTW X3, X3
	VPMADDUBSW X3, X2, X2    // first + 16*second
	VPACKUSWB X2, X2, X2
	VMOVQ X2, (DI)
	ADDQ $64, SI
	ADDQ $8, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET
