// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/configuration.h"

#include <cstdlib>

#include "core/error.h"

namespace ocoee::alloy {

Grid::Grid(const Lattice& lattice, std::array<int, 3> halo)
    : lattice_(lattice), sites_(lattice.sites()), basis_(lattice.basis()) {
  const CellIndex& repeats = lattice.repeats();
  places_ = basis_;
  for (size_t k = 0; k < 3; ++k) {
    repeats_[k] = static_cast<int>(repeats[k]);
    padded_[k] = repeats[k] + 2 * halo[k];
    places_ *= padded_[k];
  }
  if (places_ > INT32_MAX)
    fail(ErrorKind::config,
         "{} sites are too many for one sequential sampler, which holds at most 2^31 places\n"
         "    fix: fewer cells, or the link-cell sampler",
         sites_);
  row_length_ = repeats[2] * basis_;
  padded_row_ = padded_[2] * basis_;
  row_magic_ = UINT64_MAX / static_cast<uint64_t>(row_length_) + 1;

  for (int64_t column = 0; column < row_length_; ++column) {
    first_column_.push_back((column + halo[2] * basis_) % row_length_);
    column_basis_.push_back(static_cast<uint16_t>(column % basis_));
  }
  for (int x = 0; x < repeats_[0]; ++x) {
    for (int y = 0; y < repeats_[1]; ++y) {
      row_cell_.push_back({x, y});
      row_place_.push_back(((x + halo[0]) * padded_[1] + y + halo[1]) * padded_row_ +
                           halo[2] * basis_);
      image_start_.push_back(image_rows_.size());
      for (int64_t px = (x + halo[0]) % repeats_[0]; px < padded_[0]; px += repeats_[0])
        for (int64_t py = (y + halo[1]) % repeats_[1]; py < padded_[1]; py += repeats_[1])
          image_rows_.push_back((px * padded_[1] + py) * padded_row_);
    }
  }
  image_start_.push_back(image_rows_.size());

  for (size_t k = 0; k < 2; ++k) {
    near_[k].assign(static_cast<size_t>(2 * repeats_[k] + 1), 0);
    for (int step = -repeats_[k]; step <= repeats_[k]; ++step) {
      const int around = std::abs(step), other = repeats_[k] - around;
      near_[k][static_cast<size_t>(step + repeats_[k])] = around <= halo[k] || other <= halo[k];
    }
  }
}

std::vector<uint8_t> Configuration::species() const {
  std::vector<uint8_t> out(static_cast<size_t>(sites()));
  for (int64_t site = 0; site < sites(); ++site)
    out[static_cast<size_t>(site)] = static_cast<uint8_t>((*this)[site]);
  return out;
}

void Configuration::assign(const std::vector<uint8_t>& species) {
  OCOEE_CHECK(static_cast<int64_t>(species.size()) == sites());
  for (int64_t site = 0; site < sites(); ++site) set(site, species[static_cast<size_t>(site)]);
}

std::vector<int64_t> Configuration::composition(int species) const {
  std::vector<int64_t> atoms(static_cast<size_t>(species), 0);
  for (int64_t site = 0; site < sites(); ++site) ++atoms[static_cast<size_t>((*this)[site])];
  return atoms;
}

}  // namespace ocoee::alloy
