// The kernels of accel on a GPU. They give the bytes that accel/cpu gives.
//
// This very file is also compiled as C++ and as CUDA, each with a few lines in
// front (proof/), so that it can be compared with the reference on machines without
// Metal. So it stays within C++14: no half, bfloat or vector types. Floats are
// handled as their bits, because a GPU may flush small float32 to zero; where
// float32 is computed with, below, results that small do not matter. There is no
// a*b+c, which a compiler might fuse.
//
// Every kernel has one thread per element or group: thread i does nothing when i is
// past p->n. Buffers are numbered as programs.go lists them.

#ifdef __METAL_VERSION__
#include <metal_stdlib>
using namespace metal;
#endif

// Sizes are of the part of a tensor one launch works on.
struct Params {
	uint n;         // threads that have work
	uint cols;      // fp8: columns of the tensor; affine: elements of a group
	uint row0;      // fp8: the tensor's row of the first element
	uint blockRows; // fp8
	uint blockCols; // fp8
	uint scaleCols; // fp8: scales in a row of them
	uint bits;      // affine: bits of a code
	uint type;      // of scales (fp8) or elements (affine): 0 f32, 1 f16, 2 bf16
};

// bf16 of a float32: to nearest, ties to even. Every NaN is the same.
static uint bf16_of(uint u) {
	if ((u & 0x7FFFFFFFu) > 0x7F800000u) {
		return 0x7FC0u;
	}
	return (u + 0x7FFFu + ((u >> 16) & 1u)) >> 16;
}

// f16 of a float32: to nearest, ties to even, into subnormals too.
static uint f16_of(uint u) {
	uint sign = (u >> 16) & 0x8000u;
	uint m = u & 0x7FFFFFFFu;
	if (m > 0x7F800000u) {
		return sign | 0x7D00u;
	}
	if (m >= 0x47800000u) { // 2^16 and more
		return sign | 0x7C00u;
	}
	if (m >= 0x38800000u) { // 2^-14 and more: normal
		return sign | ((m - 0x38000000u + 0xFFFu + ((m >> 13) & 1u)) >> 13);
	}
	if (m < 0x33000000u) { // less than half of the smallest
		return sign;
	}
	uint shift = 126u - (m >> 23); // 14 to 24
	uint f = (m & 0x7FFFFFu) | 0x800000u;
	uint half_way = 1u << (shift - 1u);
	return sign | ((f + half_way - 1u + ((f >> shift) & 1u)) >> shift);
}

// float32 of an f16, exactly; NaNs keep their payload and become quiet.
static uint f32_of_f16(uint h) {
	uint sign = (h & 0x8000u) << 16;
	uint e = (h >> 10) & 31u;
	uint f = h & 0x3FFu;
	if (e == 31u) {
		return sign | 0x7F800000u | (f << 13) | (f != 0u ? 0x400000u : 0u);
	}
	if (e != 0u) {
		return sign | ((e + 112u) << 23) | (f << 13);
	}
	if (f == 0u) {
		return sign;
	}
	uint up = clz(f) - 21u; // moves the first bit to where a normal number has it
	return sign | ((113u - up) << 23) | ((f << (up + 13u)) & 0x7FFFFFu);
}

