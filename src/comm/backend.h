// SPDX-License-Identifier: Apache-2.0
// The backends, as a mesh puts them together.
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"

namespace ocoee::comm {

// A group of one: every collective is at most a copy.
std::shared_ptr<Communicator> make_self_communicator(std::string name, int world_rank);

// GPU buffers over a host communicator, through pinned memory, so that several ranks can share one
// GPU. The host waits for the stream, so it cannot be captured into a graph; host buffers pass
// straight through. `stage_all` stages those too, for tests on machines without a GPU.
std::shared_ptr<Communicator> make_staged_communicator(std::string name,
                                                       std::shared_ptr<Communicator> host,
                                                       bool stage_all = false);

struct NcclOptions {
  int most_multiprocessors = 0;  // that a message takes; 0: as NCCL chooses
  bool copy_engines = false;     // for large sums and gathers where they can (peer_copies.h)
};
// NCCL over the ranks of `control`, which carries its unique id and any host buffers. Collective.
// `share` is an NCCL communicator over the same ranks whose connections and stream are used again,
// since each set costs GPU memory; then options are the other's. nccl_missing.cpp stands in where
// this program was built without NCCL.
bool nccl_available();
std::shared_ptr<Communicator> make_nccl_communicator(const std::string& name,
                                                     std::shared_ptr<Communicator> control,
                                                     device::Device device,
                                                     const NcclOptions& options = {},
                                                     std::shared_ptr<Communicator> share = nullptr);

}  // namespace ocoee::comm
