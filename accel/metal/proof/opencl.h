// Makes C++ for OpenCL of kernels.metal, whose compiler is as strict as Metal's
// about address spaces and about what a GPU cannot do.
#define device __global
#define constant __constant
template <class T, class U> static T as_type(U u) { return __builtin_astype(u, T); }
