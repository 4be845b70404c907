// SPDX-License-Identifier: Apache-2.0
// The side channel that names a rank that misbehaves. TCP connections between ranks (a star around
// rank 0; the addresses go over MPI once), served by one thread that calls no MPI and needs no
// collective.
//
// - a closed connection (the peer died) is named within 1 s, before mpirun kills the survivors; if
// rank 0 died, the
//   lowest rank that lives says so;
// - a stopped peer (no heartbeat) within 10 s;
// - collectives whose signatures differ between ranks (kind, count, dtype, reduction, root, order),
// and ranks that wait
//   for each other or for one that has ended, within 10 s;
// - an operation that lasts longer than `collective_timeout` with all peers alive: a silent hang.
// The message names the rank, the operation, its sequence number and the call site; it is printed
// once for the job. All processes then end with exit_code(ErrorKind::comm), without a checkpoint.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/world.h"
#include "core/error.h"

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
  // Collective. Where some rank cannot reach rank 0 over TCP, rank 0 warns, and there is no
  // watchdog.
  Watchdog(World& world, const WatchdogOptions& options);
  // Says goodbye: a clean end is no death. Rank 0 stays until all others have said it. While an
  // exception unwinds, it is a failure that is reported.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;

  bool on() const;  // false in a world of one, too

  // Tells all peers that this rank fails, and why, before it exits: they end with the same code.
  // True if the message was printed for the job ("rank 3 of 4 (...) failed: ..."), so that the
  // caller need not print it again; false in a world of one, or if nobody could be told.
  bool report_failure(const std::string& reason, int code = exit_code(ErrorKind::comm));

  // Called (on the watchdog's thread) just before the process is ended because of a peer.
  void on_abort(std::function<void(const std::string& message)> listener);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

// The last operations of this process, newest last, as JSON text: name, kind, sequence, bytes,
// dtype, site, state.
std::string flight_record();

}  // namespace ocoee::comm
