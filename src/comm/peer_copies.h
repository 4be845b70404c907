// SPDX-License-Identifier: Apache-2.0
// Collectives between the GPUs of one host by their copy engines: each rank pushes its blocks into
// memory that the others have opened to it (CUDA IPC), so that messages take no multiprocessors
// from the products beside them, but for sums, which read what has arrived once. Plain allocations,
// no multicast. Works inside CUDA graphs: ranks meet by counting flags in each other's memory.
//
//   all_gather:      meet, push to each, meet, copy out
//   reduce_scatter:  meet, push to each its block, meet, sum in the order of ranks; a rank's own
//                    block may come after the pushes
//   all_reduce:      the two, one after the other
//
// Takes 64 MiB of a GPU for each group, which plans leave to the reserve of the machine's profile.
//
// The first meeting says that the others have read what the last collective left in their memory.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>

#include "comm/communicator.h"
#include "comm/peer_kernels.h"

namespace ocoee::comm {

class PeerCopies {
 public:
  // Collective over `control`, which carries host data. Null, on all ranks, where one of them
  // cannot: another host, no way between two GPUs, more than kMostRanks.
  static std::unique_ptr<PeerCopies> connect(std::shared_ptr<Communicator> control,
                                             const device::Device& device);
  ~PeerCopies();  // collective, unless abandoned: memory goes when the others have closed it
  PeerCopies(const PeerCopies&) = delete;

  // Sums, and gathers of blocks large enough to be worth it. The same answer on all ranks.
  bool takes(const Communicator::Operation& operation) const;
  void enqueue(const Communicator::Operation& operation, cudaStream_t stream) const;
  // A reduce_scatter in two steps, where blocks fit: what others wait for leaves, then the rest.
  bool takes_own_later(const Communicator::Operation& operation) const;
  void push_blocks(const Communicator::Operation& operation, cudaStream_t stream) const;
  void sum_blocks(const Communicator::Operation& operation, cudaStream_t stream) const;
  // The others will not come: whoever waits for them goes on, with whatever there is.
  void abandon();

 private:
  PeerCopies(std::shared_ptr<Communicator> control, const device::Device& device);
  bool open(int peer, const cudaIpcMemHandle_t& handle);
  char* slot(int owner, int source) const;  // where `source` writes in `owner`'s memory
  void push(int to, const void* from, size_t bytes, cudaStream_t stream) const;
  void all_gather(const device::Buffer& in, const device::Buffer& out, bool own_too,
                  cudaStream_t stream) const;
  void reduce_scatter(const device::Buffer& in, const device::Buffer& out,
                      cudaStream_t stream) const;
  // Those of a piece of every block, which fits into a slot.
  struct Piece {
    size_t first, bytes;
  };
  void push_piece(const device::Buffer& in, size_t block, Piece piece, cudaStream_t stream) const;
  void sum_piece(const device::Buffer& in, const device::Buffer& out, Piece piece,
                 cudaStream_t stream) const;

  std::shared_ptr<Communicator> control_;
  int rank_, size_;
  bool connected_ = false, abandoned_ = false;
  size_t slot_bytes_;
  device::Memory own_;                   // flags, then a slot for each other rank
  device::Memory count_;                 // meetings
  device::Memory stop_;                  // host
  char* memory_[cuda::kMostRanks] = {};  // of each rank, as seen from here
  cuda::Meeting meeting_{};
};

}  // namespace ocoee::comm
