// SPDX-License-Identifier: Apache-2.0
// Multi-spin Ising sweeps from the ordered state.
#include <cstdio>

#include "alloys_gpu/alloys_gpu.h"
#include "kernels/alloy_ising.h"

namespace ocoee::bench {

void ising_speed(const device::Stream& stream, int64_t size, double temperature, int sweeps) {
  using namespace kernels;
  const OnDevice<uint32_t> black(stream, size * size / 64), white(stream, size * size / 64);
  const OnDevice<uint64_t> sums(stream, 2);
  Ising a;
  a.width = a.height = size, a.beta = 1 / temperature, a.seed = 1;
  a.spins[0] = black.data(), a.spins[1] = white.data();
  const auto sweep = [&](int count) {
    for (int s = 0; s < count; ++s, ++a.sweep) ising_sweep(a, stream);
  };
  sweep(20);
  const double ms = device_milliseconds(stream, [&] { sweep(sweeps); });
  ising_measure({size, size, {black.data(), white.data()}, sums.data()}, stream);
  const auto n = static_cast<double>(size) * static_cast<double>(size);
  const auto measured = sums.read();
  std::printf(
      "ising %lld^2  T %.3f  %8.3f ms/sweep  %.3e flips/s  (u %.6f, |m| %.6f after %llu sweeps)\n",
      static_cast<long long>(size), temperature, ms / sweeps, n * sweeps / ms * 1e3,
      2 * static_cast<double>(measured[1]) / n - 2,
      std::abs(2 * static_cast<double>(measured[0]) / n - 1),
      static_cast<unsigned long long>(a.sweep));
  std::fflush(stdout);
}

}  // namespace ocoee::bench
