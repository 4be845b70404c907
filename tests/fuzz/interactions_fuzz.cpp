// SPDX-License-Identifier: Apache-2.0
// Interactions of an alloy from hostile bytes, pairs or clusters: refused with an Error(data), or
// finite numbers in the shape that the species and shells ask for.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "science/alloy/cluster_model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocoee;
  const auto file = nlohmann::json::parse(data, data + size, nullptr, false);
  if (file.is_discarded()) return 0;
  try {
    const alloy::ClusterInteractions c = alloy::interactions_from_json(file, "fuzz");
    const auto n = static_cast<size_t>(c.pairs.count());
    if (c.pairs.values.size() != static_cast<size_t>(c.pairs.shells) * n * n) std::abort();
    if (c.names.size() != c.values.size() || c.errors.size() != c.values.size()) std::abort();
    for (const double value : c.values) {
      if (!std::isfinite(value)) std::abort();
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) std::abort();
  }
  return 0;
}
