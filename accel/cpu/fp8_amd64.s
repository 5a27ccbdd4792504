//go:build !purego

#include "textflag.h"
#include "amd64.h"

// E4M3_TO16 makes sixteen 16-bit floats in a of the codes at off(SI). A code without
// its sign (a), moved left and given another exponent bias, is the result. Not so the
// eight subnormals, which are looked up: t has (code, code+8) in each lane, then their
// values. Nor the NaN. m and n say which are which.
#define E4M3_TO16(off, a, s, t, m, n) \
	VPMOVZXBW off(SI), s      \
	VPAND  Y10, s, a          \
	VPSLLW $8, s, s           \
	VPAND  Y9, s, s           \
	VPMULLW Y6, a, t          \
	VPADDW Y8, t, t           \
	VPSHUFB t, Y15, t         \
	VPCMPGTW a, Y7, m         \
	VPCMPEQW a, Y10, n        \
	VPSLLW X11, a, a          \
	VPADDW Y14, a, a          \
	VPBLENDVB m, t, a, a      \
	VPOR   s, a, a            \
	VPAND  Y12, s, t          \
	VPOR   Y13, t, t          \
	VPBLENDVB n, t, a, a

// func e4m3To16AVX2(dst, src *byte, n int, c *e4m3Constants, stream bool)
TEXT ·e4m3To16AVX2(SB), NOSPLIT, $0-33
	MOVBLZX stream+32(FP), R8
	ARGUMENTS
	MOVQ c+24(FP), DX
	VBROADCASTI128 (DX), Y15 // subnormals: lower bytes, then upper bytes
	VPBROADCASTW 16(DX), Y14 // exponent bias
	VPBROADCASTW 18(DX), Y13 // NaN
	VPBROADCASTW 20(DX), Y12 // the sign a NaN keeps
	VMOVD 24(DX), X11        // shift
	CONSTANT($0x007F, X10, Y10)
	CONSTANT($0x8000, X9, Y9)
	CONSTANT($0x0800, X8, Y8)
	CONSTANT($8, X7, Y7)
	CONSTANT($0x0101, X6, Y6)

loop:
	E4M3_TO16(0, Y0, Y2, Y3, Y4, Y5)
	E4M3_TO16(16, Y1, Y2, Y3, Y4, Y5)
	ADDQ $32, SI
	STORE2

// E4M3_16 turns sixteen codes at off(SI) into bf16 in a: the code times the factor in
// Y12, rounded to float32, then to bf16. A code, moved to where f16 has its exponent,
// is an f16 256 times too small; the factor makes up for that, exactly. NaN codes are
// found before: as f16 they are numbers.
#define E4M3_16(off, a, xa, b, xb, t, u, m) \
	VPMOVZXBW off(SI), a      \
	VPSLLW $8, a, a           \
	VPOR   Y11, a, m          \
	VPCMPEQW Y10, m, m        \
	VPSRAW $1, a, a           \
	VPAND  Y9, a, a           \
	VEXTRACTI128 $1, a, xb    \
	VCVTPH2PS xa, a           \
	VCVTPH2PS xb, b           \
	VMULPS Y12, a, a          \
	VMULPS Y12, b, b          \
	ROUND_BF16(a, b, t, u)    \
	PACKED(a)                 \
	VPBLENDVB m, Y13, a, a

// func dequantE4M3AVX2(dst, src *byte, blocks, blockCols int, factors *float32)
//
// Blocks side by side, each of blockCols codes (a multiple of 32) and with a factor of
// its own: 256 times the scale, finite.
TEXT ·dequantE4M3AVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ blocks+16(FP), BX
	MOVQ blockCols+24(FP), R9
	MOVQ factors+32(FP), DX
	SHRQ $5, R9
	CONSTANT32($0x7FFF, X15, Y15)
	CONSTANT32($1, X14, Y14)
	CONSTANT($0x7FC0, X13, Y13)
	CONSTANT($0x80FF, X11, Y11)
	CONSTANT($0xFFFF, X10, Y10)
	CONSTANT($0xBFFF, X9, Y9)

block:
	VBROADCASTSS (DX), Y12
	MOVQ R9, CX

loop:
	E4M3_16(0, Y0, X0, Y2, X2, Y4, Y5, Y6)
	E4M3_16(16, Y1, X1, Y3, X3, Y4, Y5, Y7)
	VMOVDQU Y0, (DI)
	VMOVDQU Y1, 32(DI)
	ADDQ $32, SI
	ADDQ $64, DI
	DECQ CX
	JNZ  loop
	ADDQ $4, DX
	DECQ BX
	JNZ  block
	VZEROUPPER
	RET

// CODES8 turns the quotients' numerators at off(SI) into e4m3 codes in r. What is past
// 448 is 448; below 2^-6, adding 2^14 leaves the code in the last bits.
#define CODES8(off, r, x, a, s, t) \
	VMOVUPS off(SI), x        \
	VDIVPS Y15, x, x          \
	VPAND  Y14, x, a          \
	VPANDN x, Y14, s          \
	VPMINUD Y13, a, a         \
	VPSRLD $20, a, r          \
	VPAND  Y12, r, r          \
	VPADDD Y11, r, r          \
	VPADDD a, r, r            \
	VPSRLD $20, r, r          \
	VADDPS Y10, a, x          \
	VPSUBD Y10, x, x          \
	VPCMPGTD a, Y8, t         \
	VPBLENDVB t, x, r, r      \
	VPSRLD $24, s, s          \
	VPOR   s, r, r

// func codes8AVX2(q *uint8, src *float32, n int, divisor float32)
//
// The e4m3 codes of n float32 (a multiple of 32) over divisor, which is not 0.
TEXT ·codes8AVX2(SB), NOSPLIT, $0-28
	MOVQ q+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS divisor+24(FP), Y15
	CONSTANT32($0x7FFFFFFF, X14, Y14)
	CONSTANT32($0x43E00000, X13, Y13) // 448
	CONSTANT32($1, X12, Y12)
	CONSTANT32($0xC407FFFF, X11, Y11) // rounds, and takes 120 from the exponent
	CONSTANT32($0x46800000, X10, Y10) // 2^14
	CONSTANT32($0x3C800000, X8, Y8)   // 2^-6
	SHRQ $5, CX

loop:
	CODES8(0, Y0, Y4, Y5, Y6, Y7)
	CODES8(32, Y1, Y4, Y5, Y6, Y7)
	CODES8(64, Y2, Y4, Y5, Y6, Y7)
	CODES8(96, Y3, Y4, Y5, Y6, Y7)
	VPACKUSDW Y1, Y0, Y0
	VPACKUSDW Y3, Y2, Y2
	VPACKUSWB Y2, Y0, Y0
	VMOVDQU ·codeOrder(SB), Y4
	VPERMD Y0, Y4, Y0
	VMOVDQU Y0, (DI)
	ADDQ $128, SI
	ADDQ $32, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET
