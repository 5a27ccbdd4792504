package gguf

import "testing"

// TestTypes has ggml's types as enum ggml_type numbers them, and their blocks as
// the structs of ggml-common.h add up: a half is 2 bytes, QK_K is 256.
func TestTypes(t *testing.T) {
	const half, qk = 2, 256
	sizes := map[uint32]struct {
		name         string
		elems, bytes int64
	}{
		0: {"f32", 1, 4}, 1: {"f16", 1, 2}, 24: {"i8", 1, 1}, 25: {"i16", 1, 2}, 26: {"i32", 1, 4}, 27: {"i64", 1, 8}, 28: {"f64", 1, 8}, 30: {"bf16", 1, 2},
		2: {"q4_0", 32, half + 16}, 3: {"q4_1", 32, 2*half + 16}, 6: {"q5_0", 32, half + 4 + 16}, 7: {"q5_1", 32, 2*half + 4 + 16},
		8: {"q8_0", 32, half + 32}, 9: {"q8_1", 32, 2*half + 32},
		10: {"q2_k", qk, 2*half + qk/16 + qk/4}, 11: {"q3_k", qk, half + qk/4 + qk/8 + 12}, 12: {"q4_k", qk, 2*half + 12 + qk/2},
		13: {"q5_k", qk, 2*half + 12 + qk/2 + qk/8}, 14: {"q6_k", qk, half + qk/16 + 3*qk/4}, 15: {"q8_k", qk, 4 + qk + qk/16*2},
		16: {"iq2_xxs", qk, half + qk/8*2}, 17: {"iq2_xs", qk, half + qk/8*2 + qk/32}, 18: {"iq3_xxs", qk, half + 3*(qk/8)},
		19: {"iq1_s", qk, half + qk/8 + qk/16}, 20: {"iq4_nl", 32, half + 16}, 21: {"iq3_s", qk, half + 13*(qk/32) + qk/64},
		22: {"iq2_s", qk, half + qk/4 + qk/16}, 23: {"iq4_xs", qk, half + 2 + qk/64 + qk/2}, 29: {"iq1_m", qk, qk/8 + qk/16 + qk/32},
		34: {"tq1_0", qk, half + qk/64 + (qk-4*qk/64)/5}, 35: {"tq2_0", qk, half + qk/4},
		39: {"mxfp4", 32, 1 + 16}, 40: {"nvfp4", 64, 64/16 + 32}, 41: {"q1_0", 128, half + 16}, 42: {"q2_0", 64, half + 16},
	}
	for n := range uint32(256) {
		d, ok := Type(n)
		want, known := sizes[n]
		if ok != known {
			t.Errorf("type %d: known %v, want %v", n, ok, known)
		}
		if elems, bytes := d.Block(); known && (d.String() != want.name || elems != want.elems || bytes != want.bytes) {
			t.Errorf("type %d is %v: %d elements in %d bytes, want %v", n, d, elems, bytes, want)
		}
	}
}
