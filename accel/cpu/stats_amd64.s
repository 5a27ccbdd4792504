//go:build !purego

#include "textflag.h"

// func extremes16AVX2(src *byte, n int) (pos int16, neg uint16, zeros uint64)
//
// The largest of n 16-bit elements (a multiple of 32) as signed and as unsigned
// integer; zeros is not 0 when an element is a zero of either sign.
TEXT ·extremes16AVX2(SB), NOSPLIT, $0-32
	MOVQ src+0(FP), SI
	MOVQ n+8(FP), CX
	VPXOR Y15, Y15, Y15      // zero
	VPCMPEQW Y0, Y0, Y0
	VPSLLW $15, Y0, Y0       // least signed
	VMOVDQA Y0, Y1
	VPXOR Y2, Y2, Y2         // least unsigned
	VPXOR Y3, Y3, Y3
	VPXOR Y4, Y4, Y4         // zeros seen
	SHRQ $5, CX

loop:
	VMOVDQU (SI), Y5
	VMOVDQU 32(SI), Y6
	VPMAXSW Y5, Y0, Y0
	VPMAXSW Y6, Y1, Y1
	VPMAXUW Y5, Y2, Y2
	VPMAXUW Y6, Y3, Y3
	VPADDW Y5, Y5, Y5        // drops the sign
	VPADDW Y6, Y6, Y6
	VPMINUW Y5, Y6, Y6
	VPCMPEQW Y6, Y15, Y6
	VPOR Y6, Y4, Y4
	ADDQ $64, SI
	DECQ CX
	JNZ  loop

	VPMAXSW Y1, Y0, Y0
	VPMAXUW Y3, Y2, Y2
	VEXTRACTI128 $1, Y0, X1
	VPMAXSW X1, X0, X0
	VEXTRACTI128 $1, Y2, X3
	VPMAXUW X3, X2, X2
	VPSHUFD $0x4E, X0, X1
	VPMAXSW X1, X0, X0
	VPSHUFD $0x4E, X2, X3
	VPMAXUW X3, X2, X2
	VPSHUFD $0xB1, X0, X1
	VPMAXSW X1, X0, X0
	VPSHUFD $0xB1, X2, X3
	VPMAXUW X3, X2, X2
	VPSRLD $16, X0, X1
	VPMAXSW X1, X0, X0
	VPSRLD $16, X2, X3
	VPMAXUW X3, X2, X2
	VMOVD X0, AX
	MOVW AX, pos+16(FP)
	VMOVD X2, AX
	MOVW AX, neg+18(FP)
	VPMOVMSKB Y4, AX
	MOVQ AX, zeros+24(FP)
	VZEROUPPER
	RET

// func extremes32AVX2(src *byte, n int) (pos int32, neg uint32, zeros uint64)
//
// The same for 32-bit elements; n is a multiple of 16.
TEXT ·extremes32AVX2(SB), NOSPLIT, $0-32
	MOVQ src+0(FP), SI
	MOVQ n+8(FP), CX
	VPXOR Y15, Y15, Y15
	VPCMPEQD Y0, Y0, Y0
	VPSLLD $31, Y0, Y0
	VMOVDQA Y0, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	VPXOR Y4, Y4, Y4
	SHRQ $4, CX

loop:
	VMOVDQU (SI), Y5
	VMOVDQU 32(SI), Y6
	VPMAXSD Y5, Y0, Y0
	VPMAXSD Y6, Y1, Y1
	VPMAXUD Y5, Y2, Y2
	VPMAXUD Y6, Y3, Y3
	VPADDD Y5, Y5, Y5
	VPADDD Y6, Y6, Y6
	VPMINUD Y5, Y6, Y6
	VPCMPEQD Y6, Y15, Y6
	VPOR Y6, Y4, Y4
	ADDQ $64, SI
	DECQ CX
	JNZ  loop

	VPMAXSD Y1, Y0, Y0
	VPMAXUD Y3, Y2, Y2
	VEXTRACTI128 $1, Y0, X1
	VPMAXSD X1, X0, X0
	VEXTRACTI128 $1, Y2, X3
	VPMAXUD X3, X2, X2
	VPSHUFD $0x4E, X0, X1
	VPMAXSD X1, X0, X0
	VPSHUFD $0x4E, X2, X3
	VPMAXUD X3, X2, X2
	VPSHUFD $0xB1, X0, X1
	VPMAXSD X1, X0, X0
	VPSHUFD $0xB1, X2, X3
	VPMAXUD X3, X2, X2
	VMOVD X0, AX
	MOVL AX, pos+16(FP)
	VMOVD X2, AX
	MOVL AX, neg+20(FP)
	VPMOVMSKB Y4, AX
	MOVQ AX, zeros+24(FP)
	VZEROUPPER
	RET
