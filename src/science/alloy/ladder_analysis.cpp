// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/ladder_analysis.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/error.h"

namespace ocoee::alloy {
namespace {

std::vector<double> power(const std::vector<double>& values, int exponent) {
  std::vector<double> out(values);
  for (double& value : out) value = std::pow(value, exponent);
  return out;
}

// (x - mean)^k, so that small variances of large energies keep their digits.
std::vector<double> centred(const std::vector<double>& values, double& mean) {
  mean = 0;
  for (const double value : values) mean += value / static_cast<double>(values.size());
  std::vector<double> out(values);
  for (double& value : out) value -= mean;
  return out;
}

// sum w x / sum w. Its blocks are as long as the slowest of the chain and of how far each sample
// pulls the ratio.
Estimate weighed_mean(const std::vector<double>& values, const std::vector<double>& weights,
                      const std::function<double(const std::vector<double>&)>& slower) {
  std::vector<double> products, pull;
  double sum = 0, total = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    products.push_back(weights[i] * values[i]);
    sum += products.back();
    total += weights[i];
  }
  if (!(total > 0)) return {NAN, NAN};
  for (size_t i = 0; i < values.size(); ++i) pull.push_back(weights[i] * (values[i] - sum / total));
  const auto ratio = [](const std::vector<double>& m) { return m[1] > 0 ? m[0] / m[1] : NAN; };
  return jackknife({products, weights},
                   Blocks::for_time(static_cast<int64_t>(values.size()), slower(pull)), ratio);
}

}  // namespace

std::vector<LadderPoint> analyse(const LadderSeries& series) {
  std::vector<LadderPoint> points;
  const auto n = static_cast<double>(series.sites);
  const auto itself = [](const std::vector<double>& m) { return m[0]; };
  for (size_t t = 0; t < series.k_t.size(); ++t) {
    LadderPoint point;
    point.k_t = series.k_t[t];
    double mean = 0, mean_weighed = 0;
    const std::vector<double> energy = centred(series.energy[t], mean);
    const std::vector<double> weighed = centred(series.weights()[t], mean_weighed);
    const bool has_order = !series.order.empty();
    point.frozen = series.weights()[t].size() > 1 && !varies(series.weights()[t]);
    point.autocorrelation = autocorrelation_time(series.weights()[t]);
    const auto slower = [&](const std::vector<double>& column) {
      return varies(column) ? std::max(point.autocorrelation, autocorrelation_time(column))
                            : point.autocorrelation;
    };
    if (!series.weighed.empty()) point.autocorrelation = slower(series.energy[t]);
    if (has_order) point.autocorrelation = slower(series.order[t]);
    const auto samples = static_cast<int64_t>(energy.size());
    point.effective_samples = static_cast<double>(samples) / (2 * point.autocorrelation);
    const Blocks blocks = Blocks::for_time(samples, point.autocorrelation);

    point.energy = jackknife({energy}, blocks,
                             [&](const std::vector<double>& m) { return (m[0] + mean) / n; });
    point.weighed = jackknife(
        {weighed}, blocks, [&](const std::vector<double>& m) { return (m[0] + mean_weighed) / n; });
    const std::vector<double> square = power(weighed, 2);
    point.heat_capacity = jackknife({weighed, square}, blocks, [&](const std::vector<double>& m) {
      return (m[1] - m[0] * m[0]) / (point.k_t * point.k_t * n);
    });
    if (has_order) {
      const std::vector<double>& order = series.order[t];
      const std::vector<double> second = power(order, 2), fourth = power(order, 4);
      point.order = jackknife({order}, blocks, itself);
      point.susceptibility = jackknife({order, second}, blocks, [&](const std::vector<double>& m) {
        return n * (m[1] - m[0] * m[0]) / point.k_t;
      });
      point.binder = jackknife({second, fourth}, blocks, [](const std::vector<double>& m) {
        return m[0] > 0 ? 1 - m[1] / (3 * m[0] * m[0]) : 0;
      });
    }
    for (size_t c = 0; c < series.columns.size(); ++c) {
      const std::vector<double>& column = series.columns[c][t];
      if (const auto weights = series.column_weights.find(c);
          weights != series.column_weights.end()) {
        point.columns.push_back(weighed_mean(column, weights->second[t], slower));
        continue;
      }
      const Blocks own = Blocks::for_time(samples, slower(column));
      point.columns.push_back(jackknife({column}, own, itself));
      if (c >= series.fractions) continue;
      double fraction = 0;
      const std::vector<double> off = centred(column, fraction), second = power(off, 2);
      point.composition_susceptibility.push_back(jackknife(
          {off, second}, own,
          [&](const std::vector<double>& m) { return n * (m[1] - m[0] * m[0]) / point.k_t; }));
    }
    points.push_back(std::move(point));
  }
  return points;
}

