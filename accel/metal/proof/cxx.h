// Makes C++ of kernels.metal: a kernel is a function, called once for each thread.
#include <cmath>
#include <cstdint>
#include <cstring>
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
using std::rint;
#define kernel static
#define device
#define constant const
#define thread_position_in_grid maybe_unused
static uint clz(uint x) { return x ? __builtin_clz(x) : 32; }
template <class T, class U> static T as_type(U u) {
	T t;
	std::memcpy(&t, &u, sizeof t);
	return t;
}
