// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/shares.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace ocoee::alloy {

Share::Share(int64_t all, int rank, int ranks) : rows(all), per_rank((all + ranks - 1) / ranks) {
  first = std::min(rows, per_rank * rank);
  count = std::min(rows, first + per_rank) - first;
}

template <class Number>
static std::vector<Number> gather(comm::Communicator& ranks, const Share& share,
                                  const std::vector<Number>& mine, int64_t width, DType dtype) {
  OCOEE_CHECK(static_cast<int64_t>(mine.size()) == share.count * width);
  if (ranks.size() == 1) return mine;
  const int64_t block = share.per_rank * width;
  std::vector<Number> padded(mine), all(static_cast<size_t>(block * ranks.size()));
  padded.resize(static_cast<size_t>(block));
  ranks.all_gather({padded.data(), block, dtype, {}},
                   {all.data(), static_cast<int64_t>(all.size()), dtype, {}});
  all.resize(static_cast<size_t>(share.rows * width));
  return all;
}

std::vector<double> gather_rows(comm::Communicator& ranks, const Share& share,
                                const std::vector<double>& mine, int64_t width) {
  return gather(ranks, share, mine, width, DType::f64);
}
std::vector<int64_t> gather_rows(comm::Communicator& ranks, const Share& share,
                                 const std::vector<int64_t>& mine, int64_t width) {
  return gather(ranks, share, mine, width, DType::i64);
}

bool metropolis_exchange(double gain, double uniform) {
  return gain >= 0 || uniform < std::exp(gain);
}

}  // namespace ocoee::alloy
