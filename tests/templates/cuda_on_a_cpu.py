"""Kernels in CUDA C++ on a CPU: a thread is a fiber, and blocks run one after the other.

For what a kernel computes, not for how fast. Its source stays as it is, but for two lines of
assembler.
"""

import ctypes
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

Given = Sequence[torch.Tensor | int]
ASSEMBLER = {
    'asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));': "y = exp2f(x);",
    'asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));': (
        "both = to_bf16(high) << 16 | to_bf16(low);"
    ),
}
SHIMS = r"""
#include <setjmp.h>
#include <ucontext.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#define __device__ static
#define __global__
#define __shared__ static
#define __launch_bounds__(threads)
using std::min;

struct Place { int x, y; };
struct uint2 { unsigned x, y; };
struct uint4 { unsigned x, y, z, w; };
struct float2 { float x, y; };
struct float4 { float x, y, z, w; };

static Place threadIdx, blockIdx, gridDim;
static jmp_buf scheduler, fibers[THREADS];
static char stacks[THREADS][1 << 16];
static float shuffled[THREADS];

static void yield() {
  if (!_setjmp(fibers[threadIdx.x])) _longjmp(scheduler, 1);
}

struct Barrier {
  int arrived = 0, passed = 0;
  void wait(int count) {
    const int before = passed;
    if (++arrived == count) arrived = 0, passed++;
    while (passed == before) yield();
  }
};
static Barrier block, warps[THREADS / 32];

static void __syncthreads() { block.wait(THREADS); }
static void __threadfence() {}
template <class T> static T __ldcg(const T* at) { return *at; }
static int atomicAdd(int* at, int more) { return std::exchange(*at, *at + more); }
static float rsqrtf(float x) { return 1 / sqrtf(x); }
static int __float2int_rn(float x) { return (int)lrintf(x); }

static float __uint_as_float(unsigned bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

static unsigned to_bf16(float x) {
  unsigned bits;
  memcpy(&bits, &x, 4);
  return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

static unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const unsigned long long both = (unsigned long long)y << 32 | x;
  unsigned made = 0;
  for (int i = 0; i < 4; i++)
    made |= (unsigned)(both >> 8 * (selector >> 4 * i & 7) & 255) << 8 * i;
  return made;
}

static float __shfl_xor_sync(unsigned, float x, int lanes) {
  const int thread = threadIdx.x;
  shuffled[thread] = x;
  warps[thread / 32].wait(32);
  const float other = shuffled[thread ^ lanes];
  warps[thread / 32].wait(32);
  return other;
}
"""
LAUNCH = r"""
static void** places;
static enum { NEW, RUNNING, ENDED } state[THREADS];

template <class... A, size_t... I>
static void call(void (*kernel)(A...), std::index_sequence<I...>) {
  kernel(*(A*)places[I]...);
}

template <class... A>
static void spread(void (*kernel)(A...)) { call(kernel, std::index_sequence_for<A...>()); }

static void fiber() {
  spread(KERNEL);
  state[threadIdx.x] = ENDED;
  _longjmp(scheduler, 1);
}

static void start(int thread) {
  ucontext_t made;
  getcontext(&made);
  made.uc_stack = {stacks[thread], 0, sizeof stacks[thread]};
  makecontext(&made, fiber, 0);
  state[thread] = RUNNING;
  setcontext(&made);
}

static void go_on(int thread) {
  threadIdx = {thread, 0};
  if (_setjmp(scheduler)) return;
  if (state[thread] == NEW) start(thread);
  _longjmp(fibers[thread], 1);
}

extern "C" void launch(int width, int height, void** given) {
  places = given, gridDim = {width, height};
  for (int at = 0; at < width * height; at++) {
    blockIdx = {at % width, at / width};
    for (int i = 0; i < THREADS; i++) state[i] = NEW;
    for (bool busy = true; busy;) {
      busy = false;
      for (int i = 0; i < THREADS; i++)
        if (state[i] != ENDED) go_on(i), busy = true;
    }
  }
}
"""


def compiled(
    source: str, name: str, settings: dict[str, int | str], folder: Path
) -> Callable[[tuple[int, int], int, Given], None]:
    """Compile a kernel with g++; it is called as one of `kernels.py` is."""
    for old, new in ASSEMBLER.items():
        assert source.count(old) == 1
        source = source.replace(old, new)
    defined = [f"-D{key}={value}" for key, value in settings.items()]
    options = [
        "-O2",
        "-U_FORTIFY_SOURCE",
        "-w",
        "-std=c++17",
        "-shared",
        "-fPIC",
        "-fno-strict-aliasing",
        f"-DKERNEL={name}",
    ]
    (folder / "kernel.cpp").write_text(SHIMS + source + LAUNCH)
    made = [folder / "kernel.so", folder / "kernel.cpp"]
    subprocess.run(["g++", *options, *defined, "-o", *made], check=True)
    library = ctypes.CDLL(str(folder / "kernel.so"))

    def launch(grid: tuple[int, int], threads: int, given: Given) -> None:
        assert threads == settings["THREADS"]
        values = [
            ctypes.c_void_p(one.data_ptr())
            if isinstance(one, torch.Tensor)
            else ctypes.c_int(one)
            for one in given
        ]
        places = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        library.launch(*grid, places)

    return launch
