// Makes CUDA of kernels.metal.
#include <cstdint>
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
#define static static __device__
#define kernel __device__
#define device
#define constant const
static uint clz(uint x) { return __clz(x); }
template <class T, class U> static T as_type(U u) {
	union { U from; T to; } both = {u};
	return both.to;
}
