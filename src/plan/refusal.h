// SPDX-License-Identifier: Apache-2.0
// Why a search has nothing to propose: which of the values that were set is to blame, the reason,
// and the nearest value that works.
#pragma once

#include "plan/search.h"

namespace ocoee::plan {

// Throws Error(config): no layout can be, whatever memory there is.
[[noreturn]] void refuse_layouts(Predictor& predictor, const SearchRequest& request);

// Throws Error(memory): none fits; `leanest` needs the least. The fix is the fewest devices, of the
// number asked for doubled again and again, on which something does.
[[noreturn]] void refuse_memory(Predictor& predictor, const SearchRequest& request,
                                const Proposal& leanest);

}  // namespace ocoee::plan