Reweighted::Reweighted(const LadderSeries& series, int64_t most)
    : sites_(static_cast<double>(series.sites)),
      low_(*std::min_element(series.k_t.begin(), series.k_t.end())),
      high_(*std::max_element(series.k_t.begin(), series.k_t.end())),
      k_t_(series.k_t) {
  const auto samples = static_cast<int64_t>(series.energy.front().size());
  const int64_t stride = (samples + most - 1) / most;
  const auto thinned = [&](const std::vector<double>& all) {
    std::vector<double> out;
    for (int64_t i = 0; i < samples; i += stride) out.push_back(all[static_cast<size_t>(i)]);
    return out;
  };
  for (size_t t = 0; t < k_t_.size(); ++t) {
    energy_.push_back(thinned(series.weights()[t]));
    times_.push_back(autocorrelation_time(energy_.back()));
    if (series.order.empty()) continue;
    order_.push_back(thinned(series.order[t]));
    if (varies(order_.back()))
      times_.back() = std::max(times_.back(), autocorrelation_time(order_.back()));
  }
  part({});  // says now where temperatures share no energies
}

const Reweighted::Part* Reweighted::part(Without without) const {
  if (without.k < 0) without = {};
  const auto [known, is_new] = parts_.try_emplace({without.blocks, without.k});
  if (is_new) {
    try {
      known->second = std::make_unique<const Part>(solution(without));
    } catch (const Error& error) {
      if (without.k < 0 || error.kind() != ErrorKind::numerics) throw;
    }
  }
  return known->second.get();
}

bool Reweighted::is_marginal() const {
  return std::any_of(parts_.begin(), parts_.end(), [](const auto& one) { return !one.second; });
}

Reweighted::Part Reweighted::solution(Without without) const {
  const auto used = static_cast<int64_t>(energy_.front().size());
  std::vector<double> betas, start, order;
  std::vector<std::vector<double>> energies;
  for (size_t t = 0; t < k_t_.size(); ++t) {
    betas.push_back(1 / k_t_[t]);
    energies.emplace_back();
    for (int64_t i = 0; i < used; ++i) {
      if (without.k >= 0 && i * without.blocks / used == without.k) continue;
      energies.back().push_back(energy_[t][static_cast<size_t>(i)]);
      if (!order_.empty()) order.push_back(order_[t][static_cast<size_t>(i)]);
    }
  }
  if (without.k >= 0) start = part({})->mbar.free_energies();
  return {Mbar(betas, std::move(energies), start), std::move(order)};
}

double Reweighted::independent_samples(double k_t) const {
  const std::vector<double> weights = part({})->mbar.weights(1 / k_t);
  double sum = 0;
  size_t i = 0;
  for (size_t t = 0; t < energy_.size(); ++t) {
    for (size_t n = 0; n < energy_[t].size(); ++n, ++i)
      sum += weights[i] * weights[i] * 2 * times_[t];
  }
  return 1 / sum;
}

// The fewest blocks: each number of them costs as many solutions.
double Reweighted::error_at(double k_t, const std::function<double(double, Without)>& curve) const {
  if (blocks_at(k_t) == 0) return NAN;
  return jackknife(Blocks::kFewest,
                   [&](int64_t k) {
                     return curve(k_t, {k, Blocks::kFewest});
                   })
      .error;
}

int64_t Reweighted::blocks_at(double k_t) const {
  constexpr int64_t kMost = 16;  // each costs a solution of its own
  double below = low_, above = high_, slowest = 0.5;
  for (const double one : k_t_) {
    if (one <= k_t) below = std::max(below, one);
    if (one >= k_t) above = std::min(above, one);
  }
  for (size_t t = 0; t < k_t_.size(); ++t)
    if (k_t_[t] >= below && k_t_[t] <= above) slowest = std::max(slowest, times_[t]);
  const Blocks blocks = Blocks::for_time(static_cast<int64_t>(energy_.front().size()), slowest);
  return blocks.enough() ? std::min(blocks.count, kMost) : 0;
}

double Reweighted::heat_capacity(double k_t, Without without) const {
  const Part* one = part(without);
  return one ? one->mbar.moments(1 / k_t).heat_capacity / sites_ : NAN;
}

double Reweighted::binder(double k_t, Without without) const {
  const Part* one = part(without);
  if (!one) return NAN;
  const std::vector<double> weights = one->mbar.weights(1 / k_t);
  double second = 0, fourth = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double square = one->order[i] * one->order[i];
    second += weights[i] * square;
    fourth += weights[i] * square * square;
  }
  return 1 - fourth / (3 * second * second);
}

double Reweighted::susceptibility(double k_t, Without without) const {
  const Part* one = part(without);
  if (!one) return NAN;
  const std::vector<double> weights = one->mbar.weights(1 / k_t);
  double first = 0, second = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    first += weights[i] * one->order[i];
    second += weights[i] * one->order[i] * one->order[i];
  }
  return sites_ * (second - first * first) / k_t;
}

