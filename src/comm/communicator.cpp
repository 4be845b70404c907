// SPDX-License-Identifier: Apache-2.0
#include "comm/communicator.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "comm/flight_recorder.h"
#include "comm/postponed.h"
#include "comm/wait_observer.h"
#include "core/error.h"
#include "core/random.h"

namespace ocoee::comm {

const char* name_of(Kind kind) {
  static const char* names[] = {"all_reduce", "reduce_scatter", "all_gather", "broadcast",
                                "all_to_all", "send",           "receive",    "barrier"};
  return names[static_cast<size_t>(kind)];
}

const char* name_of(Reduce op) {
  static const char* names[] = {"sum", "max", "min"};
  return names[static_cast<size_t>(op)];
}

Counters& Counters::operator+=(const Counters& other) {
  for (size_t k = 0; k < kKinds; ++k) {
    calls[k] += other.calls[k];
    bytes[k] += other.bytes[k];
  }
  return *this;
}

Counters Counters::since(const Counters& earlier) const {
  Counters out = *this;
  for (size_t k = 0; k < kKinds; ++k) {
    out.calls[k] -= earlier.calls[k];
    out.bytes[k] -= earlier.bytes[k];
  }
  return out;
}

Communicator::Communicator(std::string name, int rank, int size, std::vector<int> world_ranks)
    : name_(std::move(name)), rank_(rank), size_(size), world_ranks_(std::move(world_ranks)) {
  OCOEE_CHECK(static_cast<int>(world_ranks_.size()) == size_ && rank_ < size_, "rank {} of {}",
              rank_, size_);
  if (size_ > 1) flight_ = flight_register(name_, world_ranks_);
}

namespace {

bool is_message(Kind kind) {
  return kind == Kind::send || kind == Kind::receive;
}

// What must be equal on all ranks that take part: a send and its receive have the same.
uint64_t signature_of(const Communicator::Operation& o, const Buffer& payload) {
  const auto word = [](auto value) { return static_cast<uint64_t>(value); };
  uint64_t hash = mix64(is_message(o.kind) ? word(Kind::send) : word(o.kind));
  if (!is_message(o.kind)) hash = mix64(hash ^ (word(o.op) << 32 | static_cast<uint32_t>(o.peer)));
  return mix64(mix64(hash ^ word(payload.dtype)) ^ word(payload.count));
}

thread_local WaitObserver wait_observer;

class ObservedWait {
 public:
  explicit ObservedWait(const device::Stream& stream) : stream_(stream) {
    if (wait_observer) wait_observer(stream_, /*begins=*/true);
  }
  ~ObservedWait() noexcept(false) {
    if (wait_observer && std::uncaught_exceptions() == exceptions_)
      wait_observer(stream_, /*begins=*/false);
  }
  ObservedWait(const ObservedWait&) = delete;

 private:
  const device::Stream& stream_;
  int exceptions_ = std::uncaught_exceptions();
};

// Marks the operation in the flight record when it is waited for, and when it is over.
class RecordedWork final : public Work {
 public:
  // Of a sum whose own block comes later, `owed` is set until then; `copies`: it starts with a copy
  // that it waits for.
  RecordedWork(WorkHandle inner, FlightEntryId entry, bool* owed = nullptr, bool copies = false)
      : inner_(std::move(inner)), entry_(entry), owed_(owed), copies_(copies) {
    follow();
  }
  ~RecordedWork() override {
    if (owed_) *owed_ = false;
    if (open_) flight_waiting(entry_);
    inner_.reset();
    finish();
  }
  void wait(const device::Stream& stream) override {
    if (open_) flight_waiting(entry_);
    {
      const ObservedWait observed(stream);
      inner_->wait(stream);
    }
    finish();
  }
  bool done() override {
    const bool is_done = inner_->done();
    if (is_done) finish();
    return is_done;
  }
  void own_block_queued(const device::Stream& stream) override {
    *std::exchange(owed_, nullptr) = false;
    std::optional<ObservedWait> copy;
    if (copies_) copy.emplace(stream);
    inner_->own_block_queued(stream);
    follow();
  }
  std::shared_ptr<const device::Event> completion() const override { return inner_->completion(); }

