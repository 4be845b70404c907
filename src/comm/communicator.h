// SPDX-License-Identifier: Apache-2.0
// Collectives over one group of ranks. Backends: self (a group of one), MPI (host buffers), NCCL
// (GPU buffers, bootstrapped over MPI) and host-staged (GPU buffers over MPI, so that several ranks
// can share one GPU).
//
// Every call is counted by axis and kind, written to the flight recorder with its call site, and
// compared between ranks by the watchdog. Calls on one communicator must come in the same order on
// all its ranks.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "device/device.h"

namespace ocoee::comm {

using device::Buffer;
struct FlightGroup;

enum class Reduce : uint8_t { sum, max, min };
enum class Kind : uint8_t {
  all_reduce,
  reduce_scatter,
  all_gather,
  broadcast,
  all_to_all,
  send,
  receive,
  barrier
};
constexpr int kKinds = 8;
const char* name_of(Kind kind);
const char* name_of(Reduce op);

// An operation under way. Dropping it waits.
class Work {
 public:
  virtual ~Work() = default;
  // Host backends: blocks until the result is there. GPU backends: `stream` waits, the host does
  // not.
  virtual void wait(const device::Stream& stream) = 0;
  virtual bool done() = 0;  // never blocks; also gives MPI a chance to progress
  // Of a sum that began without it (reduce_scatter_own_later): this rank's own block is made by
  // what is queued on `stream`.
  virtual void own_block_queued(const device::Stream& /*stream*/) {}
  // GPU backends: set when the operation has run; null on the host, and inside a graph capture.
  virtual std::shared_ptr<const device::Event> completion() const { return nullptr; }
};
using WorkHandle = std::unique_ptr<Work>;

// Of one communicator, since reset. Payload bytes as nccl-tests count them: the whole buffer of an
// all_reduce, broadcast or all_to_all, the input of a reduce_scatter, the output of an all_gather.
// A group of one moves and counts nothing.
struct Counters {
  std::array<int64_t, kKinds> calls{};
  std::array<int64_t, kKinds> bytes{};
  Counters& operator+=(const Counters& other);
  Counters since(const Counters& earlier) const;
};

class Communicator {
 public:
  struct Site {  // std::source_location, which some compilers still lack
    const char* file;
    int line;
    static constexpr Site current(const char* file = __builtin_FILE(),
                                  int line = __builtin_LINE()) {
      return {file, line};
    }
  };
  virtual ~Communicator() = default;

  int rank() const { return rank_; }
  int size() const { return size_; }
  const std::string& name() const { return name_; }  // "data", "tensor", "world", ...
  const std::vector<int>& world_ranks() const { return world_ranks_; }
  const Counters& counters() const { return counters_; }
  void reset_counters() { counters_ = {}; }
  // A replayed CUDA graph repeats operations without a call: whoever replays it counts them.
  void count_replay(const Counters& operations) { counters_ += operations; }
  // Whether operations on GPU buffers may be part of a CUDA graph.
  virtual bool capturable() const { return true; }
  // Whether large sums and gathers leave the multiprocessors to others (peer_copies.h).
  virtual bool has_copy_engines() const { return false; }

