// Makes CUDA of kernels.metal, in two steps. First the preprocessor alone, with
// -DFIRST: CUDA's own names have "device" in them, so that word must be gone before
// they are known. Then nvcc, on what came out.
#ifdef FIRST
#define static ON_GPU
#define kernel ON_GPU
#define device
#define constant const
#else
#define ON_GPU static __device__
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
ON_GPU uint clz(uint x) { return __clz(x); }
template <class T, class U> ON_GPU T as_type(U u) {
	union { U from; T to; } both = {u};
	return both.to;
}
#endif
