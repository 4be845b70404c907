// SPDX-License-Identifier: Apache-2.0
// How sure a fitted model is of the energy of an arrangement: against the closed form of least
// squares, and against fits to the same structures with noise drawn again and again.
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "run/scratch.h"
#include "science/alloy/cluster_model.h"
#include "science/alloy/features.h"
#include "science/alloy/sublattices.h"
#include "science/alloy/training_set.h"

namespace ocoee::alloy {
namespace {

const std::vector<std::string> kNames{"Cu", "Au"};

// Arrangements of 32 atoms, described by pairs in two shells, and triplets where they are asked
// for.
struct Data {
  explicit Data(int triplets)
      : lattice(lattice_cell("fcc", 3.7), {2, 2, 2}), space(lattice.cell(), kNames, 2, triplets) {
    for (const Arranged& one : training_set(lattice, kNames, 25, 20, 3)) {
      const std::vector<double> row = space.of(lattice, one.species);
      design.features.insert(design.features.end(), row.begin(), row.end());
      ++design.rows;
    }
    design.columns = space.columns();
    design.free = 2;
  }
  void draw(double noise, uint64_t seed) {
    RandomStream random(seed, Purpose::noise, 0, 0);
    design.targets.clear();
    for (int64_t r = 0; r < design.rows; ++r) {
      double energy = noise * random.normal();
      for (int64_t j = 0; j < design.columns; ++j)
        energy += design.row(r)[static_cast<size_t>(j)] * 0.05 / static_cast<double>(j + 1);
      design.targets.push_back(energy);
    }
  }
  // As samplers get it: through the file of the fit.
  std::shared_ptr<const EnergyModel> model_by_file(const Fit& fit) const {
    const run::testing_support::Scratch scratch;
    write_interactions(scratch / "interactions.json", space.interactions(fit, 2));
    return model(read_interactions(scratch / "interactions.json"));
  }
  std::shared_ptr<const EnergyModel> model(const ClusterInteractions& read) const {
    const std::vector<Shell> shells = find_shells(lattice.cell(), 2);
    if (read.has_clusters()) return std::make_shared<ClusterModel>(lattice, shells, read);
    return std::make_shared<PairModel>(lattice, shells, read.pairs);
  }
  // Some that were fitted to and some that were not.
  std::vector<std::vector<uint8_t>> asked() const {
    std::vector<std::vector<uint8_t>> out{arrange(ordering("L1_0"), lattice)};
    for (const Arranged& one : training_set(lattice, kNames, 3, 0, 17)) out.push_back(one.species);
    return out;
  }

  Lattice lattice;
  FeatureSpace space;
  Design design;
};

// By elimination with pivots.
std::vector<double> inverse(std::vector<double> a, size_t n) {
  std::vector<double> out(n * n);
  for (size_t i = 0; i < n; ++i) out[i * n + i] = 1;
  for (size_t k = 0; k < n; ++k) {
    size_t pivot = k;
    for (size_t i = k; i < n; ++i)
      if (std::abs(a[i * n + k]) > std::abs(a[pivot * n + k])) pivot = i;
    for (size_t j = 0; j < n; ++j) {
      std::swap(a[k * n + j], a[pivot * n + j]);
      std::swap(out[k * n + j], out[pivot * n + j]);
    }
    for (size_t i = 0; i < n; ++i) {
      const double factor = i == k ? 1 - 1 / a[k * n + k] : a[i * n + k] / a[k * n + k];
      for (size_t j = 0; j < n; ++j) {
        const double from_a = a[k * n + j], from_out = out[k * n + j];
        a[i * n + j] -= factor * from_a;
        out[i * n + j] -= factor * from_out;
      }
    }
  }
  return out;
}

class Uncertainty : public testing::TestWithParam<int> {};

// N sqrt(s^2 x^T (X^T X)^-1 x), s^2 the squared residuals over rows less columns.
TEST_P(Uncertainty, IsTheClosedFormOfLeastSquares) {
  Data data(GetParam());
  data.draw(1e-3, 1);
  const Design& d = data.design;
  const auto n = static_cast<size_t>(d.columns);
  const Fit found = fit(d, Shrinkage::none);
  std::vector<double> normal(n * n);
  double residuals = 0;
  for (int64_t r = 0; r < d.rows; ++r) {
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j) normal[i * n + j] += d.row(r)[i] * d.row(r)[j];
    residuals += std::pow(found.predict(d.row(r)) - d.targets[static_cast<size_t>(r)], 2);
  }
  const std::vector<double> spread = inverse(normal, n);
  const double variance = residuals / static_cast<double>(d.rows - d.columns);
  const auto model = data.model_by_file(found);
  Configuration configuration(model->grid());
  for (const std::vector<uint8_t>& species : data.asked()) {
    configuration.assign(species);
    const std::vector<double> x = data.space.of(data.lattice, species);
    double expected = 0;
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j) expected += variance * x[i] * spread[i * n + j] * x[j];
    expected = static_cast<double>(data.lattice.sites()) * std::sqrt(expected);
    EXPECT_NEAR(model->uncertainty(configuration), expected, 1e-7 * expected);
  }
}

