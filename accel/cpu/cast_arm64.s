//go:build !purego

#include "textflag.h"

// Each kernel converts n elements, a multiple of 8, eight at a time. Nothing here
// differs from convert.go in any bit; fast_test.go compares all patterns. Go's
// assembler lacks many vector instructions: they are WORDs with the instruction
// beside. stream is not heeded: no processor was there to measure it on.

// func f32ToBF16NEON(dst, src *byte, n int, stream bool)
TEXT ·f32ToBF16NEON(SB), NOSPLIT, $0-25
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
	MOVW $0x7FFF, R3
	VDUP R3, V31.S4
	MOVW $1, R3
	VDUP R3, V30.S4
	MOVW $0x7FC0, R3
	VDUP R3, V29.H8
	LSR  $3, R2
	CBZ  R2, done

loop:
	VLD1.P 32(R1), [V0.S4, V1.S4]
	WORD $0x4E20E404 // fcmeq v4.4s, v0.4s, v0.4s // not NaN
	WORD $0x4E21E425 // fcmeq v5.4s, v1.4s, v1.4s
	VUSHR $16, V0.S4, V2.S4
	VUSHR $16, V1.S4, V3.S4
	VAND V30.B16, V2.B16, V2.B16
	VAND V30.B16, V3.B16, V3.B16
	VADD V31.S4, V2.S4, V2.S4
	VADD V31.S4, V3.S4, V3.S4
	VADD V2.S4, V0.S4, V0.S4
	VADD V3.S4, V1.S4, V1.S4
	VUZP2 V1.H8, V0.H8, V0.H8 // upper halves
	VUZP1 V5.H8, V4.H8, V4.H8
	VBIF V4.B16, V29.B16, V0.B16
	VST1.P [V0.H8], 16(R0)
	SUB  $1, R2
	CBNZ R2, loop

done:
	RET

// func bf16ToF32NEON(dst, src *byte, n int, stream bool)
TEXT ·bf16ToF32NEON(SB), NOSPLIT, $0-25
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
	VEOR V31.B16, V31.B16, V31.B16
	LSR  $3, R2
	CBZ  R2, done

loop:
	VLD1.P 16(R1), [V0.H8]
	VZIP1 V0.H8, V31.H8, V1.H8
	VZIP2 V0.H8, V31.H8, V2.H8
	VST1.P [V1.S4, V2.S4], 32(R0)
	SUB  $1, R2
	CBNZ R2, loop

done:
	RET

// func f32ToF16NEON(dst, src *byte, n int, stream bool)
TEXT ·f32ToF16NEON(SB), NOSPLIT, $0-25
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
	MOVW $0x8000, R3
	VDUP R3, V31.H8
	MOVW $0x7D00, R3
	VDUP R3, V30.H8
	LSR  $3, R2
	CBZ  R2, done

loop:
	VLD1.P 32(R1), [V0.S4, V1.S4]
	WORD $0x4E20E404 // fcmeq v4.4s, v0.4s, v0.4s // not NaN
	WORD $0x4E21E425 // fcmeq v5.4s, v1.4s, v1.4s
	WORD $0x0E216802 // fcvtn v2.4h, v0.4s
	WORD $0x4E216822 // fcvtn2 v2.8h, v1.4s
	VUZP1 V5.H8, V4.H8, V4.H8
	VAND V31.B16, V2.B16, V3.B16
	VORR V30.B16, V3.B16, V3.B16
	VBIF V4.B16, V3.B16, V2.B16
	VST1.P [V2.H8], 16(R0)
	SUB  $1, R2
	CBNZ R2, loop

done:
	RET

// func f16ToF32NEON(dst, src *byte, n int, stream bool)
TEXT ·f16ToF32NEON(SB), NOSPLIT, $0-25
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
	LSR  $3, R2
	CBZ  R2, done

loop:
	VLD1.P 16(R1), [V0.H8]
	WORD $0x0E217801 // fcvtl v1.4s, v0.4h
	WORD $0x4E217802 // fcvtl2 v2.4s, v0.8h
	VST1.P [V1.S4, V2.S4], 32(R0)
	SUB  $1, R2
	CBNZ R2, loop

done:
	RET

// func bf16ToF16NEON(dst, src *byte, n int, stream bool)
TEXT ·bf16ToF16NEON(SB), NOSPLIT, $0-25
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
	MOVW $0x8000, R3
	VDUP R3, V31.H8
	MOVW $0x7D00, R3
	VDUP R3, V30.H8
	VEOR V29.B16, V29.B16, V29.B16
	LSR  $3, R2
	CBZ  R2, done

loop:
	VLD1.P 16(R1), [V6.H8]
	VZIP1 V6.H8, V29.H8, V0.H8
	VZIP2 V6.H8, V29.H8, V1.H8
	WORD $0x4E20E404 // fcmeq v4.4s, v0.4s, v0.4s // not NaN
	WORD $0x4E21E425 // fcmeq v5.4s, v1.4s, v1.4s
	WORD $0x0E216802 // fcvtn v2.4h, v0.4s
	WORD $0x4E216822 // fcvtn2 v2.8h, v1.4s
	VUZP1 V5.H8, V4.H8, V4.H8
	VAND V31.B16, V2.B16, V3.B16
	VORR V30.B16, V3.B16, V3.B16
	VBIF V4.B16, V3.B16, V2.B16
	VST1.P [V2.H8], 16(R0)
	SUB  $1, R2
	CBNZ R2, loop

done:
	RET

// func f16ToBF16NEON(dst, src *byte, n int, stream bool)
TEXT ·f16ToBF16NEON(SB), NOSPLIT, $0-25
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
	MOVW $0x7FFF, R3
	VDUP R3, V31.S4
	MOVW $1, R3
	VDUP R3, V30.S4
	MOVW $0x7FC0, R3
	VDUP R3, V29.H8
	LSR  $3, R2
	CBZ  R2, done

loop:
	VLD1.P 16(R1), [V6.H8]
	WORD $0x0E2178C0 // fcvtl v0.4s, v6.4h
	WORD $0x4E2178C1 // fcvtl2 v1.4s, v6.8h
	WORD $0x4E20E404 // fcmeq v4.4s, v0.4s, v0.4s // not NaN
	WORD $0x4E21E425 // fcmeq v5.4s, v1.4s, v1.4s
	VUSHR $16, V0.S4, V2.S4
	VUSHR $16, V1.S4, V3.S4
	VAND V30.B16, V2.B16, V2.B16
	VAND V30.B16, V3.B16, V3.B16
	VADD V31.S4, V2.S4, V2.S4
	VADD V31.S4, V3.S4, V3.S4
	VADD V2.S4, V0.S4, V0.S4
	VADD V3.S4, V1.S4, V1.S4
	VUZP2 V1.H8, V0.H8, V0.H8 // upper halves
	VUZP1 V5.H8, V4.H8, V4.H8
	VBIF V4.B16, V29.B16, V0.B16
	VST1.P [V0.H8], 16(R0)
	SUB  $1, R2
	CBNZ R2, loop

done:
	RET
