// Runs one kernel of kernels.metal as C++ or CUDA, for the tests of accel/metal.
// The header that makes it so is included in front (cxx.h or cuda.h).
//
// On standard input: a line "kernel n cols row0 blockRows blockCols scaleCols bits
// type buffers length…", then the buffers' bytes. On standard output: the buffers'
// bytes afterwards. CUDA writes the seconds of the fastest of several launches to
// standard error.
#include KERNELS
#undef static
#undef kernel
#undef device
#undef constant
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

typedef std::vector<unsigned char> Bytes;

static void fail(const char *what) {
	std::fprintf(stderr, "driver: %s\n", what);
	std::exit(1);
}

// Past the last thread with work come others, as on a GPU: they must do nothing.
static const uint surplus = 70;

// Behind each buffer lie bytes that nobody may write.
static const size_t guard = 1024;
static const unsigned char untouched = 0xA5;

#ifdef __CUDACC__
#include <chrono>
static void check(cudaError_t e) {
	if (e != cudaSuccess) {
		fail(cudaGetErrorString(e));
	}
}
static std::vector<unsigned char *> onDevice;
template <class T> static T *buffer(std::vector<Bytes> &, size_t i) { return (T *)onDevice[i]; }
#else
template <class T> static T *buffer(std::vector<Bytes> &b, size_t i) { return (T *)b[i].data(); }
#endif

// each calls f for every thread.
#ifdef __CUDACC__
template <class F> __global__ void threads(F f) { f(blockIdx.x * blockDim.x + threadIdx.x); }
template <class F> static void each(const Params &p, F f) {
	uint blocks = (p.n + surplus + 255) / 256;
	double best = 1e9;
	for (int run = 0; run < 10; run++) {
		check(cudaDeviceSynchronize());
		auto start = std::chrono::steady_clock::now();
		threads<<<blocks, 256>>>(f);
		check(cudaGetLastError());
		check(cudaDeviceSynchronize());
		double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
		best = s < best ? s : best;
	}
	std::fprintf(stderr, "%.9f\n", best);
}
#define THREAD [=] __device__(uint i)
#else
template <class F> static void each(const Params &p, F f) {
	for (uint i = 0; i < p.n + surplus; i++) {
		f(i);
	}
}
#define THREAD [=](uint i)
#endif

int main() {
	char name[64];
	Params params;
	Params *p = &params;
	size_t count;
	if (std::scanf("%63s %u %u %u %u %u %u %u %u %zu", name, &params.n, &params.cols, &params.row0, &params.blockRows,
			&params.blockCols, &params.scaleCols, &params.bits, &params.type, &count) != 10 || count > 8) {
		fail("bad first line");
	}
	std::vector<Bytes> b(count);
	for (Bytes &x : b) {
		size_t n;
		if (std::scanf("%zu", &n) != 1) {
			fail("bad length");
		}
		x.resize(n + guard, untouched);
	}
	if (std::getchar() != '\n') {
		fail("bad first line");
	}
	for (Bytes &x : b) {
		size_t n = x.size() - guard;
		if (std::fread(x.data(), 1, n, stdin) != n) {
			fail("short buffer");
		}
	}
#ifdef __CUDACC__
	for (Bytes &x : b) {
		unsigned char *d;
		check(cudaMalloc(&d, x.size()));
		check(cudaMemcpy(d, x.data(), x.size(), cudaMemcpyHostToDevice));
		onDevice.push_back(d);
	}
	check(cudaMalloc(&p, sizeof params));
	check(cudaMemcpy(p, &params, sizeof params, cudaMemcpyHostToDevice));
#endif
	std::string kernel_name = name;
#define CAST(kernel, from, to)                                              \
	if (kernel_name == #kernel) {                                           \
		from *src = buffer<from>(b, 0);                                     \
		to *dst = buffer<to>(b, 1);                                         \
		each(params, THREAD { kernel(src, dst, p, i); });                \
	} else
	CAST(cast_f32_bf16, uint, ushort)
	CAST(cast_f32_f16, uint, ushort)
	CAST(cast_bf16_f32, ushort, uint)
	CAST(cast_f16_f32, ushort, uint)
	CAST(cast_bf16_f16, ushort, ushort)
	CAST(cast_f16_bf16, ushort, ushort)
	CAST(cast_e4m3_bf16, uchar, ushort)
	if (kernel_name == "dequant_e4m3") {
		uchar *src = buffer<uchar>(b, 0), *scale = buffer<uchar>(b, 3);
		ushort *dst = buffer<ushort>(b, 1);
		each(params, THREAD { dequant_e4m3(src, dst, p, scale, i); });
	} else if (kernel_name == "quantize_affine") {
		uchar *src = buffer<uchar>(b, 0), *scales = buffer<uchar>(b, 3), *biases = buffer<uchar>(b, 4);
		uint *dst = buffer<uint>(b, 1);
		each(params, THREAD { quantize_affine(src, dst, p, scales, biases, i); });
	} else if (kernel_name == "copy") { // a copy on the device: what memory can do
		uint *src = buffer<uint>(b, 0), *dst = buffer<uint>(b, 1);
		each(params, THREAD {
			if (i < p->n) {
				dst[i] = src[i];
			}
		});
	} else {
		fail("unknown kernel");
	}
	for (size_t i = 0; i < b.size(); i++) {
#ifdef __CUDACC__
		check(cudaMemcpy(b[i].data(), onDevice[i], b[i].size(), cudaMemcpyDeviceToHost));
#endif
		size_t n = b[i].size() - guard;
		for (size_t k = n; k < b[i].size(); k++) {
			if (b[i][k] != untouched) {
				fail("a thread wrote past its buffer");
			}
		}
		std::fwrite(b[i].data(), 1, n, stdout);
	}
	return 0;
}
