// SPDX-License-Identifier: Apache-2.0
// A star of TCP connections around rank 0, served by one thread a rank. Each rank beats twice a second with its last
// operations; rank 0 compares. Whoever sees a peer's connection close without a goodbye names it.
#include "comm/watchdog.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include "comm/control_message.h"
#include "comm/flight_recorder.h"
#include "core/error.h"
#include "core/file.h"
#include "core/trace.h"

namespace ocoee::comm {
namespace {

std::string describe(const FlightEntry& e) {
  return fmt::format("{} number {} on axis '{}' ({} x {}{}) called at {}:{}", name_of(e.kind), e.sequence, e.communicator, e.count,
                     name_of(e.dtype), e.peer >= 0 ? fmt::format(", peer {}", e.peer) : "", e.file, e.line);
}

bool same_signature(const FlightEntry& a, const FlightEntry& b) {
  if (a.kind == Kind::send || a.kind == Kind::receive) return true;  // the two ends differ by nature
  if (b.kind == Kind::send || b.kind == Kind::receive) return false;
  return a.kind == b.kind && a.count == b.count && a.dtype == b.dtype && a.peer == b.peer;
}

struct Peer {
  int fd = -1;
  std::string inbox, outbox;
  double last_heard = 0;
  bool said_goodbye = false;
  std::string last_operation;  // in words
};

void set_up(int fd) {
  const int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

}  // namespace

struct Watchdog::Impl {
  WatchdogOptions options;
  int rank = 0, size = 1;
  std::vector<std::string> hosts;
  std::map<int, Peer> peers;               // rank 0: everyone else; elsewhere: rank 0
  int wake[2] = {-1, -1};                  // a byte here wakes the thread
  std::atomic<bool> closing{false};
  std::mutex mutex;
  std::string failure_to_report;
  std::function<void(const std::string&)> listener;
  std::thread thread;
  // rank 0: for (communicator, sequence) the first rank that told of it, and what
  std::map<std::pair<uint64_t, uint64_t>, std::pair<int, FlightEntry>> seen;

