// SPDX-License-Identifier: Apache-2.0
// Multi-histogram reweighting: all samples of all temperatures together give means at any
// temperature in between (MBAR; Shirts and Chodera, J. Chem. Phys. 129 (2008) 124105).
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "science/alloy/statistics.h"

namespace ocoee::alloy {

class Mbar {
 public:
  // `energies[k]`: samples at inverse temperature betas[k] (k_B included), in any order.
  // `start`: free energies of similar samples, to begin with. Error(numerics) when they do not
  // converge.
  Mbar(std::vector<double> betas, std::vector<std::vector<double>> energies,
       const std::vector<double>& start = {});

  const std::vector<double>& free_energies() const { return f_; }  // -ln Z_k + ln Z_0
  double free_energy(double beta) const;                           // -ln Z + ln Z_0

  // Normalised weights of all samples, state after state, at one inverse temperature.
  std::vector<double> weights(double beta) const;
  struct Moments {
    double energy = 0, heat_capacity = 0;  // <E>; beta^2 (<E^2> - <E>^2), in k_B
  };
  Moments moments(double beta) const;

 private:
  std::vector<double> betas_;
  std::vector<std::vector<double>> energies_;
  double shift_ = 0;  // of all energies, so that exponents stay small
  std::vector<double> f_;
  std::vector<double> log_denominator_;  // of each sample
};

// Where `curve` is highest between low and high: a scan of `points`, then golden section.
double find_peak(const std::function<double(double)>& curve, double low, double high,
                 int points = 200);
// Where the sign of `curve` changes, nearest to the middle; NaN where it does not.
double find_zero(const std::function<double(double)>& curve, double low, double high,
                 int points = 100);

}  // namespace ocoee::alloy