 private:
  void follow() {
    if (auto completion = inner_->completion()) {
      flight_follow(entry_, std::move(completion));
      open_ = false;
    }
  }
  void finish() {
    if (open_) flight_finished(entry_);
    open_ = false;
  }
  WorkHandle inner_;
  FlightEntryId entry_;
  bool* owed_;
  bool copies_;
  bool open_ = true;
};

class Exchange final : public Work {
 public:
  Exchange(WorkHandle send, WorkHandle receive)
      : send_(std::move(send)), receive_(std::move(receive)) {}
  void wait(const device::Stream& stream) override {
    send_->wait(stream);
    receive_->wait(stream);
  }
  bool done() override {
    const bool sent = send_->done(), received = receive_->done();
    return sent && received;
  }

 private:
  WorkHandle send_, receive_;
};

}  // namespace

void observe_waits(WaitObserver observer) {
  wait_observer = std::move(observer);
}

Communicator::Sequence& Communicator::sequence_of(const Operation& operation) {
  if (!is_message(operation.kind)) return collectives_;
  if (peers_.empty()) peers_.resize(static_cast<size_t>(size_));
  Peer& peer = peers_[static_cast<size_t>(operation.peer)];
  return operation.kind == Kind::send ? peer.sent : peer.received;
}

WorkHandle Communicator::run(const Operation& operation, const Site& site) {
  if (!flight_) return operation.own_later ? start_own_later(operation) : start(operation);
  OCOEE_CHECK(!own_block_owed_, "{} on '{}' before the own block of a sum that is under way",
              name_of(operation.kind), name_);
  const FlightEntryId id = record(operation, site);
  const bool copies = !capturable();  // staged: it waits for what it copies
  if (operation.own_later) {
    WorkHandle begun = start_own_later(operation);
    own_block_owed_ = true;
    return std::make_unique<RecordedWork>(std::move(begun), id, &own_block_owed_, copies);
  }
  std::optional<ObservedWait> copy;
  if (copies) copy.emplace(operation.stream);
  return std::make_unique<RecordedWork>(start(operation), id);
}

FlightEntryId Communicator::record(const Operation& operation, const Site& site) {
  const Kind kind = operation.kind;
  const bool has_peer = kind == Kind::broadcast || is_message(kind);
  OCOEE_CHECK(!has_peer || (operation.peer >= 0 && operation.peer < size_ &&
                            !(is_message(kind) && operation.peer == rank_)),
              "{} with rank {} of '{}', called by rank {} of {}", name_of(kind), operation.peer,
              name_, rank_, size_);
  const Buffer& payload =
      kind == Kind::all_gather || kind == Kind::receive ? operation.output : operation.input;
  ++counters_.calls[static_cast<size_t>(kind)];
  counters_.bytes[static_cast<size_t>(kind)] += static_cast<int64_t>(payload.bytes());

  Sequence& sequence = sequence_of(operation);
  sequence.rolling = mix64(sequence.rolling ^ signature_of(operation, payload));
  FlightEntry entry;
  entry.group = flight_;
  entry.stream = flight_->key;
  if (is_message(kind)) {
    const int from = kind == Kind::send ? rank_ : operation.peer,
              to = kind == Kind::send ? operation.peer : rank_;
    entry.stream = mix64(flight_->key ^
                         (static_cast<uint64_t>(from + 1) << 32 | static_cast<uint32_t>(to + 1)));
  }
  entry.sequence = ++sequence.calls;
  entry.rolling = sequence.rolling;
  entry.kind = kind;
  entry.op = operation.op;
  entry.dtype = payload.dtype;
  entry.count = payload.count;
  entry.peer = operation.peer;
  entry.file = site.file;
  entry.line = site.line;
  return flight_started(entry);
}

std::pair<WorkHandle, WorkHandle> Communicator::start_exchange(const Operation& send,
                                                               const Operation& receive) {
  WorkHandle arriving = start(receive);
  return {start(send), std::move(arriving)};
}

WorkHandle Communicator::start_own_later(const Operation& operation) {
  return std::make_unique<Postponed>([this, operation](const device::Stream& stream) {
    Operation now = operation;
    now.stream = stream;
    return start(now);
  });
}

WorkHandle Communicator::all_reduce_async(const Buffer& buffer, Reduce op,
                                          const device::Stream& stream, Site site) {
  return run({Kind::all_reduce, buffer, buffer, op, -1, stream}, site);
}
WorkHandle Communicator::reduce_scatter_async(const Buffer& input, const Buffer& output, Reduce op,
                                              const device::Stream& stream, Site site) {
  OCOEE_CHECK(input.count == output.count * size_,
              "reduce_scatter of {} elements into {} on {} ranks", input.count, output.count,
              size_);
  return run({Kind::reduce_scatter, input, output, op, -1, stream}, site);
}
WorkHandle Communicator::reduce_scatter_own_later(const Buffer& input, const Buffer& output,
                                                  Reduce op, const device::Stream& stream,
                                                  Site site) {
  OCOEE_CHECK(input.count == output.count * size_,
              "reduce_scatter of {} elements into {} on {} ranks", input.count, output.count,
              size_);
  Operation operation{Kind::reduce_scatter, input, output, op, -1, stream};
  operation.own_later = true;
  return run(operation, site);
}
WorkHandle Communicator::all_gather_async(const Buffer& input, const Buffer& output,
                                          const device::Stream& stream, Site site) {
  OCOEE_CHECK(output.count == input.count * size_, "all_gather of {} elements into {} on {} ranks",
              input.count, output.count, size_);
  return run({Kind::all_gather, input, output, Reduce::sum, -1, stream}, site);
}
WorkHandle Communicator::all_gather_others_async(const Buffer& input, const Buffer& output,
                                                 const device::Stream& stream, Site site) {
  OCOEE_CHECK(output.count == input.count * size_, "all_gather of {} elements into {} on {} ranks",
              input.count, output.count, size_);
  Operation operation{Kind::all_gather, input, output, Reduce::sum, -1, stream};
  operation.others_alone = true;
  return run(operation, site);
}
WorkHandle Communicator::broadcast_async(const Buffer& buffer, int root,
                                         const device::Stream& stream, Site site) {
  return run({Kind::broadcast, buffer, buffer, Reduce::sum, root, stream}, site);
}
WorkHandle Communicator::all_to_all_async(const Buffer& input, const Buffer& output,
                                          const device::Stream& stream, Site site) {
  OCOEE_CHECK(input.count == output.count && input.count % size_ == 0,
              "all_to_all of {} elements on {} ranks", input.count, size_);
  return run({Kind::all_to_all, input, output, Reduce::sum, -1, stream}, site);
}
WorkHandle Communicator::send_async(const Buffer& buffer, int to, const device::Stream& stream,
                                    Site site) {
  return run({Kind::send, buffer, {}, Reduce::sum, to, stream}, site);
}
WorkHandle Communicator::receive_async(const Buffer& buffer, int from, const device::Stream& stream,
                                       Site site) {
  return run({Kind::receive, {}, buffer, Reduce::sum, from, stream}, site);
}
WorkHandle Communicator::exchange_async(const Buffer& leaving, int to, const Buffer& arriving,
                                        int from, const device::Stream& stream, Site site) {
  const Operation send{Kind::send, leaving, {}, Reduce::sum, to, stream},
      receive{Kind::receive, {}, arriving, Reduce::sum, from, stream};
  OCOEE_CHECK(flight_, "an exchange on '{}', a group of one", name_);
  const FlightEntryId sent = record(send, site), received = record(receive, site);
  std::optional<ObservedWait> copy;
  if (!capturable()) copy.emplace(stream);
  auto [leaves, arrives] = start_exchange(send, receive);
  return std::make_unique<Exchange>(std::make_unique<RecordedWork>(std::move(leaves), sent),
                                    std::make_unique<RecordedWork>(std::move(arrives), received));
}

void Communicator::all_reduce(const Buffer& b, Reduce op, const device::Stream& s, Site site) {
  all_reduce_async(b, op, s, site)->wait(s);
}
void Communicator::reduce_scatter(const Buffer& i, const Buffer& o, Reduce op,
                                  const device::Stream& s, Site site) {
  reduce_scatter_async(i, o, op, s, site)->wait(s);
}
void Communicator::all_gather(const Buffer& i, const Buffer& o, const device::Stream& s,
                              Site site) {
  all_gather_async(i, o, s, site)->wait(s);
}
void Communicator::broadcast(const Buffer& b, int root, const device::Stream& s, Site site) {
  broadcast_async(b, root, s, site)->wait(s);
}
void Communicator::all_to_all(const Buffer& i, const Buffer& o, const device::Stream& s,
                              Site site) {
  all_to_all_async(i, o, s, site)->wait(s);
}
void Communicator::send(const Buffer& b, int to, const device::Stream& s, Site site) {
  send_async(b, to, s, site)->wait(s);
}
void Communicator::receive(const Buffer& b, int from, const device::Stream& s, Site site) {
  receive_async(b, from, s, site)->wait(s);
}
void Communicator::barrier(Site site) {
  run({Kind::barrier, {}, {}, Reduce::sum, -1, {}}, site)->wait({});
}

double Communicator::all_reduce_value(double value, Reduce op, Site site) {
  all_reduce({&value, 1, DType::f64, {}}, op, {}, site);
  return value;
}

std::string Communicator::broadcast_text(const std::string& text, int root, Site site) {
  int64_t length = static_cast<int64_t>(text.size());
  broadcast({&length, 1, DType::i64, {}}, root, {}, site);
  std::string out = text;
  out.resize(static_cast<size_t>(length));
  if (length > 0) broadcast({out.data(), length, DType::u8, {}}, root, {}, site);
  return out;
}

std::vector<std::string> Communicator::all_gather_text(const std::string& text, Site site) {
  int64_t own = static_cast<int64_t>(text.size());
  std::vector<int64_t> lengths(static_cast<size_t>(size_));
  all_gather({&own, 1, DType::i64, {}}, {lengths.data(), size_, DType::i64, {}}, {}, site);
  int64_t longest = 1;
  for (const int64_t length : lengths) longest = std::max(longest, length);
  std::string padded = text, all(static_cast<size_t>(longest * size_), '\0');
  padded.resize(static_cast<size_t>(longest));
  all_gather({padded.data(), longest, DType::u8, {}}, {all.data(), longest * size_, DType::u8, {}},
             {}, site);
  std::vector<std::string> out;
  for (int r = 0; r < size_; ++r)
    out.push_back(all.substr(static_cast<size_t>(r * longest),
                             static_cast<size_t>(lengths[static_cast<size_t>(r)])));
  return out;
}

std::vector<std::string> Communicator::gather_text(const std::string& text, int root, Site site) {
  int64_t own = static_cast<int64_t>(text.size());
  std::vector<int64_t> lengths(static_cast<size_t>(size_));
  all_gather({&own, 1, DType::i64, {}}, {lengths.data(), size_, DType::i64, {}}, {}, site);
  const auto bytes_of = [](std::string& part) {
    return Buffer{part.data(), static_cast<int64_t>(part.size()), DType::u8, {}};
  };
  if (rank_ != root) {
    std::string leaving = text;
    if (own > 0) send(bytes_of(leaving), root, {}, site);
    return {};
  }
  std::vector<std::string> out(static_cast<size_t>(size_));
  std::vector<WorkHandle> arriving;
  for (int r = 0; r < size_; ++r) {
    std::string& part = out[static_cast<size_t>(r)];
    part.resize(static_cast<size_t>(lengths[static_cast<size_t>(r)]));
    if (r == root)
      part = text;
    else if (!part.empty())
      arriving.push_back(receive_async(bytes_of(part), r, {}, site));
  }
  for (const WorkHandle& work : arriving) work->wait({});
  return out;
}

}  // namespace ocoee::comm
