// SPDX-License-Identifier: Apache-2.0
// Walkers dealt out to ranks in blocks, and what each knows of its own made known to all. Any
// number of ranks will do; results do not depend on it.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/communicator.h"

namespace ocoee::alloy {

struct Share {  // rows [first, first + count) of `rows` are this rank's
  int64_t rows = 0, first = 0, count = 0, per_rank = 0;
  Share() = default;
  Share(int64_t rows, int rank, int ranks);
  bool holds(int64_t row) const { return row >= first && row < first + count; }
  int rank_of(int64_t row) const { return static_cast<int>(row / per_rank); }
};

// `mine` holds count * width numbers; the result rows * width, on every rank. Collective.
std::vector<double> gather_rows(comm::Communicator& ranks, const Share& share,
                                const std::vector<double>& mine, int64_t width = 1);
std::vector<int64_t> gather_rows(comm::Communicator& ranks, const Share& share,
                                 const std::vector<int64_t>& mine, int64_t width = 1);

// Whether an exchange happens, by the logarithm of its weight and a uniform number in [0, 1).
using ExchangeRule = bool (*)(double gain, double uniform);
bool metropolis_exchange(double gain, double uniform);

}  // namespace ocoee::alloy
