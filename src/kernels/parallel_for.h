// SPDX-License-Identifier: Apache-2.0
// Threads of CPU kernels: the team that OpenMP (and so LibTorch) already has. Kernels split work so
// that results do not depend on the number of threads: each output is computed by one thread, and
// sums are cut into chunks of fixed size.
#pragma once

#include <cstdint>

namespace ocoee::kernels {

int thread_count();  // of the calling thread's next kernel: OMP_NUM_THREADS, or what LibTorch was
                     // told
void set_thread_count(int threads);

using RangeFunction = void (*)(const void* body, int64_t begin, int64_t end);
void run_ranges(int64_t n, int64_t grain, RangeFunction function, const void* body);

// body(begin, end) over pieces of 0..n-1, each of at least `grain` (but for the last); must not
// throw.
template <class Body>
void parallel_for(int64_t n, int64_t grain, const Body& body) {
  run_ranges(
      n, grain,
      [](const void* b, int64_t begin, int64_t end) { (*static_cast<const Body*>(b))(begin, end); },
      &body);
}

}  // namespace ocoee::kernels