  void connect_star(World& world);
  void serve();
  void beat();
  bool read_from(int peer_rank, Peer& peer);
  void handle(int from, Peer& peer, const ControlMessage& message);
  void compare(int from, const std::vector<FlightEntry>& entries);
  void check_own_timeout();
  void send(Peer& peer, const ControlMessage& message) { peer.outbox += encode(message); }
  void flush(Peer& peer);
  [[noreturn]] void end_job(const std::string& message, bool speak);
  std::string name_rank(int r) const { return fmt::format("rank {} (host {})", r, hosts[static_cast<size_t>(r)]); }
};

Watchdog::Watchdog(World& world, const WatchdogOptions& options) : impl_(std::make_unique<Impl>()) {
  impl_->options = options;
  impl_->rank = world.rank();
  impl_->size = world.size();
  impl_->hosts = world.hosts();
  if (impl_->size == 1) return;
  impl_->connect_star(world);
  if (::pipe2(impl_->wake, O_CLOEXEC | O_NONBLOCK) != 0) fail(ErrorKind::comm, "watchdog: no pipe: {}", std::strerror(errno));
  impl_->thread = std::thread([this] { impl_->serve(); });
}

Watchdog::~Watchdog() {
  if (impl_->thread.joinable()) {
    impl_->closing = true;
    [[maybe_unused]] const auto woken = ::write(impl_->wake[1], "x", 1);
    impl_->thread.join();
  }
  for (auto& [r, peer] : impl_->peers) {
    if (peer.fd >= 0) ::close(peer.fd);
  }
  for (const int fd : impl_->wake) {
    if (fd >= 0) ::close(fd);
  }
}

void Watchdog::report_failure(const std::string& reason) {
  if (!impl_->thread.joinable()) return;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->failure_to_report = reason;
  }
  [[maybe_unused]] const auto woken = ::write(impl_->wake[1], "x", 1);
  impl_->closing = true;
  impl_->thread.join();  // the thread sends it before it ends
}

void Watchdog::on_abort(std::function<void(const std::string&)> listener) {
  const std::lock_guard lock(impl_->mutex);
  impl_->listener = std::move(listener);
}

// Rank 0 listens on any port of any interface; its name and port go to the others over MPI, once.
void Watchdog::Impl::connect_star(World& world) {
  Communicator& host = *world.host();
  int listener_fd = -1;
  std::string address;
  if (rank == 0) {
    listener_fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = INADDR_ANY;
    socklen_t length = sizeof any;
    if (listener_fd < 0 || ::bind(listener_fd, reinterpret_cast<sockaddr*>(&any), sizeof any) != 0 || ::listen(listener_fd, 4096) != 0 ||
        ::getsockname(listener_fd, reinterpret_cast<sockaddr*>(&any), &length) != 0)
      fail(ErrorKind::comm, "watchdog: rank 0 cannot listen: {}", std::strerror(errno));
    address = fmt::format("{} {}", hosts[0], ntohs(any.sin_port));
  }
  address = host.broadcast_text(address, 0);
  const size_t space = address.find(' ');
  const std::string port = address.substr(space + 1);
  if (rank == 0) {
    for (int i = 1; i < size; ++i) {
      const int fd = ::accept4(listener_fd, nullptr, nullptr, SOCK_CLOEXEC);
      int32_t who = -1;
      if (fd < 0 || ::recv(fd, &who, sizeof who, MSG_WAITALL) != sizeof who || who <= 0 || who >= size || peers.contains(who))
        fail(ErrorKind::comm, "watchdog: a peer's greeting failed: {}", std::strerror(errno));
      set_up(fd);
      peers[who].fd = fd;
    }
    ::close(listener_fd);
  } else {
    const bool same_host = hosts[static_cast<size_t>(rank)] == hosts[0];
    addrinfo hints{}, *found = nullptr;
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    const std::string target = same_host ? "127.0.0.1" : address.substr(0, space);
    const int code = ::getaddrinfo(target.c_str(), port.c_str(), &hints, &found);
    if (code != 0) fail(ErrorKind::comm, "watchdog: the host name {} of rank 0 is unknown here: {}", target, ::gai_strerror(code));
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int connected = ::connect(fd, found->ai_addr, found->ai_addrlen);
    ::freeaddrinfo(found);
    const int32_t who = rank;
    if (connected != 0 || ::send(fd, &who, sizeof who, MSG_NOSIGNAL) != sizeof who)
      fail(ErrorKind::comm, "watchdog: cannot reach rank 0 at {}:{}: {}", target, port, std::strerror(errno));
    set_up(fd);
    peers[0].fd = fd;
  }
  for (auto& [r, peer] : peers) peer.last_heard = trace::now_seconds();
}

void Watchdog::Impl::serve() {
  double next_beat = 0;
  for (;;) {
    std::string failure;
    {
      const std::lock_guard lock(mutex);
      failure.swap(failure_to_report);
    }
    if (!failure.empty()) {
      for (auto& [r, peer] : peers) send(peer, {ControlKind::failure, rank, failure, {}}), flush(peer);
      return;
    }
    if (closing) {
      for (auto& [r, peer] : peers) send(peer, {ControlKind::goodbye, rank, "", {}}), flush(peer);
      return;
    }
    const double now = trace::now_seconds();
    if (now >= next_beat) {
      beat();
      check_own_timeout();
      next_beat = now + options.heartbeat_seconds;
    }
    std::vector<pollfd> waits{{wake[0], POLLIN, 0}};
    std::vector<int> who{-1};
    for (auto& [r, peer] : peers) {
      if (peer.fd < 0) continue;
      waits.push_back({peer.fd, static_cast<short>(POLLIN | (peer.outbox.empty() ? 0 : POLLOUT)), 0});
      who.push_back(r);
    }
    ::poll(waits.data(), waits.size(), static_cast<int>(1000 * std::max(0.01, next_beat - trace::now_seconds())));
    char drained[64];
    while (::read(wake[0], drained, sizeof drained) > 0) {
    }
    for (size_t i = 1; i < waits.size(); ++i) {
      Peer& peer = peers[who[i]];
      if (waits[i].revents & POLLOUT) flush(peer);
      if ((waits[i].revents & (POLLIN | POLLHUP | POLLERR)) && !read_from(who[i], peer)) {
        ::close(peer.fd);
        peer.fd = -1;
        if (peer.said_goodbye || closing) continue;
        end_job(fmt::format("{} died: its connection closed without a goodbye{}", name_rank(who[i]),
                            peer.last_operation.empty() ? "" : ". Its last known operation: " + peer.last_operation),
                true);
      }
    }
    for (auto& [r, peer] : peers) {
      const double silent = trace::now_seconds() - peer.last_heard;
      if (peer.fd >= 0 && !peer.said_goodbye && silent > options.stopped_after_seconds) {
        end_job(fmt::format("{} has been silent for {:.1f} s: stopped, or its host hangs{}", name_rank(r), silent,
                            peer.last_operation.empty() ? "" : ". Its last known operation: " + peer.last_operation),
                true);
      }
    }
  }
}

void Watchdog::Impl::beat() {
  std::vector<FlightEntry> entries = flight_entries();
  if (entries.size() > 64) entries.erase(entries.begin(), entries.end() - 64);
  if (rank == 0) compare(0, entries);
  for (auto& [r, peer] : peers) {
    send(peer, {ControlKind::heartbeat, rank, "", rank == 0 ? std::vector<FlightEntry>{} : entries});
    flush(peer);
  }
}

void Watchdog::Impl::flush(Peer& peer) {
  while (peer.fd >= 0 && !peer.outbox.empty()) {
    const ssize_t put = ::send(peer.fd, peer.outbox.data(), peer.outbox.size(), MSG_NOSIGNAL);
    if (put <= 0) return;  // full, or broken: reading will tell
    peer.outbox.erase(0, static_cast<size_t>(put));
  }
}

// False when the connection is gone.
bool Watchdog::Impl::read_from(int peer_rank, Peer& peer) {
  char buffer[1 << 16];
  bool open = true;
  for (;;) {
    const ssize_t got = ::recv(peer.fd, buffer, sizeof buffer, 0);
    if (got > 0) {
      peer.inbox.append(buffer, static_cast<size_t>(got));
      continue;
    }
    if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) open = false;
    break;
  }
  size_t used = 0;
  while (const auto message = decode(std::string_view(peer.inbox).substr(used))) {
    used += message->second;
    handle(peer_rank, peer, message->first);
  }
  peer.inbox.erase(0, used);
  return open;
}

