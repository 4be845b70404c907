// SPDX-License-Identifier: Apache-2.0
#include "kernels/alloy_swap.h"

#include <atomic>

#include "kernels/alloy_cell.h"
#include "kernels/alloy_sites.h"
#include "kernels/parallel_for.h"

namespace ocoee::kernels {
namespace {

template <class Body>
void with_planes(int planes, const Body& body) {
  if (planes == 1) return body(std::integral_constant<int, 1>{});
  if (planes == 2) return body(std::integral_constant<int, 2>{});
  body(std::integral_constant<int, 4>{});
}

template <class Body>
void with_shape(const AlloyLattice& lattice, const Body& body) {
  with_planes(lattice.planes, [&](auto planes) {
    if (lattice.basis == 1) return body(planes, std::integral_constant<int, 1>{});
    if (lattice.basis == 2) return body(planes, std::integral_constant<int, 2>{});
    body(planes, std::integral_constant<int, 4>{});
  });
}

void add(int64_t& sum, int64_t value) {
  std::atomic_ref<int64_t>(sum).fetch_add(value, std::memory_order_relaxed);
}

}  // namespace

AlloyOrigin alloy_origin(const AlloyLattice& lattice, uint64_t seed, uint64_t step,
                         int64_t replica) {
  return alloy_origin_of(lattice, philox_rounds(random_key(seed, Purpose::monte_carlo, step)),
                         replica);
}

namespace cpu {

// Threads share out rows of link cells. Cores and surroundings of different rows lie on different
// rows of words, so no two threads touch one word.
void alloy_swap(const AlloySwap& a) {
  const AlloyGeometry& g = a.geometry;
  const PhiloxRounds rounds = philox_rounds(random_key(a.seed, Purpose::monte_carlo, a.step));
  const int64_t rows = a.lattice.replicas * a.link_layers * g.links[1];
  with_shape(a.lattice, [&](auto planes, auto basis) {
    parallel_for(rows, 1, [&](int64_t begin, int64_t end) {
      uint32_t tile[kAlloyTileWords];
      for (int64_t r = begin; r < end; ++r) {
        const int64_t replica = r / (a.link_layers * g.links[1]);
        int64_t k[3] = {0, r % g.links[1], a.first_link + r / g.links[1] % a.link_layers};
        AlloyCell<planes(), basis(), 1> cell(a, rounds, tile);
        for (; k[0] < g.links[0]; ++k[0])
          cell.visit(replica, k, a.beta[replica],
                     [](uint32_t* word, uint32_t bits) { *word ^= bits; });
        AlloySums& sums = a.sums[replica * AlloySums::kSlots];
        add(sums.trials, cell.trials), add(sums.accepted, cell.accepted);
        add(sums.energy, cell.energy);
      }
    });
  });
}

void alloy_count(const AlloyCount& a) {
  const int64_t rows = a.lattice.replicas * a.layers * a.lattice.basis * a.lattice.cells[1];
  const size_t size = static_cast<size_t>(a.shells * a.species * a.species);
  with_planes(a.lattice.planes, [&](auto planes) {
    parallel_for(rows, 1, [&](int64_t begin, int64_t end) {
      std::vector<int64_t> sums(size);
      int64_t replica = begin / (rows / a.lattice.replicas);
      const auto give = [&] {
        for (size_t k = 0; k < size; ++k) {
          if (sums[k])
            std::atomic_ref<uint64_t>(a.counts[static_cast<size_t>(replica) * size + k])
                .fetch_add(static_cast<uint64_t>(sums[k]), std::memory_order_relaxed);
          sums[k] = 0;
        }
      };
      for (int64_t r = begin; r < end; ++r) {
        const AlloyRow row = alloy_row(a, r);
        if (row.replica != replica) give(), replica = row.replica;
        for (int64_t w = 0; w < a.lattice.row_words(); ++w)
          count_word<planes()>(
              a, row, w, [&](int index, int count) { sums[static_cast<size_t>(index)] += count; });
      }
      give();
    });
  });
}

void alloy_fill(const AlloyFill& a) {
  const PhiloxRounds rounds = philox_rounds(random_key(a.seed, Purpose::initialization, 0));
  const int64_t columns = a.lattice.words() / a.lattice.planes;
  with_planes(a.lattice.planes, [&](auto planes) {
    parallel_for(columns, 64, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) fill_word<planes()>(a, rounds, c);
    });
  });
}

}  // namespace cpu
}  // namespace ocoee::kernels
