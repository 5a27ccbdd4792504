//go:build !purego

#include "textflag.h"

// func rangeAVX2(src *float32, n int) (lo, hi float32)
//
// The least and the largest of n float32 (a multiple of 32); NaNs are passed over:
// VMINPS and VMAXPS give their last operand, the one so far, unless the other is
// less or more.
TEXT ·rangeAVX2(SB), NOSPLIT, $0-24
	MOVQ src+0(FP), SI
	MOVQ n+8(FP), CX
	MOVL $0x7F800000, AX
	VMOVD AX, X0
	VPBROADCASTD X0, Y0
	MOVL $0xFF800000, AX
	VMOVD AX, X4
	VPBROADCASTD X4, Y4
	VMOVAPS Y0, Y1
	VMOVAPS Y0, Y2
	VMOVAPS Y0, Y3
	VMOVAPS Y4, Y5
	VMOVAPS Y4, Y6
	VMOVAPS Y4, Y7
	SHRQ $5, CX

loop:
	VMOVUPS (SI), Y8
	VMOVUPS 32(SI), Y9
	VMOVUPS 64(SI), Y10
	VMOVUPS 96(SI), Y11
	VMINPS Y0, Y8, Y0
	VMINPS Y1, Y9, Y1
	VMINPS Y2, Y10, Y2
	VMINPS Y3, Y11, Y3
	VMAXPS Y4, Y8, Y4
	VMAXPS Y5, Y9, Y5
	VMAXPS Y6, Y10, Y6
	VMAXPS Y7, Y11, Y7
	ADDQ $128, SI
	DECQ CX
	JNZ  loop

	VMINPS Y1, Y0, Y0
	VMINPS Y3, Y2, Y2
	VMINPS Y2, Y0, Y0
	VMAXPS Y5, Y4, Y4
	VMAXPS Y7, Y6, Y6
	VMAXPS Y6, Y4, Y4
	VEXTRACTF128 $1, Y0, X1
	VMINPS X1, X0, X0
	VEXTRACTF128 $1, Y4, X5
	VMAXPS X5, X4, X4
	VPSHUFD $0x4E, X0, X1
	VMINPS X1, X0, X0
	VPSHUFD $0x4E, X4, X5
	VMAXPS X5, X4, X4
	VPSHUFD $0xB1, X0, X1
	VMINPS X1, X0, X0
	VPSHUFD $0xB1, X4, X5
	VMAXPS X5, X4, X4
	VMOVD X0, AX
	MOVL AX, lo+16(FP)
	VMOVD X4, AX
	MOVL AX, hi+20(FP)
	VZEROUPPER
	RET

// CODES turns eight float32 at off(SI) into eight codes in y. Y15 = bias, Y14 =
// scale, Y13 = 0, Y12 = the largest code. VMAXPS turns NaN into 0, its last operand.
#define CODES(off, y) \
	VMOVUPS off(SI), y \
	VSUBPS Y15, y, y   \
	VDIVPS Y14, y, y   \
	VMAXPS Y13, y, y   \
	VMINPS Y12, y, y   \
	VCVTPS2DQ y, y

// func codesAVX2(q *uint8, src *float32, n int, scale, bias, most float32, nibbles bool)
//
// The codes of n float32 (a multiple of 32), one a byte, or two a byte with nibbles.
TEXT ·codesAVX2(SB), NOSPLIT, $0-37
	MOVQ q+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS scale+24(FP), Y14
	VBROADCASTSS bias+28(FP), Y15
	VBROADCASTSS most+32(FP), Y12
	MOVBLZX nibbles+36(FP), DX
	VXORPS Y13, Y13, Y13
	VMOVDQU ·codeOrder(SB), Y11
	MOVL $0x1001, AX
	VMOVD AX, X10
	VPBROADCASTW X10, Y10
	SHRQ $5, CX

loop:
	CODES(0, Y0)
	CODES(32, Y1)
	CODES(64, Y2)
	CODES(96, Y3)
	VPACKUSDW Y1, Y0, Y0
	VPACKUSDW Y3, Y2, Y2
	VPACKUSWB Y2, Y0, Y0
	VPERMD Y0, Y11, Y0
	ADDQ $128, SI
	TESTL DX, DX
	JNZ  two
	VMOVDQU Y0, (DI)
	ADDQ $32, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET

two:
	VPMADDUBSW Y10, Y0, Y0   // first + 16*second
	VEXTRACTI128 $1, Y0, X1
	VPACKUSWB X1, X0, X0
	VMOVDQU X0, (DI)
	ADDQ $16, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET

// The packs work within 128-bit halves; this order of 32-bit lanes undoes that.
DATA ·codeOrder+0(SB)/4, $0
DATA ·codeOrder+4(SB)/4, $4
DATA ·codeOrder+8(SB)/4, $1
DATA ·codeOrder+12(SB)/4, $5
DATA ·codeOrder+16(SB)/4, $2
DATA ·codeOrder+20(SB)/4, $6
DATA ·codeOrder+24(SB)/4, $3
DATA ·codeOrder+28(SB)/4, $7
GLOBL ·codeOrder(SB), RODATA|NOPTR, $32
