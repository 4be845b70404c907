// SPDX-License-Identifier: Apache-2.0
// The side channel that names a rank that misbehaves. TCP connections between ranks (a star around
// rank 0; the addresses go over MPI once), served by one thread that calls no MPI and needs no
// collective.
//
// - a closed connection (the peer died) is named within 1 s, before mpirun kills the survivors;
// - a stopped peer (no heartbeat) within 10 s;
// - collectives whose signatures differ between ranks (kind, count, dtype, order) within 10 s;
// - an operation that lasts longer than `collective_timeout` with all peers alive: a silent hang.
// The message names the rank, the operation, its sequence number and the call site; the process
// then ends with exit_code(ErrorKind::comm), without a checkpoint.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/world.h"

namespace ocoee::comm {

struct WatchdogOptions {
  double heartbeat_seconds = 0.5;
  double stopped_after_seconds = 6;
  double collective_timeout_seconds = 600;
  std::string
      dump_folder;  // every rank writes flight-rank-N.json there when the run is ended; "" for none
};

class Watchdog {
 public:
  Watchdog(World& world, const WatchdogOptions& options);  // collective
  ~Watchdog();                                             // says goodbye: a clean end is no death

  // Tells all peers that this rank fails, and why, before it exits: they stop with "rank 3 failed:
  // ...".
  void report_failure(const std::string& reason);

  // Called (on the watchdog's thread) just before the process is ended because of a peer.
  void on_abort(std::function<void(const std::string& message)> listener);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The last operations of this process, newest last, as JSON text: name, kind, sequence, bytes,
// dtype, site, state.
std::string flight_record();

}  // namespace ocoee::comm
