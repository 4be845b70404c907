// SPDX-License-Identifier: Apache-2.0
// How sure the energies of a fit are together: neighbouring terms are strongly correlated, so their
// single errors say little about the energy of an arrangement.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

namespace ocoee::alloy {

// Standard deviation of sum_i counts[i] x_i for x of the covariance [term][term].
double deviation_of(const std::vector<double>& covariance, std::span<const double> counts);

// Rows of the lower triangle. Error(data) that begins with `where` when they are not those of
// `terms` terms, or a number is not finite.
nlohmann::json covariance_to_json(const std::vector<double>& covariance);
std::vector<double> covariance_from_json(const nlohmann::json& rows, size_t terms,
                                         const std::string& where);

}  // namespace ocoee::alloy
