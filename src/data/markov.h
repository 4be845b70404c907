// SPDX-License-Identifier: Apache-2.0
// The best that a table of counts can do: order-k Markov models of a genome, the baselines that a
// language model must beat.
//
// Words of k + 1 bases are counted on the training part and on its reverse complement. The held-out
// part is scored forward, each base A C G T once, by
//   p(b | context) = (count(context b) + alpha) / (count(context) + 4 alpha)
// with the longest context of at most k known bases that precedes b in its segment. The best alpha
// of {0.1, 1, 4, 16} is reported, chosen on the held-out part itself, in favour of the baseline.
#pragma once

#include <vector>

#include "data/corpus.h"

namespace ocoee::data {

struct MarkovScore {
  int order = 0;  // k
  double alpha = 0;
  double bits_per_base = 0;
};

// Orders 0 .. max_order (at most 13; order k needs 16 * 4^k bytes for a while). Throws Error(data)
// when a part has no base A C G T.
std::vector<MarkovScore> markov_baselines(const Part& training, const Part& held_out,
                                          int max_order = 12);

MarkovScore best_of(const std::vector<MarkovScore>& scores);  // lowest bits per base

}  // namespace ocoee::data
