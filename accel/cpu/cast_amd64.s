//go:build !purego

#include "textflag.h"
#include "amd64.h"

// Each kernel converts n elements, a multiple of 32, thirty-two at a time. Nothing
// here differs from convert.go in any bit; fast_test.go compares all patterns.
//
// NaNs take no branch: a tensor that holds many is as fast as one without.
//
// stream writes past the caches (dst is aligned to 64 bytes then): a store would
// first read the line it is about to overwrite, which is a third of all traffic
// where dst does not fit the caches.

// F32_BF16 rounds sixteen float32 at off(SI) to bf16 in a; Y13 = 0x7FC0, their NaN.
#define F32_BF16(off, a, b, t, u, m) \
	VMOVDQU off(SI), a         \
	VMOVDQU off+32(SI), b      \
	VCMPPS $3, a, a, m         \
	VCMPPS $3, b, b, t         \
	VPACKSSDW t, m, m          \
	ROUND_BF16(a, b, t, u)     \
	VPBLENDVB m, Y13, a, a     \
	PACKED(a)

// STORE4 writes Y0 to Y3, 32 elements of four bytes.
#define STORE4 \
	TESTL R8, R8         \
	JNZ  past            \
	VMOVDQU Y0, (DI)     \
	VMOVDQU Y1, 32(DI)   \
	VMOVDQU Y2, 64(DI)   \
	VMOVDQU Y3, 96(DI)   \
	ADDQ $128, DI        \
	DECQ CX              \
	JNZ  loop            \
	JMP  done            \
past:                        \
	AHEAD                \
	VMOVNTDQ Y0, (DI)    \
	VMOVNTDQ Y1, 32(DI)  \
	VMOVNTDQ Y2, 64(DI)  \
	VMOVNTDQ Y3, 96(DI)  \
	ADDQ $128, DI        \
	DECQ CX              \
	JNZ  loop            \
	SFENCE               \
done:                        \
	VZEROUPPER           \
	RET

// func f32ToBF16AVX2(dst, src *byte, n int, stream bool)
TEXT ·f32ToBF16AVX2(SB), NOSPLIT, $0-25
	MOVBLZX stream+24(FP), R8
	ARGUMENTS
	CONSTANT32($0x7FFF, X15, Y15)
	CONSTANT32($1, X14, Y14)
	CONSTANT($0x7FC0, X13, Y13)

loop:
	F32_BF16(0, Y0, Y2, Y4, Y5, Y6)
	F32_BF16(64, Y1, Y3, Y7, Y8, Y9)
	ADDQ $128, SI
	STORE2

// func bf16ToF32AVX2(dst, src *byte, n int, stream bool)
TEXT ·bf16ToF32AVX2(SB), NOSPLIT, $0-25
	MOVBLZX stream+24(FP), R8
	ARGUMENTS

loop:
	VPMOVZXWD (SI), Y0
	VPMOVZXWD 16(SI), Y1
	VPMOVZXWD 32(SI), Y2
	VPMOVZXWD 48(SI), Y3
	VPSLLD $16, Y0, Y0
	VPSLLD $16, Y1, Y1
	VPSLLD $16, Y2, Y2
	VPSLLD $16, Y3, Y3
	ADDQ $64, SI
	STORE4

// F16_CONSTANTS are for the NaN of f16: its magnitude, the infinity that NaNs lie
// beyond, the sign it keeps.
#define F16_CONSTANTS \
	CONSTANT($0x7D00, X15, Y15) \
	CONSTANT($0x7C00, X14, Y14) \
	CONSTANT($0x7FFF, X13, Y13)

// TO_F16 rounds the float32 in a and b to f16 in a; NaNs become sign|0x7D00.
#define TO_F16(a, xa, b, xb, t) \
	VCVTPS2PH $0, a, xa         \
	VCVTPS2PH $0, b, xb         \
	VINSERTI128 $1, xb, a, a    \
	VPAND Y13, a, b             \
	VPANDN a, Y13, t            \
	VPCMPGTW Y14, b, b          \
	VPOR Y15, t, t              \
	VPBLENDVB b, t, a, a

// func f32ToF16AVX2(dst, src *byte, n int, stream bool)
TEXT ·f32ToF16AVX2(SB), NOSPLIT, $0-25
	MOVBLZX stream+24(FP), R8
	ARGUMENTS
	F16_CONSTANTS

loop:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y2
	VMOVDQU 64(SI), Y1
	VMOVDQU 96(SI), Y3
	TO_F16(Y0, X0, Y2, X2, Y4)
	TO_F16(Y1, X1, Y3, X3, Y5)
	ADDQ $128, SI
	STORE2

// func f16ToF32AVX2(dst, src *byte, n int, stream bool)
TEXT ·f16ToF32AVX2(SB), NOSPLIT, $0-25
	MOVBLZX stream+24(FP), R8
	ARGUMENTS

loop:
	VCVTPH2PS (SI), Y0
	VCVTPH2PS 16(SI), Y1
	VCVTPH2PS 32(SI), Y2
	VCVTPH2PS 48(SI), Y3
	ADDQ $64, SI
	STORE4

// func bf16ToF16AVX2(dst, src *byte, n int, stream bool)
TEXT ·bf16ToF16AVX2(SB), NOSPLIT, $0-25
	MOVBLZX stream+24(FP), R8
	ARGUMENTS
	F16_CONSTANTS

loop:
	VPMOVZXWD (SI), Y0
	VPMOVZXWD 16(SI), Y2
	VPMOVZXWD 32(SI), Y1
	VPMOVZXWD 48(SI), Y3
	VPSLLD $16, Y0, Y0
	VPSLLD $16, Y1, Y1
	VPSLLD $16, Y2, Y2
	VPSLLD $16, Y3, Y3
	TO_F16(Y0, X0, Y2, X2, Y4)
	TO_F16(Y1, X1, Y3, X3, Y5)
	ADDQ $64, SI
	STORE2

// F16_BF16 rounds sixteen f16 at off(SI) to bf16 in a. Y12 = 0x7FFF, Y11 = 0x7C00.
#define F16_BF16(off, a, b, t, u, m) \
	VPAND off(SI), Y12, m      \
	VCVTPH2PS off(SI), a       \
	VCVTPH2PS off+16(SI), b    \
	VPCMPGTW Y11, m, m         \
	ROUND_BF16(a, b, t, u)     \
	PACKED(a)                  \
	VPBLENDVB m, Y13, a, a

// func f16ToBF16AVX2(dst, src *byte, n int, stream bool)
TEXT ·f16ToBF16AVX2(SB), NOSPLIT, $0-25
	MOVBLZX stream+24(FP), R8
	ARGUMENTS
	CONSTANT32($0x7FFF, X15, Y15)
	CONSTANT32($1, X14, Y14)
	CONSTANT($0x7FC0, X13, Y13)
	CONSTANT($0x7FFF, X12, Y12)
	CONSTANT($0x7C00, X11, Y11)

loop:
	F16_BF16(0, Y0, Y2, Y4, Y5, Y6)
	F16_BF16(32, Y1, Y3, Y7, Y8, Y9)
	ADDQ $64, SI
	STORE2