// The bf16 of an e4m3 code times a float32, rounded to float32 first. Integers
// only: products may be subnormal.
static uint scaled_e4m3(uint code, uint scale) {
	uint sign = ((code << 24) ^ scale) & 0x80000000u;
	uint e = (code >> 3) & 15u;
	uint a = code & 7u; // times 2^(e-10), for e of at least 1
	if (e != 0u) {
		a |= 8u;
	} else {
		e = 1u;
	}
	uint se = (scale >> 23) & 255u;
	uint b = scale & 0x7FFFFFu; // times 2^(se-150)
	if ((code & 0x7Fu) == 0x7Fu || (se == 255u && (b != 0u || a == 0u))) {
		return 0x7FC0u;
	}
	if (se == 255u) {
		return bf16_of(sign | 0x7F800000u);
	}
	if (se != 0u) {
		b |= 0x800000u;
	} else {
		se = 1u;
	}
	uint p = a * b; // times 2^(exponent-150), below 2^28
	if (p == 0u) {
		return bf16_of(sign);
	}
	int exponent = (int)(se + e) - 10;
	int drop = 8 - (int)clz(p); // bits past the 24 that a float32 holds
	if (drop < 1 - exponent) {
		drop = 1 - exponent; // below the smallest normal there are fewer
	}
	if (drop > 28) {
		return bf16_of(sign); // less than half of the smallest
	}
	if (drop > 0) {
		uint half_way = 1u << (drop - 1);
		p = (p + half_way - 1u + ((p >> drop) & 1u)) >> drop;
	} else {
		p <<= -drop; // exact
	}
	exponent += drop;
	if (p >= 0x1000000u) { // rounded up to a power of two
		p >>= 1;
		exponent += 1;
	}
	if (p < 0x800000u) { // subnormal
		return bf16_of(sign | p);
	}
	if (exponent >= 255) {
		return bf16_of(sign | 0x7F800000u);
	}
	return bf16_of(sign | ((uint)exponent << 23) | (p & 0x7FFFFFu));
}

// One element of type t (Params.type) as float32, and back.
static uint widen(uint u, uint t) {
	return t == 1u ? f32_of_f16(u) : t == 2u ? u << 16 : u;
}

static uint narrow(uint u, uint t) {
	return t == 1u ? f16_of(u) : t == 2u ? bf16_of(u) : u;
}

kernel void cast_f32_bf16(device const uint *src [[buffer(0)]], device ushort *dst [[buffer(1)]],
		constant Params *p [[buffer(2)]], uint i [[thread_position_in_grid]]) {
	if (i < p->n) {
		dst[i] = (ushort)bf16_of(src[i]);
	}
}

kernel void cast_f32_f16(device const uint *src [[buffer(0)]], device ushort *dst [[buffer(1)]],
		constant Params *p [[buffer(2)]], uint i [[thread_position_in_grid]]) {
	if (i < p->n) {
		dst[i] = (ushort)f16_of(src[i]);
	}
}

kernel void cast_bf16_f32(device const ushort *src [[buffer(0)]], device uint *dst [[buffer(1)]],
		constant Params *p [[buffer(2)]], uint i [[thread_position_in_grid]]) {
	if (i < p->n) {
		dst[i] = (uint)src[i] << 16;
	}
}

kernel void cast_f16_f32(device const ushort *src [[buffer(0)]], device uint *dst [[buffer(1)]],
		constant Params *p [[buffer(2)]], uint i [[thread_position_in_grid]]) {
	if (i < p->n) {
		dst[i] = f32_of_f16(src[i]);
	}
}

kernel void cast_bf16_f16(device const ushort *src [[buffer(0)]], device ushort *dst [[buffer(1)]],
		constant Params *p [[buffer(2)]], uint i [[thread_position_in_grid]]) {
	if (i < p->n) {
		dst[i] = (ushort)f16_of((uint)src[i] << 16);
	}
}

kernel void cast_f16_bf16(device const ushort *src [[buffer(0)]], device ushort *dst [[buffer(1)]],
		constant Params *p [[buffer(2)]], uint i [[thread_position_in_grid]]) {
	if (i < p->n) {
		dst[i] = (ushort)bf16_of(f32_of_f16(src[i]));
	}
}

kernel void cast_e4m3_bf16(device const uchar *src [[buffer(0)]], device ushort *dst [[buffer(1)]],
		constant Params *p [[buffer(2)]], uint i [[thread_position_in_grid]]) {
	if (i < p->n) {
		dst[i] = (ushort)scaled_e4m3(src[i], 0x3F800000u);
	}
}

