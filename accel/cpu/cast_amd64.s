//go:build !purego

#include "textflag.h"

// Each kernel converts n elements, a multiple of 16, sixteen at a time. Nothing
// here differs from convert.go in any bit; cast_test.go compares all patterns.

// NaNs are rare: a block of sixteen that holds one takes another way.

// IF_NAN goes to label when one of the sixteen float32 in Y0 and Y1 is a NaN.
#define IF_NAN(label) \
	VCMPPS $3, Y0, Y1, Y3 \
	VPTEST Y3, Y3         \
	JNZ    label

// ROUND_BF16 rounds eight float32 in x to bf16 in the lower halves of their lanes.
// Y15 = 0x7FFF, Y14 = 1 (32-bit). t is scratch.
#define ROUND_BF16(x, t) \
	VPSRLD $16, x, t      \
	VPAND  Y14, t, t      \
	VPADDD Y15, t, t      \
	VPADDD t, x, x        \
	VPSRLD $16, x, x

// NAN_BF16 does what ROUND_BF16 does; NaNs become 0x7FC0, which is in Y13.
#define NAN_BF16(x, t, m) \
	VCMPPS $3, x, x, m    \
	ROUND_BF16(x, t)      \
	VPBLENDVB m, Y13, x, x

// STORE_BF16 writes the sixteen bf16 in the lower halves of Y0 and Y1.
#define STORE_BF16 \
	VPACKUSDW Y1, Y0, Y0  \
	VPERMQ $0xD8, Y0, Y0  \
	VMOVDQU Y0, (DI)

// BF16_CONSTANTS loads what these need.
#define BF16_CONSTANTS \
	MOVL $0x7FFF, AX     \
	VMOVD AX, X15        \
	VPBROADCASTD X15, Y15 \
	MOVL $1, AX          \
	VMOVD AX, X14        \
	VPBROADCASTD X14, Y14 \
	MOVL $0x7FC0, AX     \
	VMOVD AX, X13        \
	VPBROADCASTD X13, Y13

// STORE_F16 rounds the sixteen float32 in Y0 and Y1 to f16 and writes them.
#define STORE_F16 \
	VCVTPS2PH $0, Y0, (DI)   \
	VCVTPS2PH $0, Y1, 16(DI)

// NAN_F16 does what STORE_F16 does; NaNs become sign|0x7D00. Y15 = 0x8000, Y14 =
// 0x7D00 (16-bit).
#define NAN_F16 \
	VCMPPS $3, Y0, Y0, Y3      \
	VCMPPS $3, Y1, Y1, Y4      \
	VPACKSSDW Y4, Y3, Y3       \
	VPERMQ $0xD8, Y3, Y3       \
	VCVTPS2PH $0, Y0, X2       \
	VCVTPS2PH $0, Y1, X5       \
	VINSERTI128 $1, X5, Y2, Y2 \
	VPAND Y15, Y2, Y5          \
	VPOR Y14, Y5, Y5           \
	VPBLENDVB Y3, Y5, Y2, Y2   \
	VMOVDQU Y2, (DI)

#define F16_CONSTANTS \
	MOVL $0x8000, AX     \
	VMOVD AX, X15        \
	VPBROADCASTW X15, Y15 \
	MOVL $0x7D00, AX     \
	VMOVD AX, X14        \
	VPBROADCASTW X14, Y14

// func f32ToBF16AVX2(dst, src *byte, n int)
TEXT ·f32ToBF16AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	BF16_CONSTANTS
	SHRQ $4, CX
	JZ   done

loop:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	IF_NAN(nan)
	ROUND_BF16(Y0, Y2)
	ROUND_BF16(Y1, Y4)
	STORE_BF16

next:
	ADDQ $64, SI
	ADDQ $32, DI
	DECQ CX
	JNZ  loop

done:
	VZEROUPPER
	RET

nan:
	NAN_BF16(Y0, Y2, Y3)
	NAN_BF16(Y1, Y4, Y5)
	STORE_BF16
	JMP next

// func bf16ToF32AVX2(dst, src *byte, n int)
TEXT ·bf16ToF32AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	SHRQ $4, CX
	JZ   done

loop:
	VPMOVZXWD (SI), Y0
	VPMOVZXWD 16(SI), Y1
	VPSLLD $16, Y0, Y0
	VPSLLD $16, Y1, Y1
	VMOVDQU Y0, (DI)
	VMOVDQU Y1, 32(DI)
	ADDQ $32, SI
	ADDQ $64, DI
	DECQ CX
	JNZ  loop

done:
	VZEROUPPER
	RET

// func f32ToF16AVX2(dst, src *byte, n int)
TEXT ·f32ToF16AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	F16_CONSTANTS
	SHRQ $4, CX
	JZ   done

loop:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	IF_NAN(nan)
	STORE_F16

next:
	ADDQ $64, SI
	ADDQ $32, DI
	DECQ CX
	JNZ  loop

done:
	VZEROUPPER
	RET

nan:
	NAN_F16
	JMP next

// func f16ToF32AVX2(dst, src *byte, n int)
TEXT ·f16ToF32AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	SHRQ $4, CX
	JZ   done

