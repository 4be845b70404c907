// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/mbar.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace ocoee::alloy {
namespace {

// Solves a x = b for a symmetric positive definite matrix; false where it is not.
bool solve(std::vector<double> a, std::vector<double>& b) {
  const size_t n = b.size();
  for (size_t j = 0; j < n; ++j) {  // Cholesky, lower triangle in place
    for (size_t k = 0; k < j; ++k)
      for (size_t i = j; i < n; ++i) a[i * n + j] -= a[i * n + k] * a[j * n + k];
    if (!(a[j * n + j] > 0)) return false;
    const double root = std::sqrt(a[j * n + j]);
    for (size_t i = j; i < n; ++i) a[i * n + j] /= root;
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
  return true;
}

}  // namespace

Mbar::Mbar(std::vector<double> betas, std::vector<std::vector<double>> energies,
           const std::vector<double>& start)
    : betas_(std::move(betas)), energies_(std::move(energies)) {
  const size_t states = betas_.size();
  OCOEE_CHECK(states > 0 && energies_.size() == states);
  double sum = 0, samples = 0;
  for (const auto& list : energies_) {
    OCOEE_CHECK(!list.empty());
    for (const double energy : list) sum += energy;
    samples += static_cast<double>(list.size());
  }
  shift_ = sum / samples;
  for (auto& list : energies_)
    for (double& energy : list) energy -= shift_;

  f_ = start;
  if (f_.size() != states) {  // thermodynamic integration: f' = <E>, trapezoids between states
    f_.assign(states, 0);
    const auto mean = [&](size_t k) {
      double total = 0;
      for (const double energy : energies_[k]) total += energy;
      return total / static_cast<double>(energies_[k].size());
    };
    for (size_t k = 1; k < states; ++k)
      f_[k] = f_[k - 1] + (betas_[k] - betas_[k - 1]) * (mean(k) + mean(k - 1)) / 2;
  } else {
    for (size_t k = 0; k < states; ++k) f_[k] -= (betas_[k] - betas_[0]) * shift_;
  }

  // Newton's method on the convex function whose gradient is N_k - sum_n N_k W_nk; a plain
  // self-consistent step where Newton's would not lower the gradient.
  std::vector<double> count(states), log_count(states), gradient(states), row(states);
  for (size_t k = 0; k < states; ++k) {
    count[k] = static_cast<double>(energies_[k].size());
    log_count[k] = std::log(count[k]);
  }
  log_denominator_.resize(static_cast<size_t>(samples));
  std::vector<double> hessian(states * states);
  const auto evaluate = [&](const std::vector<double>& f, bool with_hessian) {
    std::fill(gradient.begin(), gradient.end(), 0);
    std::fill(hessian.begin(), hessian.end(), 0);
    size_t n = 0;
    for (const auto& list : energies_) {
      for (const double energy : list) {
        double largest = -std::numeric_limits<double>::infinity();
        for (size_t k = 0; k < states; ++k) {
          row[k] = log_count[k] + f[k] - betas_[k] * energy;
          largest = std::max(largest, row[k]);
        }
        double total = 0;
        for (size_t k = 0; k < states; ++k) total += row[k] = std::exp(row[k] - largest);
        log_denominator_[n++] = largest + std::log(total);
        for (size_t k = 0; k < states; ++k) gradient[k] += row[k] /= total;
        if (!with_hessian) continue;
        for (size_t k = 0; k < states; ++k)
          for (size_t l = 0; l <= k; ++l) hessian[k * states + l] -= row[k] * row[l];
      }
    }
    double worst = 0;
    for (size_t k = 0; k < states; ++k) {
      hessian[k * states + k] += gradient[k];
      const double off = std::abs(gradient[k] - count[k]) / count[k];
      worst = std::isfinite(off) ? std::max(worst, off) : std::numeric_limits<double>::infinity();
    }
    return worst;
  };
  double worst = evaluate(f_, true);
  for (int step = 0; step < 500 && worst > 1e-9; ++step) {
    std::vector<double> consistent = f_, newton(states - 1), a;
    for (size_t k = 0; k < states; ++k)
      consistent[k] -= std::log(std::max(gradient[k], 1e-300) / count[k]);
    for (size_t k = 1; k < states; ++k) {
      newton[k - 1] = count[k] - gradient[k];
      for (size_t l = 1; l < states; ++l)
        a.push_back(hessian[std::max(k, l) * states + std::min(k, l)]);
    }
    if (step >= 2 && solve(a, newton)) {
      std::vector<double> trial = f_;
      for (size_t k = 1; k < states; ++k) trial[k] += newton[k - 1];
      const double reached = evaluate(trial, true);
      if (reached < worst) {
        f_ = trial, worst = reached;
        continue;
      }
    }
    f_ = consistent;
    worst = evaluate(f_, true);
  }
  // What neighbouring states share, in samples. Where it is nothing, any free energy would do.
  double shared = 1;
  for (size_t k = 1; k < states; ++k) shared = std::min(shared, -hessian[k * states + k - 1]);
  if (!(worst < 1e-5) || shared < 1e-3)
    fail(ErrorKind::numerics,
         "reweighting did not converge: neighbouring temperatures share no energies\n"
         "    fix: temperatures closer together, or more samples");
  const double zero = f_[0];
  for (size_t k = 0; k < states; ++k) f_[k] += (betas_[k] - betas_[0]) * shift_ - zero;
  for (double& d : log_denominator_) d -= zero;
}

double Mbar::free_energy(double beta) const {
  double largest = -std::numeric_limits<double>::infinity();
  size_t n = 0;
  for (const auto& list : energies_)
    for (const double energy : list)
      largest = std::max(largest, -beta * energy - log_denominator_[n++]);
  double sum = 0;
  n = 0;
  for (const auto& list : energies_)
    for (const double energy : list)
      sum += std::exp(-beta * energy - log_denominator_[n++] - largest);
  return -(largest + std::log(sum)) + (beta - betas_[0]) * shift_;
}

std::vector<double> Mbar::weights(double beta) const {
  std::vector<double> out;
  out.reserve(log_denominator_.size());
  double largest = -std::numeric_limits<double>::infinity();
  for (const auto& list : energies_)
    for (const double energy : list) {
      out.push_back(-beta * energy - log_denominator_[out.size()]);
      largest = std::max(largest, out.back());
    }
  double sum = 0;
  for (double& weight : out) sum += weight = std::exp(weight - largest);
  for (double& weight : out) weight /= sum;
  return out;
}

Mbar::Moments Mbar::moments(double beta) const {
  const std::vector<double> weight = weights(beta);
  double first = 0, second = 0;
  size_t n = 0;
  for (const auto& list : energies_)
    for (const double energy : list) first += weight[n++] * energy;
  n = 0;
  for (const auto& list : energies_)
    for (const double energy : list) second += weight[n++] * (energy - first) * (energy - first);
  return {first + shift_, beta * beta * second};
}

double find_peak(const std::function<double(double)>& curve, double low, double high, int points) {
  double best = low, best_value = curve(low);
  const double step = (high - low) / points;
  for (int i = 1; i <= points; ++i) {
    const double x = low + step * i, value = curve(x);
    if (value > best_value) best = x, best_value = value;
  }
  double a = std::max(low, best - step), b = std::min(high, best + step);
  constexpr double kGolden = 0.6180339887498949;
  for (int i = 0; i < 40; ++i) {
    const double left = b - kGolden * (b - a), right = a + kGolden * (b - a);
    if (curve(left) > curve(right))
      b = right;
    else
      a = left;
  }
  return (a + b) / 2;
}

double find_zero(const std::function<double(double)>& curve, double low, double high, int points) {
  double best_low = NAN, best_high = NAN;
  const double step = (high - low) / points, middle = (low + high) / 2;
  double before = curve(low);
  for (int i = 1; i <= points; ++i) {
    const double x = low + step * i, value = curve(x);
    const bool changes = (before < 0) != (value < 0);
    if (changes && (std::isnan(best_low) || std::abs(x - middle) < std::abs(best_high - middle)))
      best_low = x - step, best_high = x;
    before = value;
  }
  if (std::isnan(best_low)) return NAN;
  const bool rises = curve(best_low) < 0;
  for (int i = 0; i < 50; ++i) {
    const double x = (best_low + best_high) / 2;
    if ((curve(x) < 0) == rises)
      best_low = x;
    else
      best_high = x;
  }
  return (best_low + best_high) / 2;
}

}  // namespace ocoee::alloy
