// SPDX-License-Identifier: Apache-2.0
// What a run reads and writes, and how long the nodes that share it take; 0 s where a machine's
// profile does not say.
#pragma once

#include "plan/machine.h"
#include "plan/system.h"

namespace ocoee::plan {

// Of a step: token files hold up to 4 bytes a token, and every replica's samples are read once.
Bytes sample_bytes(const Workload& workload);
// Masters and moments of every parameter, written once by the nodes that hold them.
Bytes checkpoint_bytes(const Workload& workload);
// By all nodes of `devices`, each at `rate`.
Seconds storage_seconds(Bytes bytes, BytesPerSecond rate, const Machine& machine, int64_t devices);

}  // namespace ocoee::plan