loop:
	VCVTPH2PS (SI), Y0
	VCVTPH2PS 16(SI), Y1
	VMOVDQU Y0, (DI)
	VMOVDQU Y1, 32(DI)
	ADDQ $32, SI
	ADDQ $64, DI
	DECQ CX
	JNZ  loop

done:
	VZEROUPPER
	RET

// func bf16ToF16AVX2(dst, src *byte, n int)
TEXT ·bf16ToF16AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	F16_CONSTANTS
	SHRQ $4, CX
	JZ   done

loop:
	VPMOVZXWD (SI), Y0
	VPMOVZXWD 16(SI), Y1
	VPSLLD $16, Y0, Y0
	VPSLLD $16, Y1, Y1
	IF_NAN(nan)
	STORE_F16

next:
	ADDQ $32, SI
	ADDQ $32, DI
	DECQ CX
	JNZ  loop

done:
	VZEROUPPER
	RET

nan:
	NAN_F16
	JMP next

// func f16ToBF16AVX2(dst, src *byte, n int)
TEXT ·f16ToBF16AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	BF16_CONSTANTS
	SHRQ $4, CX
	JZ   done

loop:
	VCVTPH2PS (SI), Y0
	VCVTPH2PS 16(SI), Y1
	IF_NAN(nan)
	ROUND_BF16(Y0, Y2)
	ROUND_BF16(Y1, Y4)
	STORE_BF16

next:
	ADDQ $32, SI
	ADDQ $32, DI
	DECQ CX
	JNZ  loop

done:
	VZEROUPPER
	RET

nan:
	NAN_BF16(Y0, Y2, Y3)
	NAN_BF16(Y1, Y4, Y5)
	STORE_BF16
	JMP next

// func e4m3To16AVX2(dst, src *byte, n int, c *e4m3Constants)
//
// A code without its sign, moved left and given another exponent bias, is the
// result, but for the eight subnormals, which are looked up, and the NaN.
TEXT ·e4m3To16AVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	MOVQ c+24(FP), DX
	VBROADCASTI128 (DX), Y15 // subnormals: lower bytes, then upper bytes
	VPBROADCASTW 16(DX), Y14 // exponent bias
	VPBROADCASTW 18(DX), Y13 // NaN
	VPBROADCASTW 20(DX), Y12 // the sign a NaN keeps
	VMOVD 24(DX), X11        // shift
	MOVL $0x007F, AX
	VMOVD AX, X10
	VPBROADCASTW X10, Y10
	MOVL $0x8000, AX
	VMOVD AX, X9
	VPBROADCASTW X9, Y9
	MOVL $0x0800, AX
	VMOVD AX, X8
	VPBROADCASTW X8, Y8
	MOVL $8, AX
	VMOVD AX, X7
	VPBROADCASTW X7, Y7
	SHRQ $4, CX
	JZ   done

loop:
	VPMOVZXBW (SI), Y0
	VPAND Y10, Y0, Y1        // the code without its sign
	VPSLLW $8, Y0, Y0
	VPAND Y9, Y0, Y0         // the sign
	VPSLLW $8, Y1, Y2
	VPOR Y1, Y2, Y2
	VPADDW Y8, Y2, Y2        // each lane: (code, code+8)
	VPSHUFB Y2, Y15, Y2      // the value, were it subnormal
	VPCMPGTW Y1, Y7, Y3      // is it?
	VPCMPEQW Y1, Y10, Y4     // is it NaN?
	VPSLLW X11, Y1, Y1
	VPADDW Y14, Y1, Y1
	VPBLENDVB Y3, Y2, Y1, Y1
	VPOR Y0, Y1, Y1
	VPAND Y12, Y0, Y0
	VPOR Y13, Y0, Y0
	VPBLENDVB Y4, Y0, Y1, Y1
	VMOVDQU Y1, (DI)
	ADDQ $16, SI
	ADDQ $32, DI
	DECQ CX
	JNZ  loop

done:
	VZEROUPPER
	RET

// func mulBF16AVX2(dst, src *byte, n int, c float32)
//
// Each bf16 times c, rounded to float32, then to bf16. dst may be src.
TEXT ·mulBF16AVX2(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS c+24(FP), Y12
	BF16_CONSTANTS
	SHRQ $4, CX
	JZ   done

loop:
	VPMOVZXWD (SI), Y0
	VPMOVZXWD 16(SI), Y1
	VPSLLD $16, Y0, Y0
	VPSLLD $16, Y1, Y1
	VMULPS Y12, Y0, Y0
	VMULPS Y12, Y1, Y1
	IF_NAN(nan)
	ROUND_BF16(Y0, Y2)
	ROUND_BF16(Y1, Y4)
	STORE_BF16

next:
	ADDQ $32, SI
	ADDQ $32, DI
	DECQ CX
	JNZ  loop

done:
	VZEROUPPER
	RET

nan:
	NAN_BF16(Y0, Y2, Y3)
	NAN_BF16(Y1, Y4, Y5)
	STORE_BF16
	JMP next