void Watchdog::Impl::handle(int from, Peer& peer, const ControlMessage& message) {
  peer.last_heard = trace::now_seconds();
  switch (message.kind) {
    case ControlKind::heartbeat:
      if (!message.entries.empty()) peer.last_operation = describe(message.entries.back());
      if (rank == 0) compare(from, message.entries);
      return;
    case ControlKind::goodbye:
      peer.said_goodbye = true;
      return;
    case ControlKind::failure:
      end_job(fmt::format("{} failed: {}", name_rank(message.rank), message.text), false);
    case ControlKind::abort:
      end_job(message.text, false);
  }
}

void Watchdog::Impl::compare(int from, const std::vector<FlightEntry>& entries) {
  for (const FlightEntry& entry : entries) {
    const auto [where, added] = seen.try_emplace({entry.key, entry.sequence}, from, entry);
    if (added || where->second.first == from) continue;
    const auto& [other, theirs] = where->second;
    if (same_signature(theirs, entry)) continue;
    end_job(fmt::format("a collective does not match its peers: {} calls {}, but {} calls {}", name_rank(from), describe(entry), name_rank(other), describe(theirs)), true);
  }
  while (seen.size() > 65536) seen.erase(seen.begin());
}

void Watchdog::Impl::check_own_timeout() {
  const double now = trace::now_seconds();
  for (const FlightEntry& entry : flight_entries()) {
    if (entry.finished > 0 || now - entry.started < options.collective_timeout_seconds) continue;
    const std::string text = fmt::format("{} hangs: {} has been under way for {:.1f} s (run.collective_timeout), and all peers are alive", name_rank(rank), describe(entry), now - entry.started);
    for (auto& [r, peer] : peers) send(peer, {ControlKind::abort, rank, text, {}}), flush(peer);
    end_job(text, true);
  }
}

// Speaks once a job where it can: rank 0, or whoever saw it first; tells the others, leaves its record, ends.
void Watchdog::Impl::end_job(const std::string& message, bool speak) {
  if (speak || rank == 0) {
    const std::string line = fmt::format("ocoee: communication error: {}\n", message);
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
  }
  for (auto& [r, peer] : peers) {
    if (peer.fd < 0) continue;
    send(peer, {ControlKind::abort, rank, message, {}});
    flush(peer);
  }
  {
    const std::lock_guard lock(mutex);
    if (listener) listener(message);
  }
  if (!options.dump_folder.empty()) {
    try {
      write_file_atomically(options.dump_folder + fmt::format("/flight-rank-{}.json", rank), flight_record());
    } catch (const std::exception&) {  // the job is ending; its message is out
    }
  }
  ::_exit(exit_code(ErrorKind::comm));
}

}  // namespace ocoee::comm
