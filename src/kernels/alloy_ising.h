// SPDX-License-Identifier: Apache-2.0
// The square-lattice Ising model, E = -J sum s s', one bit a spin: checkerboard Metropolis sweeps.
//
// Colour c of row y holds the spins at x = 2 k + (y + c) % 2, k = 0 .. width / 2 - 1, in words of
// 32 that follow one another: spins[c] is [height][width / 64]. Both edges are periodic.
//
// A spin with at least two antiparallel neighbours flips; one with a single one flips with
// probability p = e^(-4 beta J), one with none with p^2 = e^(-8 beta J). Each spin compares a
// uniform number of its own, 40 bits long, with its probability: no two spins share a random bit
// and no bit is used twice. The comparison runs from the highest bit down, for 128 spins at once,
// bit t of all of them being four words of Philox; it is over for a spin at the first bit that
// differs, so after eight bits 1 spin in 256 is left open. Those draw the other 32 bits singly.
//
//   key (seed, monte_carlo, sweep), counter (2 number of the 128 spins + colour, draw): draws 0-7
//   are the bits, draws from 8 on serve open spins in the order of their places
//
// Probabilities are rounded to 2^-40. Bit-equal on CPUs and GPUs.
#pragma once

#include <cstdint>

#include "core/random.h"
#include "device/device.h"

namespace ocoee::kernels {

constexpr int kIsingBits = 8;  // compared for all spins

struct Ising {
  int64_t width = 0, height = 0;  // width: a multiple of 256; height: even
  uint32_t* spins[2] = {nullptr, nullptr};
  double beta = 0;  // J / k_B T >= 0
  uint64_t seed = 0, sweep = 0;
};
// One sweep: colour 0, then colour 1.
void ising_sweep(const Ising& a, const device::Stream& stream);

// sums[0] += spins that are up (1), sums[1] += antiparallel bonds. With N = width height:
// M = 2 up - N, E = -J (2 N - 2 antiparallel).
struct IsingMeasure {
  int64_t width = 0, height = 0;
  const uint32_t* spins[2] = {nullptr, nullptr};
  uint64_t* sums = nullptr;  // on the device
};
void ising_measure(const IsingMeasure& a, const device::Stream& stream);

namespace cpu {
void ising_sweep(const Ising& a);
void ising_measure(const IsingMeasure& a);
}  // namespace cpu
namespace cuda {
void ising_sweep(const Ising& a, const device::Stream& stream);
void ising_measure(const IsingMeasure& a, const device::Stream& stream);
}  // namespace cuda

}  // namespace ocoee::kernels