kernel void dequant_e4m3(device const uchar *src [[buffer(0)]], device ushort *dst [[buffer(1)]],
		constant Params *p [[buffer(2)]], device const uchar *scale [[buffer(3)]], uint i [[thread_position_in_grid]]) {
	if (i >= p->n) {
		return;
	}
	uint row = p->row0 + i / p->cols;
	uint col = i % p->cols;
	uint at = row / p->blockRows * p->scaleCols + col / p->blockCols;
	uint s;
	if (p->type == 0u) {
		s = ((device const uint *)scale)[at];
	} else {
		s = widen(((device const ushort *)scale)[at], p->type);
	}
	dst[i] = (ushort)scaled_e4m3(src[i], s);
}

static uint element(device const uchar *src, uint i, uint t) {
	return t == 0u ? ((device const uint *)src)[i] : widen(((device const ushort *)src)[i], t);
}

// One thread does a group: p->cols elements become cols*bits/32 words. Numbers are
// compared as integers; a float32 that may be flushed is at most 1e-38, next to
// divisors of at least 1e-7, and makes no difference to a code.
kernel void quantize_affine(device const uchar *src [[buffer(0)]], device uint *dst [[buffer(1)]],
		constant Params *p [[buffer(2)]], device uchar *scales [[buffer(3)]], device uchar *biases [[buffer(4)]],
		uint i [[thread_position_in_grid]]) {
	if (i >= p->n) {
		return;
	}
	uint first = i * p->cols;
	int least = 0x7F800000;        // +inf
	int most = (int)0x807FFFFFu;   // -inf
	for (uint k = 0; k < p->cols; k++) {
		uint u = element(src, first + k, p->type);
		if ((u & 0x7FFFFFFFu) <= 0x7F800000u) { // NaNs are passed over
			int key = (int)(u ^ ((u >> 31) != 0u ? 0x7FFFFFFFu : 0u)); // in the order of the numbers
			least = key < least ? key : least;
			most = key > most ? key : most;
		}
	}
	uint lo = (uint)least ^ (least < 0 ? 0x7FFFFFFFu : 0u);
	uint hi = (uint)most ^ (most < 0 ? 0x7FFFFFFFu : 0u);
	float top = (float)((1u << p->bits) - 1u);
	float scale = (as_type<float>(hi) - as_type<float>(lo)) / top;
	if (scale < 1e-7f) {
		scale = 1e-7f;
	}
	uint edge = lo;
	if ((lo & 0x7FFFFFFFu) <= (hi & 0x7FFFFFFFu)) {
		scale = -scale;
		edge = hi;
	}
	float steps = rint(as_type<float>(edge) / scale);
	uint bias = 0u;
	if (steps != 0.0f) {
		scale = as_type<float>(edge) / steps;
		bias = edge;
	}
	uint word = 0u;
	uint held = 0u;
	uint out = first / 32u * p->bits;
	for (uint k = 0; k < p->cols; k++) {
		float r = (as_type<float>(element(src, first + k, p->type)) - as_type<float>(bias)) / scale;
		r = r > 0.0f ? r : 0.0f; // NaN is 0, too
		r = r < top ? r : top;
		uint code = (uint)rint(r);
		word |= code << held;
		held += p->bits;
		if (held >= 32u) {
			dst[out++] = word;
			held -= 32u;
			word = held != 0u ? code >> (p->bits - held) : 0u;
		}
	}
	uint s = as_type<uint>(scale);
	if ((s & 0x7FFFFFFFu) > 0x7F800000u) {
		s = lo == hi ? 0x7FC00000u : 0xFFC00000u; // what x86-64 comes to
	}
	s = narrow(s, p->type);
	uint b = narrow(bias, p->type);
	if (p->type == 0u) {
		((device uint *)scales)[i] = s;
		((device uint *)biases)[i] = b;
	} else {
		((device ushort *)scales)[i] = (ushort)s;
		((device ushort *)biases)[i] = (ushort)b;
	}
}
