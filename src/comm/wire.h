// SPDX-License-Identifier: Apache-2.0
// From payload to what each rank sends when messages go round a ring: the factors that nccl-tests
// turn size / time into bus bandwidth with.
#pragma once

#include "comm/communicator.h"

namespace ocoee::comm {

// Bytes on a rank's link per payload byte (Counters). A receive is its sender's; a barrier moves
// nothing.
inline double wire_factor(Kind kind, int ranks) {
  const double others = static_cast<double>(ranks - 1) / ranks;
  switch (kind) {
    case Kind::all_reduce:
      return 2 * others;
    case Kind::reduce_scatter:
    case Kind::all_gather:
    case Kind::all_to_all:
      return others;
    case Kind::broadcast:
    case Kind::send:
      return 1;
    case Kind::receive:
    case Kind::barrier:
      return 0;
  }
  return 0;
}

}  // namespace ocoee::comm
