//go:build !purego

#include "textflag.h"

// func codes4NEON(q *uint8, src *float32, n int, divisor float32, above *[7]float32)
//
// The e2m1 codes of n float32 (a multiple of 16) over divisor, two a byte: how many
// of above the quotient exceeds, and its sign unless that is none.
TEXT ·codes4NEON(SB), NOSPLIT, $0-40
	MOVD q+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
	MOVW divisor+24(FP), R3
	VDUP R3, V31.S4
	MOVD above+32(FP), R4
	MOVW 0(R4), R3
	VDUP R3, V24.S4
	MOVW 4(R4), R3
	VDUP R3, V25.S4
	MOVW 8(R4), R3
	VDUP R3, V26.S4
	MOVW 12(R4), R3
	VDUP R3, V27.S4
	MOVW 16(R4), R3
	VDUP R3, V28.S4
	MOVW 20(R4), R3
	VDUP R3, V29.S4
	MOVW 24(R4), R3
	VDUP R3, V30.S4
	LSR  $4, R2

loop:
	VLD1.P 64(R1), [V0.S4, V1.S4, V2.S4, V3.S4]
	WORD $0x6E3FFC00 // fdiv v0.4s, v0.4s, v31.4s
	WORD $0x4EA0F804 // fabs v4.4s, v0.4s
	VEOR V16.B16, V16.B16, V16.B16
	WORD $0x6EB8E485 // fcmgt v5.4s, v4.4s, v24.4s
	VSUB V5.S4, V16.S4, V16.S4
	WORD $0x6EB9E485 // fcmgt v5.4s, v4.4s, v25.4s
	VSUB V5.S4, V16.S4, V16.S4
	WORD $0x6EBAE485 // fcmgt v5.4s, v4.4s, v26.4s
	VSUB V5.S4, V16.S4, V16.S4
	WORD $0x6EBBE485 // fcmgt v5.4s, v4.4s, v27.4s
	VSUB V5.S4, V16.S4, V16.S4
	WORD $0x6EBCE485 // fcmgt v5.4s, v4.4s, v28.4s
	VSUB V5.S4, V16.S4, V16.S4
	WORD $0x6EBDE485 // fcmgt v5.4s, v4.4s, v29.4s
	VSUB V5.S4, V16.S4, V16.S4
	WORD $0x6EBEE485 // fcmgt v5.4s, v4.4s, v30.4s
	VSUB V5.S4, V16.S4, V16.S4
	WORD $0x4EA09A05 // cmeq v5.4s, v16.4s, #0
	VUSHR $31, V0.S4, V0.S4
	VSHL $3, V0.S4, V0.S4
	WORD $0x4E651C00 // bic v0.16b, v0.16b, v5.16b
	VORR V0.B16, V16.B16, V16.B16
	WORD $0x6E3FFC21 // fdiv v1.4s, v1.4s, v31.4s
	WORD $0x4EA0F824 // fabs v4.4s, v1.4s
	VEOR V17.B16, V17.B16, V17.B16
	WORD $0x6EB8E485 // fcmgt v5.4s, v4.4s, v24.4s
	VSUB V5.S4, V17.S4, V17.S4
	WORD $0x6EB9E485 // fcmgt v5.4s, v4.4s, v25.4s
	VSUB V5.S4, V17.S4, V17.S4
	WORD $0x6EBAE485 // fcmgt v5.4s, v4.4s, v26.4s
	VSUB V5.S4, V17.S4, V17.S4
	WORD $0x6EBBE485 // fcmgt v5.4s, v4.4s, v27.4s
	VSUB V5.S4, V17.S4, V17.S4
	WORD $0x6EBCE485 // fcmgt v5.4s, v4.4s, v28.4s
	VSUB V5.S4, V17.S4, V17.S4
	WORD $0x6EBDE485 // fcmgt v5.4s, v4.4s, v29.4s
	VSUB V5.S4, V17.S4, V17.S4
	WORD $0x6EBEE485 // fcmgt v5.4s, v4.4s, v30.4s
	VSUB V5.S4, V17.S4, V17.S4
	WORD $0x4EA09A25 // cmeq v5.4s, v17.4s, #0
	VUSHR $31, V1.S4, V1.S4
	VSHL $3, V1.S4, V1.S4
	WORD $0x4E651C21 // bic v1.16b, v1.16b, v5.16b
	VORR V1.B16, V17.B16, V17.B16
	WORD $0x6E3FFC42 // fdiv v2.4s, v2.4s, v31.4s
	WORD $0x4EA0F844 // fabs v4.4s, v2.4s
	VEOR V18.B16, V18.B16, V18.B16
	WORD $0x6EB8E485 // fcmgt v5.4s, v4.4s, v24.4s
	VSUB V5.S4, V18.S4, V18.S4
	WORD $0x6EB9E485 // fcmgt v5.4s, v4.4s, v25.4s
	VSUB V5.S4, V18.S4, V18.S4
	WORD $0x6EBAE485 // fcmgt v5.4s, v4.4s, v26.4s
	VSUB V5.S4, V18.S4, V18.S4
	WORD $0x6EBBE485 // fcmgt v5.4s, v4.4s, v27.4s
	VSUB V5.S4, V18.S4, V18.S4
	WORD $0x6EBCE485 // fcmgt v5.4s, v4.4s, v28.4s
	VSUB V5.S4, V18.S4, V18.S4
	WORD $0x6EBDE485 // fcmgt v5.4s, v4.4s, v29.4s
	VSUB V5.S4, V18.S4, V18.S4
	WORD $0x6EBEE485 // fcmgt v5.4s, v4.4s, v30.4s
	VSUB V5.S4, V18.S4, V18.S4
	WORD $0x4EA09A45 // cmeq v5.4s, v18.4s, #0
	VUSHR $31, V2.S4, V2.S4
	VSHL $3, V2.S4, V2.S4
	WORD $0x4E651C42 // bic v2.16b, v2.16b, v5.16b
	VORR V2.B16, V18.B16, V18.B16
	WORD $0x6E3FFC63 // fdiv v3.4s, v3.4s, v31.4s
	WORD $0x4EA0F864 // fabs v4.4s, v3.4s
	VEOR V19.B16, V19.B16, V19.B16
	WORD $0x6EB8E485 // fcmgt v5.4s, v4.4s, v24.4s
	VSUB V5.S4, V19.S4, V19.S4
	WORD $0x6EB9E485 // fcmgt v5.4s, v4.4s, v25.4s
	VSUB V5.S4, V19.S4, V19.S4
	WORD $0x6EBAE485 // fcmgt v5.4s, v4.4s, v26.4s
	VSUB V5.S4, V19.S4, V19.S4
	WORD $0x6EBBE485 // fcmgt v5.4s, v4.4s, v27.4s
	VSUB V5.S4, V19.S4, V19.S4
	WORD $0x6EBCE485 // fcmgt v5.4s, v4.4s, v28.4s
	VSUB V5.S4, V19.S4, V19.S4
	WORD $0x6EBDE485 // fcmgt v5.4s, v4.4s, v29.4s
	VSUB V5.S4, V19.S4, V19.S4
	WORD $0x6EBEE485 // fcmgt v5.4s, v4.4s, v30.4s
	VSUB V5.S4, V19.S4, V19.S4
	WORD $0x4EA09A65 // cmeq v5.4s, v19.4s, #0
	VUSHR $31, V3.S4, V3.S4
	VSHL $3, V3.S4, V3.S4
	WORD $0x4E651C63 // bic v3.16b, v3.16b, v5.16b
	VORR V3.B16, V19.B16, V19.B16
	VUZP1 V17.H8, V16.H8, V16.H8
	VUZP1 V19.H8, V18.H8, V18.H8
	VUZP1 V18.B16, V16.B16, V16.B16 // sixteen codes in order
	VUZP1 V16.B16, V16.B16, V17.B16
	VUZP2 V16.B16, V16.B16, V18.B16
	VSLI $4, V18.B16, V17.B16 // first + 16*second
	VST1.P [V17.B8], 8(R0)
	SUB  $1, R2
	CBNZ R2, loop
	RET