// Of 400 fits, predictions of the same arrangement scatter as each of them says.
TEST_P(Uncertainty, IsTheScatterOfRepeatedFits) {
  Data data(GetParam());
  constexpr int kFits = 400;
  const std::vector<std::vector<uint8_t>> asked = data.asked();
  for (const Shrinkage shrinkage : {Shrinkage::none, Shrinkage::evidence}) {
    std::vector<double> sum(asked.size()), squares(asked.size()), stated(asked.size());
    double independent = 0;
    for (uint64_t seed = 1; seed <= kFits; ++seed) {
      data.draw(2e-3, seed);
      const Fit found = fit(data.design, shrinkage);
      const auto model = data.model(data.space.interactions(found, 2));
      Configuration configuration(model->grid());
      for (size_t k = 0; k < asked.size(); ++k) {
        configuration.assign(asked[k]);
        const double energy = model->value(model->total(configuration));
        sum[k] += energy, squares[k] += energy * energy;
        stated[k] += model->uncertainty(configuration) / kFits;
      }
      if (seed > 1) continue;
      const std::vector<double> x = data.space.of(data.lattice, asked[0]);
      for (size_t j = 0; j < x.size(); ++j)
        independent = std::hypot(independent, 32 * x[j] * found.errors[j]);
    }
    for (size_t k = 0; k < asked.size(); ++k) {
      const double mean = sum[k] / kFits,
                   scatter = std::sqrt((squares[k] / kFits - mean * mean) * kFits / (kFits - 1));
      EXPECT_NEAR(stated[k] / scatter, 1, 0.12) << k;
    }
    EXPECT_GT(independent, 2 * stated[0]) << "terms are correlated: single errors would not do";
  }
}

INSTANTIATE_TEST_SUITE_P(PairsAndTriplets, Uncertainty, testing::Values(0, 1));

// All structures have one composition: what another costs is not known, and said to be so.
TEST(UncertaintyOf, WhatNoStructureTellsIsLarge) {
  const Lattice lattice(lattice_cell("fcc"), {2, 2, 2});
  const FeatureSpace space(lattice.cell(), kNames, 1);
  Design d;
  d.columns = 3, d.free = 2;
  RandomStream random(5, Purpose::noise, 0, 0);
  std::vector<uint8_t> species(32);
  for (size_t i = 0; i < 16; ++i) species[i] = 1;
  for (int r = 0; r < 20; ++r, ++d.rows) {
    for (size_t i = 32; i > 1; --i) std::swap(species[i - 1], species[random.below(i)]);
    const std::vector<double> row = space.of(lattice, species);
    d.features.insert(d.features.end(), row.begin(), row.end());
    d.targets.push_back(0.1 * row[2] + 1e-3 * random.normal());
  }
  const Fit found = fit(d, Shrinkage::none);
  EXPECT_TRUE(std::isinf(found.errors[0]));
  const PairModel model(lattice, find_shells(lattice.cell(), 1),
                        space.interactions(found, 1).pairs);
  Configuration configuration(model.grid());
  configuration.assign(species);
  EXPECT_LT(model.uncertainty(configuration), 32 * 1e-3);
  configuration.assign(std::vector<uint8_t>(32, 0));
  EXPECT_GT(model.uncertainty(configuration), 32 * 1.0);
}

TEST(UncertaintyOf, ABrokenCovarianceIsRefused) {
  const std::string head = R"({"format": "ocoee pair interactions", "version": 1,
    "species": ["A", "B"], "shells": [{"A-B": 1}], "covariance": )";
  const run::testing_support::Scratch scratch;
  for (const char* bad :
       {"[[1], [0, 1]]}", "[[1], [0, 1], [0, 0]]}", "7}", "[[1], [0, 1], [0, 0, null]]}"}) {
    write_file_atomically(scratch / "bad.json", head + bad);
    EXPECT_THROW(read_pairs(scratch / "bad.json"), Error) << bad;
  }
  write_file_atomically(scratch / "good.json", head + "[[1], [0, 2], [0, 0.5, 3]]}");
  EXPECT_EQ(read_pairs(scratch / "good.json").covariance,
            (std::vector<double>{1, 0, 0, 0, 2, 0.5, 0, 0.5, 3}));
}

}  // namespace
}  // namespace ocoee::alloy
