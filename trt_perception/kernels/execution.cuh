// What every kernel needs: its declaration, and numbers as networks store them.
//
// All kernels are compiled without fused multiply-add and without fast mathematics (see
// compiling.py): they repeat the CPU's arithmetic operation by operation, so that results are
// equal, not similar. The tests compile the same files for the host; there host_execution.h
// stands for the device.
#pragma once

#ifdef TRT_PERCEPTION_ON_HOST
#include "host_execution.h"
#else
// A kernel takes one struct by value. A captured CUDA graph keeps it, and no buffer of
// parameters has to stay alive until the kernel has run.
#define KERNEL(threads, name, Call) \
  extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ Call call)

__device__ inline float from_half(unsigned short bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
#endif

struct Half {
  unsigned short bits;
};

__device__ inline float number(float value) { return value; }
__device__ inline float number(Half value) { return from_half(value.bits); }

template <typename T>
__device__ inline T least(T a, T b) { return b < a ? b : a; }

template <typename T>
__device__ inline T greatest(T a, T b) { return a < b ? b : a; }

template <typename T>
__device__ inline T between(T value, T low, T high) { return least(greatest(value, low), high); }

// False for NaN too.
__device__ inline bool is_finite(float value) {
  const float most = 3.402823466e38f;
  return value >= -most && value <= most;
}