  // In place unless said otherwise. `stream` orders GPU work: the operation starts after what is
  // queued there. The asynchronous calls return at once; their buffers must live, untouched, until
  // wait().
  WorkHandle all_reduce_async(const Buffer& buffer, Reduce op, const device::Stream& stream = {},
                              Site site = Site::current());
  // input holds size() blocks of output.count; block r is reduced onto rank r. output may be
  // input's own block.
  WorkHandle reduce_scatter_async(const Buffer& input, const Buffer& output, Reduce op,
                                  const device::Stream& stream = {}, Site site = Site::current());
  // The same where this rank's own block of `input` is not made yet: the others may leave at once.
  // Before wait(), and before any other operation here, comes own_block_queued().
  WorkHandle reduce_scatter_own_later(const Buffer& input, const Buffer& output, Reduce op,
                                      const device::Stream& stream = {},
                                      Site site = Site::current());
  // output holds size() blocks of input.count. input may be output's own block.
  WorkHandle all_gather_async(const Buffer& input, const Buffer& output,
                              const device::Stream& stream = {}, Site site = Site::current());
  // The same where this rank's own block of `output` is not asked for: it may be left as it was.
  WorkHandle all_gather_others_async(const Buffer& input, const Buffer& output,
                                     const device::Stream& stream = {},
                                     Site site = Site::current());
  WorkHandle broadcast_async(const Buffer& buffer, int root, const device::Stream& stream = {},
                             Site site = Site::current());
  // size() equal blocks each way.
  WorkHandle all_to_all_async(const Buffer& input, const Buffer& output,
                              const device::Stream& stream = {}, Site site = Site::current());
  WorkHandle send_async(const Buffer& buffer, int to, const device::Stream& stream = {},
                        Site site = Site::current());
  WorkHandle receive_async(const Buffer& buffer, int from, const device::Stream& stream = {},
                           Site site = Site::current());
  // A send and a receive at once, counted and recorded as these: neither waits for the other.
  WorkHandle exchange_async(const Buffer& leaving, int to, const Buffer& arriving, int from,
                            const device::Stream& stream = {}, Site site = Site::current());

  void all_reduce(const Buffer& buffer, Reduce op, const device::Stream& stream = {},
                  Site site = Site::current());
  void reduce_scatter(const Buffer& input, const Buffer& output, Reduce op,
                      const device::Stream& stream = {}, Site site = Site::current());
  void all_gather(const Buffer& input, const Buffer& output, const device::Stream& stream = {},
                  Site site = Site::current());
  void broadcast(const Buffer& buffer, int root, const device::Stream& stream = {},
                 Site site = Site::current());
  void all_to_all(const Buffer& input, const Buffer& output, const device::Stream& stream = {},
                  Site site = Site::current());
  void send(const Buffer& buffer, int to, const device::Stream& stream = {},
            Site site = Site::current());
  void receive(const Buffer& buffer, int from, const device::Stream& stream = {},
               Site site = Site::current());
  void barrier(Site site = Site::current());

  // Control data between steps, host only: not for tensors.
  double all_reduce_value(double value, Reduce op, Site site = Site::current());
  std::string broadcast_text(const std::string& text, int root, Site site = Site::current());
  std::vector<std::string> gather_text(const std::string& text, int root,
                                       Site site = Site::current());  // empty elsewhere
  std::vector<std::string> all_gather_text(const std::string& text, Site site = Site::current());

  // What a backend does; called by the operations above, which count and record, and by backends
  // built over another.
  struct Operation {
    Kind kind;
    Buffer input, output;
    Reduce op = Reduce::sum;
    int peer = -1;  // root, destination or source
    device::Stream stream;
    bool own_later = false, others_alone = false;  // of a reduce_scatter; of an all_gather
  };
  virtual WorkHandle start(const Operation& operation) = 0;
  // A reduce_scatter whose own block comes later; all of it waits for that where a backend says
  // nothing else.
  virtual WorkHandle start_own_later(const Operation& operation);
  // Both of an exchange; one after the other where a backend says nothing else.
  virtual std::pair<WorkHandle, WorkHandle> start_exchange(const Operation& send,
                                                           const Operation& receive);

 protected:
  // Collective for a group of more than one: its ranks make their communicators in the same order.
  Communicator(std::string name, int rank, int size, std::vector<int> world_ranks);

 private:
  struct Sequence {  // calls so far, and a hash over all their signatures
    uint64_t calls = 0, rolling = 0;
  };
  struct Peer {
    Sequence sent, received;
  };
  WorkHandle run(const Operation& operation, const Site& site);  // counts, records, starts
  uint64_t record(const Operation& operation, const Site& site);
  Sequence& sequence_of(const Operation& operation);

  std::string name_;
  int rank_, size_;
  std::vector<int> world_ranks_;
  Counters counters_;
  bool own_block_owed_ = false;          // of a sum that has begun
  const FlightGroup* flight_ = nullptr;  // null for a group of one
  Sequence collectives_;
  std::vector<Peer> peers_;  // by rank, from the first send or receive on
};

}  // namespace ocoee::comm
