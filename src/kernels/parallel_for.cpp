// SPDX-License-Identifier: Apache-2.0
#include "kernels/parallel_for.h"

#include <algorithm>

#include "core/error.h"
#include "core/host.h"
#include "kernels/number.h"

// The thread sanitizer does not understand the synchronisation inside libgomp, so under it plain
// threads do the work.
#if defined(_OPENMP) && !defined(__SANITIZE_THREAD__)
#define OCOEE_USE_OPENMP 1
#include <omp.h>
#else
#include <thread>
#include <vector>
#endif

namespace ocoee::kernels {
namespace {

// CPU kernels are compiled for x86-64-v3 (OCOEE_NATIVE), unlike the rest of the program.
bool check_processor() {
#if defined(__x86_64__) && defined(OCOEE_NEEDS_AVX2)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    fail(ErrorKind::device,
         "this processor lacks AVX2 and FMA, which the CPU kernels were compiled for\n"
         "    fix: configure with -DOCOEE_NATIVE=x86-64");
  }
#endif
  return true;
}

#ifndef OCOEE_USE_OPENMP
int threads_wanted = static_cast<int>(usable_cores().size());
#endif

}  // namespace

#ifdef OCOEE_USE_OPENMP
int thread_count() {
  return omp_in_parallel() ? 1 : omp_get_max_threads();
}
void set_thread_count(int threads) {
  omp_set_num_threads(std::max(1, threads));
}
#else
int thread_count() {
  return threads_wanted;
}
void set_thread_count(int threads) {
  threads_wanted = std::max(1, threads);
}
#endif

void run_ranges(int64_t n, int64_t grain, RangeFunction function, const void* body) {
  static const bool checked = check_processor();
  static_cast<void>(checked);
  if (n <= 0) return;
  const int64_t pieces =
      std::min<int64_t>(thread_count(), (n + grain - 1) / std::max<int64_t>(1, grain));
  if (pieces <= 1) return function(body, 0, n);
  const int64_t each = (n + pieces - 1) / pieces;
#ifdef OCOEE_USE_OPENMP
#pragma omp parallel for num_threads(static_cast <int>(pieces)) schedule(static, 1)
  for (int64_t p = 0; p < pieces; ++p) {
    if (p * each < n) function(body, p * each, std::min(n, (p + 1) * each));
  }
#else
  std::vector<std::thread> team;
  for (int64_t p = 1; p < pieces && p * each < n; ++p) {
    team.emplace_back(function, body, p * each, std::min(n, (p + 1) * each));
  }
  function(body, 0, std::min(n, each));
  for (std::thread& thread : team) thread.join();
#endif
}

void unsupported_dtype(DType dtype, const char* kernel) {
  fail(ErrorKind::internal, "kernel {} has no version for element type {}", kernel, name_of(dtype));
}

}  // namespace ocoee::kernels
