// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/covariance.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace ocoee::alloy {

double deviation_of(const std::vector<double>& covariance, std::span<const double> counts) {
  const size_t n = counts.size();
  OCOEE_CHECK(covariance.size() == n * n, "{} covariances for {} terms", covariance.size(), n);
  double variance = 0;
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) variance += counts[i] * covariance[i * n + j] * counts[j];
  return std::sqrt(std::max(variance, 0.0));
}

nlohmann::json covariance_to_json(const std::vector<double>& covariance) {
  const auto n = static_cast<size_t>(std::lround(std::sqrt(covariance.size())));
  nlohmann::json rows = nlohmann::json::array();
  for (size_t i = 0; i < n; ++i) {
    const double* row = covariance.data() + i * n;
    rows.push_back(std::vector<double>(row, row + i + 1));
  }
  return rows;
}

std::vector<double> covariance_from_json(const nlohmann::json& rows, size_t terms,
                                         const std::string& where) {
  std::vector<double> out(terms * terms);
  bool fits = rows.is_array() && rows.size() == terms;
  for (size_t i = 0; fits && i < terms; ++i) {
    const auto row = rows[i].get<std::vector<double>>();
    fits = row.size() == i + 1;
    for (size_t j = 0; fits && j <= i; ++j) {
      out[i * terms + j] = out[j * terms + i] = row[j];
      fits = std::isfinite(row[j]);
    }
  }
  if (!fits)
    fail(ErrorKind::data, "{}: \"covariance\" is no lower triangle of finite numbers for {} terms",
         where, terms);
  return out;
}

}  // namespace ocoee::alloy