std::vector<Estimate> Reweighted::peaks_of(double (Reweighted::*curve)(double, Without)
                                               const) const {
  constexpr int kScan = 120, kNear = 12;
  constexpr double kSure = 3;  // errors
  if (static_cast<int64_t>(energy_.front().size()) < Blocks::kFewest) return {};
  const double step = (high_ - low_) / kScan;
  const auto at = [&](int i) { return i == kScan ? high_ : low_ + step * i; };
  std::vector<double> height;
  for (int i = 0; i <= kScan; ++i) height.push_back((this->*curve)(at(i), {}));
  struct Peak {
    double height;
    Estimate at;
  };
  std::vector<Peak> found;
  for (int i = 1; i < kScan; ++i) {
    const auto h = [&](int j) { return height[static_cast<size_t>(j)]; };
    if (!(h(i) > h(i - 1) && h(i) >= h(i + 1))) continue;
    // the lowest points on the way to something higher, or to the ends
    int left = i, right = i;
    for (int j = i; j >= 0 && h(j) <= h(i); --j)
      if (h(j) < h(left)) left = j;
    for (int j = i; j <= kScan && h(j) <= h(i); ++j)
      if (h(j) < h(right)) right = j;
    // Where blocks of independent samples are too few for an error, a height is judged by the
    // fewest that give one.
    const auto stands_above = [&](double low) {
      int64_t blocks = blocks_at(at(i));
      if (const int64_t there = blocks_at(low); there > 0) blocks = std::min(blocks, there);
      if (blocks == 0) blocks = Blocks::kFewest;
      const Estimate above = jackknife(blocks, [&](int64_t k) {
        return (this->*curve)(at(i), {k, blocks}) - (this->*curve)(low, {k, blocks});
      });
      return h(i) - (this->*curve)(low, {}) > kSure * above.error;
    };
    if (!stands_above(at(left)) || !stands_above(at(right))) continue;
    const auto where = [&](Without without, double low, double high) {
      if (!part(without)) return static_cast<double>(NAN);  // and so the error
      return find_peak([&](double k_t) { return (this->*curve)(k_t, without); }, low, high, kNear);
    };
    const double whole = where({}, at(i - 1), at(i + 1)), reach = 0.1 * (high_ - low_);
    // Without a block the peak moves a little: a search nearby is enough. Where it jumps instead, a
    // correction for bias, which is meant for smooth functions, would carry it off the ladder.
    const int64_t blocks = blocks_at(whole);
    Estimate peak = jackknife(blocks, [&](int64_t k) {
      return k < 0 ? whole
                   : where({k, blocks}, std::max(at(left), whole - reach),
                           std::min(at(right), whole + reach));
    });
    peak.value = whole;
    found.push_back({h(i), peak});
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Peak& a, const Peak& b) { return a.height > b.height; });
  std::vector<Estimate> out;
  for (const Peak& one : found) out.push_back(one.at);
  return out;
}

std::vector<Estimate> Reweighted::heat_capacity_peaks() const {
  return peaks_of(&Reweighted::heat_capacity);
}
std::vector<Estimate> Reweighted::susceptibility_peaks() const {
  if (order_.empty()) return {};
  return peaks_of(&Reweighted::susceptibility);
}

std::optional<Estimate> binder_crossing(const Reweighted& small, const Reweighted& large) {
  const double low = std::max(small.low(), large.low()),
               high = std::min(small.high(), large.high());
  const auto crossing = [&](Without without_small, Without without_large, double from, double to,
                            int points) {
    return find_zero(
        [&](double k_t) {
          return large.binder(k_t, without_large) - small.binder(k_t, without_small);
        },
        from, to, points);
  };
  // The steepest change of sign is the transition; noise far from it changes sign as well.
  const double span = high - low;
  double whole = NAN, steepest = 0;
  for (int piece = 0; piece < 12; ++piece) {
    const double from = low + span * piece / 12, to = low + span * (piece + 1) / 12;
    const double zero = crossing({}, {}, from, to, 4);
    if (std::isnan(zero)) continue;
    const double step = span / 200;
    const double slope = std::abs(large.binder(std::min(high, zero + step)) -
                                  large.binder(std::max(low, zero - step)));
    if (slope > steepest) whole = zero, steepest = slope;
  }
  if (std::isnan(whole)) return std::nullopt;
  const double from = std::max(low, whole - 0.1 * span), to = std::min(high, whole + 0.1 * span);
  const auto near = [&](Without of_small, Without of_large) {
    return crossing(of_small, of_large, from, to, 10);  // NaN where it is lost, and so the error
  };
  // Sizes are independent, so their errors add in squares.
  const int64_t few = small.blocks_at(whole), many = large.blocks_at(whole);
  const Estimate one = jackknife(few, [&](int64_t k) { return near({k, few}, {}); });
  const Estimate other = jackknife(many, [&](int64_t k) { return near({}, {k, many}); });
  return Estimate{whole, std::hypot(one.error, other.error)};
}

}  // namespace ocoee::alloy
