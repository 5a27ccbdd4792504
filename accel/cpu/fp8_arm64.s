//go:build !purego

#include "textflag.h"

// func e4m3To16NEON(dst, src *byte, n int, c *e4m3Constants, stream bool)
//
// The steps of e4m3To16AVX2, but for stream. V31 subnormals, V30 exponent bias, V29 NaN, V28 the
// sign a NaN keeps, V27 shift.
TEXT ·e4m3To16NEON(SB), NOSPLIT, $0-33
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
	MOVD c+24(FP), R4
	VLD1 (R4), [V31.B16]
	MOVHU 16(R4), R3
	VDUP R3, V30.H8
	MOVHU 18(R4), R3
	VDUP R3, V29.H8
	MOVHU 20(R4), R3
	VDUP R3, V28.H8
	MOVD 24(R4), R3
	VDUP R3, V27.H8
	MOVW $0x7F, R3
	VDUP R3, V26.H8
	MOVW $0x8000, R3
	VDUP R3, V25.H8
	MOVW $0x0800, R3
	VDUP R3, V24.H8
	MOVW $8, R3
	VDUP R3, V23.H8
	LSR  $3, R2
	CBZ  R2, done

loop:
	VLD1.P 8(R1), [V0.B8]
	VUXTL V0.B8, V0.H8
	VAND V26.B16, V0.B16, V1.B16 // the code without its sign
	VSHL $8, V0.H8, V0.H8
	VAND V25.B16, V0.B16, V0.B16 // the sign
	VSHL $8, V1.H8, V2.H8
	VORR V1.B16, V2.B16, V2.B16
	VADD V24.H8, V2.H8, V2.H8 // each lane: (code, code+8)
	VTBL V2.B16, [V31.B16], V2.B16 // the value, were it subnormal
	WORD $0x6E6136E3 // cmhi v3.8h, v23.8h, v1.8h // is it?
	VCMEQ V26.H8, V1.H8, V4.H8 // is it NaN?
	WORD $0x6E7B4421 // ushl v1.8h, v1.8h, v27.8h
	VADD V30.H8, V1.H8, V1.H8
	VBIT V3.B16, V2.B16, V1.B16
	VORR V0.B16, V1.B16, V1.B16
	VAND V28.B16, V0.B16, V0.B16
	VORR V29.B16, V0.B16, V0.B16
	VBIT V4.B16, V0.B16, V1.B16
	VST1.P [V1.H8], 16(R0)
	SUB  $1, R2
	CBNZ R2, loop

done:
	RET

// func dequantE4M3NEON(dst, src *byte, blocks, blockCols int, factors *float32)
//
// The steps of dequantE4M3AVX2, eight codes at a time. V28 the factor, V27 0x7F, V26
// 0x8000.
TEXT ·dequantE4M3NEON(SB), NOSPLIT, $0-40
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD blocks+16(FP), R4
	MOVD blockCols+24(FP), R5
	MOVD factors+32(FP), R6
	LSR  $3, R5
	MOVW $0x7FFF, R3
	VDUP R3, V31.S4
	MOVW $1, R3
	VDUP R3, V30.S4
	MOVW $0x7FC0, R3
	VDUP R3, V29.H8
	MOVW $0x7F, R3
	VDUP R3, V27.H8
	MOVW $0x8000, R3
	VDUP R3, V26.H8

block:
	MOVWU.P 4(R6), R3
	VDUP R3, V28.S4
	MOVD R5, R2

loop:
	VLD1.P 8(R1), [V6.B8]
	VUXTL V6.B8, V6.H8
	VAND V27.B16, V6.B16, V7.B16 // the code without its sign
	VCMEQ V27.H8, V7.H8, V5.H8   // is it NaN?
	VSHL $8, V6.H8, V6.H8
	VAND V26.B16, V6.B16, V6.B16 // the sign
	VSHL $7, V7.H8, V7.H8
	VORR V7.B16, V6.B16, V6.B16  // an f16, 256 times too small
	WORD $0x0E2178C0 // fcvtl v0.4s, v6.4h
	WORD $0x4E2178C1 // fcvtl2 v1.4s, v6.8h
	WORD $0x6E3CDC00 // fmul v0.4s, v0.4s, v28.4s
	WORD $0x6E3CDC21 // fmul v1.4s, v1.4s, v28.4s
	VUSHR $16, V0.S4, V2.S4
	VUSHR $16, V1.S4, V3.S4
	VAND V30.B16, V2.B16, V2.B16
	VAND V30.B16, V3.B16, V3.B16
	VADD V31.S4, V2.S4, V2.S4
	VADD V31.S4, V3.S4, V3.S4
	VADD V2.S4, V0.S4, V0.S4
	VADD V3.S4, V1.S4, V1.S4
	VUZP2 V1.H8, V0.H8, V0.H8 // upper halves
	VBIT V5.B16, V29.B16, V0.B16
	VST1.P [V0.H8], 16(R0)
	SUB  $1, R2
	CBNZ R2, loop
	SUB  $1, R4
	CBNZ R4, block
	RET

// CODES8 is amd64's, four codes at a time. The words: fdiv v0.4s, v0.4s, v31.4s; fabs
// v4.4s, v0.4s; fadd v6.4s, v4.4s, v27.4s; cmhi v7.4s, v25.4s, v4.4s.
#define CODES8(out) \
	VLD1.P 16(R1), [V0.S4]       \
	WORD $0x6E3FFC00             \
	WORD $0x4EA0F804             \
	VUSHR $31, V0.S4, V1.S4      \
	VSHL $7, V1.S4, V1.S4        \
	VUMIN V30.S4, V4.S4, V4.S4   \
	VUSHR $20, V4.S4, V5.S4      \
	VAND V29.B16, V5.B16, V5.B16 \
	VADD V28.S4, V5.S4, V5.S4    \
	VADD V4.S4, V5.S4, V5.S4     \
	VUSHR $20, V5.S4, V5.S4      \
	WORD $0x4E3BD486             \
	VSUB V27.S4, V6.S4, V6.S4    \
	WORD $0x6EA43727             \
	VBIT V7.B16, V6.B16, V5.B16  \
	VORR V1.B16, V5.B16, out

// func codes8NEON(q *uint8, src *float32, n int, divisor float32)
TEXT ·codes8NEON(SB), NOSPLIT, $0-28
	MOVD q+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
	MOVW divisor+24(FP), R3
	VDUP R3, V31.S4
	MOVW $0x43E00000, R3 // 448
	VDUP R3, V30.S4
	MOVW $1, R3
	VDUP R3, V29.S4
	MOVW $0xC407FFFF, R3 // rounds, and takes 120 from the exponent
	VDUP R3, V28.S4
	MOVW $0x46800000, R3 // 2^14
	VDUP R3, V27.S4
	MOVW $0x3C800000, R3 // 2^-6
	VDUP R3, V25.S4
	LSR  $4, R2

loop:
	CODES8(V16.B16)
	CODES8(V17.B16)
	CODES8(V18.B16)
	CODES8(V19.B16)
	VUZP1 V17.H8, V16.H8, V16.H8
	VUZP1 V19.H8, V18.H8, V18.H8
	VUZP1 V18.B16, V16.B16, V16.B16
	VST1.P [V16.B16], 16(R0)
	SUB  $1, R2
	CBNZ R2, loop
	RET
