// SPDX-License-Identifier: Apache-2.0
#include "plan/sequence.h"

#include "core/error.h"

namespace ocoee::plan {

ContextMethod context_method_from_name(const std::string& name) {
  if (name == "ring") return ContextMethod::ring;
  if (name == "all_to_all") return ContextMethod::all_to_all;
  fail(ErrorKind::internal, "unknown context method '{}'", name);
}

int64_t pieces(ContextMethod method, int64_t ranks) {
  return method == ContextMethod::ring && ranks > 1 ? 2 * ranks : ranks;
}

SequencePieces sequence_pieces(ContextMethod method, int64_t length, int64_t ranks, int64_t rank) {
  const int64_t all = pieces(method, ranks), size = length / all;
  OCOEE_CHECK(length % all == 0, "a sequence of {} does not fall into {} pieces", length, all);
  SequencePieces out{{rank * size, (rank + 1) * size}};
  if (all > ranks) out.emplace_back((all - 1 - rank) * size, (all - rank) * size);
  return out;
}

}  // namespace ocoee::plan
