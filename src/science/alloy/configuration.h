// SPDX-License-Identifier: Apache-2.0
// Which species sits on which site, stored with ghost images around the supercell, so that the
// neighbours of a site lie at constant distances in memory and no index is ever wrapped.
//
// A cell smaller than the halo is wound around as often as needed: an image met twice is seen
// twice, and a site may see itself.
#pragma once

#include <memory>
#include <vector>

#include "science/alloy/lattice.h"

namespace ocoee::alloy {

// Where sites lie in the padded array. Shared by configurations and the models that read them.
class Grid {
 public:
  // `halo`: cells of padding on either side, along each edge. Error(config) above 2^31 places.
  Grid(const Lattice& lattice, std::array<int, 3> halo);

  const Lattice& lattice() const { return lattice_; }
  int64_t sites() const { return sites_; }
  int64_t places() const { return places_; }
  int64_t place(int64_t site) const {
    const auto row = row_of(static_cast<uint32_t>(site));
    return row_place_[row] + (site - static_cast<int64_t>(row) * row_length_);
  }
  struct Located {
    int64_t place;
    size_t basis, row;
  };
  Located locate(int64_t site) const {
    const size_t row = row_of(static_cast<uint32_t>(site));
    const int64_t column = site - static_cast<int64_t>(row) * row_length_;
    return {row_place_[row] + column, column_basis_[static_cast<size_t>(column)], row};
  }
  // From the place of a site of basis `from` to the place of the site the bond leads to.
  int64_t displacement(const Bond& bond, int from) const {
    return ((static_cast<int64_t>(bond.cell[0]) * padded_[1] + bond.cell[1]) * padded_[2] +
            bond.cell[2]) *
               basis_ +
           bond.to - from;
  }
  // visit(place) for the site and each of its ghosts.
  template <class Visit>
  void for_each_image(int64_t site, Visit&& visit) const {
    const size_t row = row_of(static_cast<uint32_t>(site));
    const int64_t column = site - static_cast<int64_t>(row) * row_length_;
    for (size_t image = image_start_[row]; image < image_start_[row + 1]; ++image)
      for (int64_t at = first_column_[static_cast<size_t>(column)]; at < padded_row_;
           at += row_length_)
        visit(image_rows_[image] + at);
  }
  // Whether a bond within the halo may join the two; never false where one does.
  bool may_be_near(const Located& a, const Located& b) const {
    const auto& first = row_cell_[a.row];
    const auto& second = row_cell_[b.row];
    return near_[0][static_cast<size_t>(first[0] - second[0] + repeats_[0])] != 0 &&
           near_[1][static_cast<size_t>(first[1] - second[1] + repeats_[1])] != 0;
  }

 private:
  // site / row_length by multiplication (Lemire, Kaser and Kurz, 2019).
  size_t row_of(uint32_t site) const {
    if (row_length_ == 1) return site;
    return static_cast<size_t>((static_cast<unsigned __int128>(row_magic_) * site) >> 64);
  }

  Lattice lattice_;
  int64_t sites_, places_, basis_;
  std::array<int, 3> repeats_{};
  std::array<int64_t, 3> padded_{};
  int64_t row_length_, padded_row_;  // places along the fastest edge
  uint64_t row_magic_;
  std::vector<int64_t> row_place_;            // of a row's first site
  std::vector<std::array<int, 2>> row_cell_;  // x, y
  std::vector<size_t> image_start_;           // of each row in image_rows_
  std::vector<int64_t> image_rows_;           // places where its images begin, padding included
  std::vector<uint16_t> column_basis_;
  std::vector<int64_t> first_column_;  // first image of a column within a padded row
  std::array<std::vector<uint8_t>, 2> near_;
};

class Configuration {
 public:
  // All sites hold species 0.
  explicit Configuration(std::shared_ptr<const Grid> grid)
      : grid_(std::move(grid)), places_(static_cast<size_t>(grid_->places()), 0) {}

  const Grid& grid() const { return *grid_; }
  int64_t sites() const { return grid_->sites(); }
  int operator[](int64_t site) const { return places_[static_cast<size_t>(grid_->place(site))]; }
  void set(int64_t site, int species) {
    grid_->for_each_image(site, [&](int64_t place) {
      places_[static_cast<size_t>(place)] = static_cast<uint8_t>(species);
    });
  }
  void swap(int64_t a, int64_t b) {
    const int first = (*this)[a];
    set(a, (*this)[b]);
    set(b, first);
  }
  std::vector<uint8_t> species() const;  // by site
  void assign(const std::vector<uint8_t>& species);
  std::vector<int64_t> composition(int species) const;  // atoms of each

  // The padded array: what a model reads.
  const uint8_t* places() const { return places_.data(); }

 private:
  std::shared_ptr<const Grid> grid_;
  std::vector<uint8_t> places_;
};

}  // namespace ocoee::alloy
