//go:build !purego

#include "textflag.h"

// func rangeNEON(src *float32, n int) (lo, hi float32)
//
// The least and the largest of n float32 (a multiple of 8). A NaN compares false,
// so it is passed over; FMINNM would not pass over a signalling one.
TEXT ·rangeNEON(SB), NOSPLIT, $0-24
	MOVD src+0(FP), R1
	MOVD n+8(FP), R2
	MOVW $0x7F800000, R3
	VDUP R3, V0.S4
	VDUP R3, V1.S4
	MOVW $0xFF800000, R3
	VDUP R3, V2.S4
	VDUP R3, V3.S4
	LSR  $3, R2

loop:
	VLD1.P 32(R1), [V4.S4, V5.S4]
	WORD $0x6EA4E406 // fcmgt v6.4s, v0.4s, v4.4s
	WORD $0x6EA5E427 // fcmgt v7.4s, v1.4s, v5.4s
	WORD $0x6EA2E490 // fcmgt v16.4s, v4.4s, v2.4s
	WORD $0x6EA3E4B1 // fcmgt v17.4s, v5.4s, v3.4s
	VBIT V6.B16, V4.B16, V0.B16
	VBIT V7.B16, V5.B16, V1.B16
	VBIT V16.B16, V4.B16, V2.B16
	VBIT V17.B16, V5.B16, V3.B16
	SUB  $1, R2
	CBNZ R2, loop

	WORD $0x4EA1F400 // fmin v0.4s, v0.4s, v1.4s
	WORD $0x4E23F442 // fmax v2.4s, v2.4s, v3.4s
	WORD $0x6EB0F800 // fminv s0, v0.4s
	WORD $0x6E30F842 // fmaxv s2, v2.4s
	VMOV V0.S[0], R3
	MOVW R3, lo+16(FP)
	VMOV V2.S[0], R3
	MOVW R3, hi+20(FP)
	RET

// func codesNEON(q *uint8, src *float32, n int, scale, bias, most float32, nibbles bool)
//
// The codes of n float32 (a multiple of 32), one a byte, or two a byte with nibbles.
// What is not greater than 0, NaN too, becomes 0.
TEXT ·codesNEON(SB), NOSPLIT, $0-37
	MOVD q+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
	MOVW scale+24(FP), R3
	VDUP R3, V31.S4
	MOVW bias+28(FP), R3
	VDUP R3, V30.S4
	MOVW most+32(FP), R3
	VDUP R3, V29.S4
	MOVBU nibbles+36(FP), R4
	LSR  $5, R2

loop:
	VLD1.P 64(R1), [V0.S4, V1.S4, V2.S4, V3.S4]
	VLD1.P 64(R1), [V4.S4, V5.S4, V6.S4, V7.S4]
	WORD $0x4EBED400 // fsub v0.4s, v0.4s, v30.4s
	WORD $0x4EBED421 // fsub v1.4s, v1.4s, v30.4s
	WORD $0x4EBED442 // fsub v2.4s, v2.4s, v30.4s
	WORD $0x4EBED463 // fsub v3.4s, v3.4s, v30.4s
	WORD $0x4EBED484 // fsub v4.4s, v4.4s, v30.4s
	WORD $0x4EBED4A5 // fsub v5.4s, v5.4s, v30.4s
	WORD $0x4EBED4C6 // fsub v6.4s, v6.4s, v30.4s
	WORD $0x4EBED4E7 // fsub v7.4s, v7.4s, v30.4s
	WORD $0x6E3FFC00 // fdiv v0.4s, v0.4s, v31.4s
	WORD $0x6E3FFC21 // fdiv v1.4s, v1.4s, v31.4s
	WORD $0x6E3FFC42 // fdiv v2.4s, v2.4s, v31.4s
	WORD $0x6E3FFC63 // fdiv v3.4s, v3.4s, v31.4s
	WORD $0x6E3FFC84 // fdiv v4.4s, v4.4s, v31.4s
	WORD $0x6E3FFCA5 // fdiv v5.4s, v5.4s, v31.4s
	WORD $0x6E3FFCC6 // fdiv v6.4s, v6.4s, v31.4s
	WORD $0x6E3FFCE7 // fdiv v7.4s, v7.4s, v31.4s
	WORD $0x4EA0C810 // fcmgt v16.4s, v0.4s, #0.0
	WORD $0x4EA0C831 // fcmgt v17.4s, v1.4s, #0.0
	WORD $0x4EA0C852 // fcmgt v18.4s, v2.4s, #0.0
	WORD $0x4EA0C873 // fcmgt v19.4s, v3.4s, #0.0
	WORD $0x4EA0C894 // fcmgt v20.4s, v4.4s, #0.0
	WORD $0x4EA0C8B5 // fcmgt v21.4s, v5.4s, #0.0
	WORD $0x4EA0C8D6 // fcmgt v22.4s, v6.4s, #0.0
	WORD $0x4EA0C8F7 // fcmgt v23.4s, v7.4s, #0.0
	VAND V16.B16, V0.B16, V0.B16
	VAND V17.B16, V1.B16, V1.B16
	VAND V18.B16, V2.B16, V2.B16
	VAND V19.B16, V3.B16, V3.B16
	VAND V20.B16, V4.B16, V4.B16
	VAND V21.B16, V5.B16, V5.B16
	VAND V22.B16, V6.B16, V6.B16
	VAND V23.B16, V7.B16, V7.B16
	WORD $0x4EBDF400 // fmin v0.4s, v0.4s, v29.4s
	WORD $0x4EBDF421 // fmin v1.4s, v1.4s, v29.4s
	WORD $0x4EBDF442 // fmin v2.4s, v2.4s, v29.4s
	WORD $0x4EBDF463 // fmin v3.4s, v3.4s, v29.4s
	WORD $0x4EBDF484 // fmin v4.4s, v4.4s, v29.4s
	WORD $0x4EBDF4A5 // fmin v5.4s, v5.4s, v29.4s
	WORD $0x4EBDF4C6 // fmin v6.4s, v6.4s, v29.4s
	WORD $0x4EBDF4E7 // fmin v7.4s, v7.4s, v29.4s
	WORD $0x4E21A800 // fcvtns v0.4s, v0.4s
	WORD $0x4E21A821 // fcvtns v1.4s, v1.4s
	WORD $0x4E21A842 // fcvtns v2.4s, v2.4s
	WORD $0x4E21A863 // fcvtns v3.4s, v3.4s
	WORD $0x4E21A884 // fcvtns v4.4s, v4.4s
	WORD $0x4E21A8A5 // fcvtns v5.4s, v5.4s
	WORD $0x4E21A8C6 // fcvtns v6.4s, v6.4s
	WORD $0x4E21A8E7 // fcvtns v7.4s, v7.4s
	VUZP1 V1.H8, V0.H8, V0.H8
	VUZP1 V3.H8, V2.H8, V2.H8
	VUZP1 V5.H8, V4.H8, V4.H8
	VUZP1 V7.H8, V6.H8, V6.H8
	VUZP1 V2.B16, V0.B16, V0.B16
	VUZP1 V6.B16, V4.B16, V1.B16
	CBNZ R4, two
	VST1.P [V0.B16, V1.B16], 32(R0)
	SUB  $1, R2
	CBNZ R2, loop
	RET

two:
	VUZP1 V1.B16, V0.B16, V2.B16
	VUZP2 V1.B16, V0.B16, V3.B16
	VSLI $4, V3.B16, V2.B16 // first + 16*second
	VST1.P [V2.B16], 16(R0)
	SUB  $1, R2
	CBNZ R2, loop
	RET
