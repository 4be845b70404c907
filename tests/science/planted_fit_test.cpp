// SPDX-License-Identifier: Apache-2.0
// Planted pair interactions of four species, recovered from energies of arrangements: in the
// unlike-pair gauge, over varied compositions, in cells larger than six shells (bcc 5 x 5 x 5 has
// 250 sites; the sixth shell lies at 2 lattice constants, half the cell at 2.5).
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "core/random.h"
#include "science/alloy/features.h"
#include "science/alloy/training_set.h"

namespace ocoee::alloy {
namespace {

constexpr int kShells = 6;
const std::vector<std::string> kSpecies = {"Mo", "Nb", "Ta", "W"};

class Planted {
 public:
  explicit Planted(int counted)
      : lattice_(lattice_cell("bcc", 3.2), {5, 5, 5}), space_(lattice_.cell(), kSpecies, counted) {
    RandomStream random(11, Purpose::plugin_first, 0, 0);
    for (int64_t j = 0; j < space_.columns(); ++j) {
      // Energies of the elements, about -10 eV; pairs of tens of meV that fall off with distance.
      const int64_t shell = (j - 4) / 6;
      truth_.push_back(j < 4 ? -10 + random.normal()
                       : shell >= kShells
                           ? 0
                           : 0.04 * random.normal() / static_cast<double>(1 + shell));
    }
  }
  // `cells` random arrangements; each energy a site with a normal error.
  Design cells(int64_t cells, double noise, uint64_t seed) const {
    Design d;
    d.columns = space_.columns();
    d.free = 4;
    RandomStream random(seed, Purpose::plugin_first, 1, 0);
    for (const Arranged& entry : training_set(lattice_, kSpecies, cells, 0, seed)) {
      if (entry.name.starts_with("pure")) continue;
      const std::vector<double> row = space_.of(lattice_, entry.species);
      double energy = noise * random.normal();
      for (size_t j = 0; j < row.size(); ++j) energy += truth_[j] * row[j];
      d.features.insert(d.features.end(), row.begin(), row.end());
      d.targets.push_back(energy);
      ++d.rows;
    }
    return d;
  }
  std::vector<std::vector<int64_t>> candidates() const {
    std::vector<std::vector<int64_t>> out;
    for (int shells = 1; shells <= static_cast<int>(space_.shells().size()); ++shells)
      out.push_back(space_.columns_with(shells));
    return out;
  }
  const std::vector<double>& truth() const { return truth_; }
  const FeatureSpace& space() const { return space_; }

 private:
  Lattice lattice_;
  FeatureSpace space_;
  std::vector<double> truth_;
};

TEST(PlantedFit, RecoveredFromTwoHundredCellsWithoutNoise) {
  const Planted planted(kShells);
  const Design data = planted.cells(200, 0, 1);
  ASSERT_EQ(data.rows, 200);
  double largest = 0;
  for (size_t j = 4; j < planted.truth().size(); ++j)
    largest = std::max(largest, std::abs(planted.truth()[j]));
  for (const Shrinkage shrinkage :
       {Shrinkage::none, Shrinkage::leave_one_out, Shrinkage::evidence}) {
    const Fit found = fit(data, shrinkage);
    for (size_t j = 0; j < planted.truth().size(); ++j) {
      const double size = j < 4 ? std::abs(planted.truth()[j]) : largest;
      EXPECT_NEAR(found.coefficients[j], planted.truth()[j], 1e-8 * size)
          << planted.space().names()[j];
    }
  }
}

// Of n cells least squares expects a test error of sqrt(1 + p / (n - p - 1)) times the noise, for p
// = 40 parameters: 1.119 of 200 cells, and below 1.1 from 232 on.
TEST(PlantedFit, BicFindsTheShellsAndTheErrorIsTheNoise) {
  constexpr double kNoise = 5e-4;  // eV a site
  constexpr int kSeeds = 10;
  const Planted planted(9);
  for (const int64_t cells : {200, 400}) {
    int right = 0;
    double mean = 0;
    for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
      const Design data = planted.cells(cells, kNoise, seed);
      const Choice choice = choose_by_bic(data, planted.candidates());
      right += choice.best + 1 == kShells;
      const std::vector<int64_t> columns = planted.candidates()[choice.best];
      const Fit found = fit(data.only_columns(columns), Shrinkage::evidence);
      const Design test = planted.cells(2000, kNoise, 100 + seed).only_columns(columns);
      const double error = rmse(found, test) / kNoise;
      mean += error / kSeeds;
      if (cells == 400) {
        EXPECT_LE(error, 1.1) << seed;
      }
      EXPECT_NEAR(found.noise, kNoise, (cells == 400 ? 0.1 : 0.15) * kNoise);
    }
    std::printf(
        "%lld cells: BIC right %d of %d times, test error %.3f times the noise on average\n",
        static_cast<long long>(cells), right, kSeeds, mean);
    EXPECT_GE(right, 9);
    EXPECT_NEAR(mean, std::sqrt(1 + 40.0 / static_cast<double>(cells - 41)), 0.02);
  }
}

}  // namespace
}  // namespace ocoee::alloy
