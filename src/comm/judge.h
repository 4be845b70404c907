// SPDX-License-Identifier: Apache-2.0
// Decides from what the ranks report which of them misbehaves. Pure: no sockets, no threads, no
// clock of its own; times are seconds that the caller passes in.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "comm/control_message.h"

namespace ocoee::comm {

struct JudgeOptions {
  double stopped_after_seconds = 6;
  double deadlock_after_seconds = 3;  // ranks that wait for each other in a ring
  double collective_timeout_seconds = 600;
};

struct Verdict {
  int code = 0;         // exit code of the job
  std::string message;  // for the user: which rank, what, where, and what to do
};

// Equal in all that ranks must agree on: kind, type, count, reduction, root. A send equals its
// receive.
bool same_operation(const OperationReport& a, const OperationReport& b);

class Judge {
 public:
  // `names`: how to call each rank, as in "host n1, process 4711".
  Judge(std::vector<std::string> names, JudgeOptions options, double now);

  void hear(int rank, const ControlMessage& message, double now);
  void closed(int rank);     // the connection ended
  void slept(double now);    // the caller itself stood still: silence until now proves nothing
  bool has_failure() const;  // some rank told of an error of its own
  bool undecided()
      const;  // ranks differ, as many this way as that, and some have not come there yet
  bool has_loss() const;           // some connection ended without a word
  bool has_left(int rank) const;   // said goodbye
  bool is_silent(int rank) const;  // left, failed or lost: nothing more will come from it

  // Something is wrong, though others may still have to tell what they know. Cheap: asked in every
  // round.
  bool suspicious(double now);
  // What it is. Nothing if the suspicion has gone.
  std::optional<Verdict> verdict(double now);

 private:
  struct Rank {
    std::string name;
    double heard = 0, reported = 0;
    bool left = false, lost = false, failed = false;
    int code = 0;
    std::string reason;
    OperationReport last;  // the newest call, as it was when reported
    double last_reported = 0;
    std::vector<OperationReport> open;  // under way at the last report
  };
  struct Version {  // what one or more ranks called at one place of a stream
    OperationReport operation;
    std::vector<int> ranks;
  };
  struct Stream {
    uint64_t group = 0;
    bool messages = false;
    std::vector<int> pair;  // of a message stream: its two world ranks, once known
    uint64_t agreed = 0;    // all its ranks have called this one alike
    std::map<uint64_t, std::vector<Version>> places;
    std::unordered_map<int, uint64_t> reached;  // last call of each rank
  };

  void take(int rank, const OperationReport& operation);
  const std::vector<int>* members(const Stream& stream) const;
  std::vector<int> missing(int rank, const OperationReport& operation) const;
  double age(int rank, const OperationReport& operation, double now) const;
  std::map<int, std::pair<const OperationReport*, std::vector<int>>> deadlocked() const;
  const OperationReport* hung(double now, int& rank) const;
  const OperationReport* standstill(int rank) const;  // what it waits for others in

  std::string describe(const OperationReport& operation) const;
  std::string who(int rank) const;  // "rank 2 of 4 (host n1, process 4711)"
  std::string last_of(int rank, double now) const;
  std::optional<std::string> mismatch_text(double now) const;
  std::optional<std::string> failure_text(int& code) const;
  std::optional<std::string> loss_text(double now) const;
  std::optional<std::string> silence_text(double now) const;
  std::optional<std::string> deadlock_text(double now) const;
  std::optional<std::string> hang_text(double now) const;

  std::vector<Rank> ranks_;
  JudgeOptions options_;
  std::unordered_map<uint64_t, GroupReport> groups_;
  std::unordered_map<uint64_t, Stream> streams_;
  std::optional<std::pair<uint64_t, uint64_t>>
      differs_;  // stream and place of the first difference
};

}  // namespace ocoee::comm
