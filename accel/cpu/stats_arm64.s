//go:build !purego

#include "textflag.h"

// func extremes16NEON(src *byte, n int) (pos int16, neg uint16, zeros uint64)
//
// The largest of n 16-bit elements (a multiple of 16) as signed and as unsigned
// integer; zeros is not 0 when an element is a zero of either sign.
TEXT ·extremes16NEON(SB), NOSPLIT, $0-32
	MOVD src+0(FP), R1
	MOVD n+8(FP), R2
	MOVW $0x8000, R3
	VDUP R3, V0.H8               // least signed
	VEOR V1.B16, V1.B16, V1.B16  // least unsigned
	VEOR V2.B16, V2.B16, V2.B16  // zeros seen
	LSR  $4, R2

loop:
	VLD1.P 32(R1), [V3.H8, V4.H8]
	WORD $0x4E646465 // smax v5.8h, v3.8h, v4.8h
	WORD $0x6E646466 // umax v6.8h, v3.8h, v4.8h
	WORD $0x4E656400 // smax v0.8h, v0.8h, v5.8h
	WORD $0x6E666421 // umax v1.8h, v1.8h, v6.8h
	VADD V3.H8, V3.H8, V3.H8     // drops the sign
	VADD V4.H8, V4.H8, V4.H8
	WORD $0x4E609863 // cmeq v3.8h, v3.8h, #0
	WORD $0x4E609884 // cmeq v4.8h, v4.8h, #0
	VORR V3.B16, V2.B16, V2.B16
	VORR V4.B16, V2.B16, V2.B16
	SUB  $1, R2
	CBNZ R2, loop

	WORD $0x4E70A800 // smaxv h0, v0.8h
	WORD $0x6E70A821 // umaxv h1, v1.8h
	WORD $0x6E70A842 // umaxv h2, v2.8h
	VMOV V0.H[0], R3
	MOVH R3, pos+16(FP)
	VMOV V1.H[0], R3
	MOVH R3, neg+18(FP)
	VMOV V2.H[0], R3
	MOVD R3, zeros+24(FP)
	RET

// func extremes32NEON(src *byte, n int) (pos int32, neg uint32, zeros uint64)
//
// The same for 32-bit elements; n is a multiple of 8.
TEXT ·extremes32NEON(SB), NOSPLIT, $0-32
	MOVD src+0(FP), R1
	MOVD n+8(FP), R2
	MOVW $0x80000000, R3
	VDUP R3, V0.S4
	VEOR V1.B16, V1.B16, V1.B16
	VEOR V2.B16, V2.B16, V2.B16
	LSR  $3, R2

loop:
	VLD1.P 32(R1), [V3.S4, V4.S4]
	WORD $0x4EA46465 // smax v5.4s, v3.4s, v4.4s
	WORD $0x6EA46466 // umax v6.4s, v3.4s, v4.4s
	WORD $0x4EA56400 // smax v0.4s, v0.4s, v5.4s
	WORD $0x6EA66421 // umax v1.4s, v1.4s, v6.4s
	VADD V3.S4, V3.S4, V3.S4
	VADD V4.S4, V4.S4, V4.S4
	WORD $0x4EA09863 // cmeq v3.4s, v3.4s, #0
	WORD $0x4EA09884 // cmeq v4.4s, v4.4s, #0
	VORR V3.B16, V2.B16, V2.B16
	VORR V4.B16, V2.B16, V2.B16
	SUB  $1, R2
	CBNZ R2, loop

	WORD $0x4EB0A800 // smaxv s0, v0.4s
	WORD $0x6EB0A821 // umaxv s1, v1.4s
	WORD $0x6EB0A842 // umaxv s2, v2.4s
	VMOV V0.S[0], R3
	MOVW R3, pos+16(FP)
	VMOV V1.S[0], R3
	MOVW R3, neg+20(FP)
	VMOV V2.S[0], R3
	MOVD R3, zeros+24(FP)
	RET
