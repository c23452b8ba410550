// Runs kernels on the host, so that their very source can be tested without a GPU.
//
// The threads of a block are fibers of one thread of the host. A fiber runs until it ends or
// waits at a barrier; once all wait there, all go on. Blocks and threads take their turns in an
// order drawn from a seed, so that a kernel that relies on an order fails. A barrier that some
// threads of a block never reach is an error, as it is for compute-sanitizer's synccheck.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#define __device__
#define __shared__ static

struct Dimensions {
  unsigned int x, y, z;
};
static Dimensions threadIdx, blockIdx, blockDim, gridDim;

namespace host {

const size_t STACK = 64 << 10;

struct Fiber {
  jmp_buf place;
  ucontext_t first;
  std::unique_ptr<char[]> stack;
  unsigned int thread = 0;
  bool started = false, waits = false;
};

typedef void (*Body)(const void* call);

struct Block {
  Body body;
  const void* call;
  std::vector<unsigned int> order;
  size_t next;
  jmp_buf scheduler;
  Fiber* current;
};
static Block block;
static std::vector<std::unique_ptr<Fiber>> fibers;

__attribute__((noinline)) static void change(jmp_buf& from, jmp_buf& to) {
  if (_setjmp(from) == 0) _longjmp(to, 1);
  asm volatile("" ::: "memory");
}

inline void become(unsigned int thread) {
  threadIdx.x = thread % blockDim.x;
  threadIdx.y = thread / blockDim.x % blockDim.y;
  threadIdx.z = thread / blockDim.x / blockDim.y;
}

// A fiber runs one thread after the other, until one waits at a barrier.
static void work() {
  for (;;) {
    while (block.next < block.order.size()) {
      Fiber* fiber = block.current;
      fiber->thread = block.order[block.next++];
      become(fiber->thread);
      block.body(block.call);
    }
    change(block.current->place, block.scheduler);
  }
}

__attribute__((noinline)) static void resume(Fiber& fiber) {
  block.current = &fiber;
  fiber.waits = false;
  become(fiber.thread);
  if (_setjmp(block.scheduler) != 0) {
    asm volatile("" ::: "memory");
    return;
  }
  if (fiber.started) _longjmp(fiber.place, 1);
  fiber.started = true;
  fiber.stack.reset(new char[STACK]);
  getcontext(&fiber.first);
  fiber.first.uc_stack.ss_sp = fiber.stack.get();
  fiber.first.uc_stack.ss_size = STACK;
  fiber.first.uc_link = nullptr;
  makecontext(&fiber.first, work, 0);
  setcontext(&fiber.first);
}

inline void barrier() {
  Fiber* fiber = block.current;
  fiber->waits = true;
  change(fiber->place, block.scheduler);
}

// False if some threads of the block waited for others that had ended.
inline bool run_block(std::mt19937& random) {
  std::vector<Fiber*> waiting;
  std::shuffle(block.order.begin(), block.order.end(), random);
  block.next = 0;
  for (size_t used = 0; block.next < block.order.size(); ++used) {
    if (used == fibers.size()) fibers.emplace_back(new Fiber);
    resume(*fibers[used]);
    if (fibers[used]->waits) waiting.push_back(fibers[used].get());
  }
  while (!waiting.empty()) {
    if (waiting.size() != block.order.size()) {
      // The fibers that wait will never go on.
      for (Fiber* fiber : waiting) fiber->started = false;
      return false;
    }
    std::shuffle(waiting.begin(), waiting.end(), random);
    std::vector<Fiber*> next;
    for (Fiber* fiber : waiting) {
      resume(*fiber);
      if (fiber->waits) next.push_back(fiber);
    }
    waiting.swap(next);
  }
  return true;
}

inline int run(Body body, const unsigned int* grid, const unsigned int* threads, const void* call,
               unsigned int seed) {
  std::mt19937 random(seed);
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {threads[0], threads[1], threads[2]};
  block.body = body;
  block.call = call;
  block.order.resize((size_t)threads[0] * threads[1] * threads[2]);
  for (size_t i = 0; i < block.order.size(); ++i) block.order[i] = (unsigned int)i;
  std::vector<size_t> blocks((size_t)grid[0] * grid[1] * grid[2]);
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = i;
  std::shuffle(blocks.begin(), blocks.end(), random);
  for (size_t i : blocks) {
    blockIdx.x = (unsigned int)(i % grid[0]);
    blockIdx.y = (unsigned int)(i / grid[0] % grid[1]);
    blockIdx.z = (unsigned int)(i / grid[0] / grid[1]);
    if (!run_block(random)) return 1;
  }
  return 0;
}

}  // namespace host

inline void __syncthreads() { host::barrier(); }

template <typename T>
inline T atomicAdd(T* place, T value) {
  const T before = *place;
  *place += value;
  return before;
}
template <typename T>
inline T atomicOr(T* place, T value) {
  const T before = *place;
  *place |= value;
  return before;
}
template <typename T>
inline T atomicAnd(T* place, T value) {
  const T before = *place;
  *place &= value;
  return before;
}

inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __popc(unsigned int bits) { return __builtin_popcount(bits); }
inline int __float2int_rn(float value) { return (int)lrintf(value); }

inline unsigned int __float_as_uint(float value) {
  unsigned int bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float __uint_as_float(unsigned int bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

inline float from_half(unsigned short bits) {
  const unsigned int sign = (unsigned int)(bits & 0x8000) << 16;
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | (unsigned int)mantissa << 13);
  const float size = exponent ? ldexpf((float)(mantissa + 1024), exponent - 25)
                              : ldexpf((float)mantissa, -24);
  return sign ? -size : size;
}

// A kernel `name` becomes a function that runs all its blocks, and `name_bytes`, which gives the
// size of its parameters.
#define KERNEL(most_threads, name, Call)                                                        \
  static void name##_thread(const Call& call);                                                  \
  static void name##_body(const void* call) { name##_thread(*(const Call*)call); }              \
  extern "C" unsigned int name##_bytes() { return sizeof(Call); }                               \
  extern "C" int name(const unsigned int* grid, const unsigned int* threads, const void* call,  \
                      unsigned int seed) {                                                      \
    if (threads[0] * threads[1] * threads[2] > (most_threads)) return 2;                        \
    return host::run(name##_body, grid, threads, call, seed);                                   \
  }                                                                                             \
  static void name##_thread(const Call& call)
