// SPDX-License-Identifier: Apache-2.0
#include "comm/watchdog.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>

#include "comm/watchdog_impl.h"
#include "core/log.h"
#include "core/text.h"

namespace ocoee::comm {
namespace {

constexpr int kBacklog = 4096;

// A hub needs a descriptor for each rank; many systems start programs with 1,024.
void allow_descriptors(int ranks) {
  rlimit limit{};
  const auto wanted = static_cast<rlim_t>(ranks) + 512;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(limit.rlim_max, std::max(limit.rlim_cur, wanted));
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

uint64_t fresh_token() {  // keeps strangers out; no random number of any result
  uint64_t token = 0;
  if (::getrandom(&token, sizeof token, 0) != sizeof token)
    token = static_cast<uint64_t>(::getpid());
  return token;
}

template <class Function>
std::thread thread_without_signals(Function function) {  // they belong to the main thread
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(std::move(function));
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace

double watch_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string Endpoint::text() const {
  return fmt::format("{};{};{};{}", process, port, token, join(addresses, ","));
}

Endpoint Endpoint::from(const std::string& host, const std::string& text) {
  const std::vector<std::string> parts = split(text, ';');
  OCOEE_CHECK(parts.size() == 4, "'{}' is no address of a watchdog", text);
  Endpoint out;
  out.host = host;
  out.process = std::stoi(parts[0]);
  out.port = std::stoi(parts[1]);
  out.token = std::stoull(parts[2]);
  if (!parts[3].empty()) out.addresses = split(parts[3], ',');
  return out;
}

Watchdog::Watchdog(World& world, const WatchdogOptions& options) {
  if (world.size() == 1) return;
  impl_ = std::make_unique<Impl>();
  Impl& w = *impl_;
  w.rank = world.rank();
  w.size = world.size();
  w.options = options;
  w.exceptions_at_start = std::uncaught_exceptions();
  w.wake = Descriptor(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (w.rank == 0) allow_descriptors(w.size);
  w.listener = listen_anywhere(kBacklog);
  Endpoint own;
  own.process = static_cast<int>(::getpid());
  own.port = w.listener.port;
  own.token = fresh_token();
  own.addresses = own_addresses();
  const std::vector<std::string> texts = world.host()->all_gather_text(own.text());
  for (size_t r = 0; r < texts.size(); ++r)
    w.endpoints.push_back(Endpoint::from(world.hosts()[r], texts[r]));

  if (w.rank == 0) {
    w.thread = thread_without_signals([&w] { w.run_hub(); });
  } else {
    w.to_hub = w.connect(w.endpoints[0], 3.0);
    w.to_hub.send(Hello{w.endpoints[0].token, w.rank});
  }
  const std::vector<std::string> reached =
      world.host()->all_gather_text(w.rank == 0 || w.to_hub.open() ? "yes" : "no");
  const auto lost = std::find(reached.begin(), reached.end(), "no");
  if (lost != reached.end()) {
    {
      const std::lock_guard lock(w.mutex);
      w.cancelled = true;
    }
    w.wake_up();
    if (w.thread.joinable()) w.thread.join();
    if (w.rank == 0) {
      log::warn(
          "no watchdog: rank {} (host {}) cannot reach rank 0 over TCP at {} (port {}); set "
          "OCOEE_WATCHDOG_INTERFACE to a network "
          "interface that all hosts share",
          lost - reached.begin(), world.hosts()[static_cast<size_t>(lost - reached.begin())],
          join(w.endpoints[0].addresses, ", "), w.endpoints[0].port);
    }
    impl_.reset();
    return;
  }
  if (w.rank != 0) {
    w.thread = thread_without_signals([&w] { w.run_other(); });
    return;
  }
  const std::lock_guard lock(w.mutex);
  w.judging = true;
}

Watchdog::~Watchdog() {
  if (!impl_) return;
  Impl& w = *impl_;
  bool reported;
  {
    const std::lock_guard lock(w.mutex);
    reported = w.failing;
  }
  if (!reported && std::uncaught_exceptions() > w.exceptions_at_start) {
    report_failure("an error that nobody reported ended it; see its own last words");
  } else if (!reported) {
    const std::lock_guard lock(w.mutex);
    w.leaving = true;
  }
  w.wake_up();
  w.thread.join();
}

bool Watchdog::on() const {
  return impl_ != nullptr;
}

bool Watchdog::report_failure(const std::string& reason, int code) {
  if (!impl_) return false;
  Impl& w = *impl_;
  std::unique_lock lock(w.mutex);
  if (!w.over && !w.failing) {
    w.failing = true;
    w.failure = {code, reason};
    w.wake_up();
  }
  w.changed.wait_for(lock, std::chrono::seconds(10), [&] { return w.over; });
  return w.told;
}

void Watchdog::on_abort(std::function<void(const std::string& message)> listener) {
  if (!impl_) return;
  const std::lock_guard lock(impl_->mutex);
  impl_->listeners.push_back(std::move(listener));
}

Watchdog::Impl::Wishes Watchdog::Impl::wishes() {
  const std::lock_guard lock(mutex);
  return {judging, cancelled, leaving, failing, failure};
}

void Watchdog::Impl::wake_up() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake.get(), &one, sizeof one);
}

void Watchdog::Impl::drain_wake() const {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t taken = ::read(wake.get(), &count, sizeof count);
}

std::vector<std::string> Watchdog::Impl::rank_names() const {
  std::vector<std::string> names;
  for (const Endpoint& endpoint : endpoints)
    names.push_back(fmt::format("host {}, process {}", endpoint.host, endpoint.process));
  return names;
}

ControlChannel Watchdog::Impl::connect(const Endpoint& to, double seconds) const {
  std::vector<std::string> addresses = to.addresses;
  if (to.host == endpoints[static_cast<size_t>(rank)].host)
    addresses.insert(addresses.begin(), "127.0.0.1");
  for (const std::string& address : addresses) {
    Descriptor socket = connect_to(address, to.port, seconds);
    if (socket.open()) return ControlChannel(std::move(socket));
  }
  return {};
}

void Watchdog::Impl::say(int code, const std::string& message) const {
  std::string text =
      fmt::format("\nocoee: {}: {}\n", name_of(static_cast<ErrorKind>(code)), message);
  if (!options.dump_folder.empty())
    text += fmt::format("    flight records: {}/flight-rank-*.json\n", options.dump_folder);
  for (size_t written = 0;
       written < text.size();) {  // past every buffer: nothing may stand between this and the user
    const ssize_t n = ::write(STDERR_FILENO, text.data() + written, text.size() - written);
    if (n <= 0) break;
    written += static_cast<size_t>(n);
  }
}

void Watchdog::Impl::end(int code, const std::string& message, bool user_is_told) {
  if (!options.dump_folder.empty()) {
    std::error_code ignored;
    std::filesystem::create_directories(options.dump_folder, ignored);
    std::ofstream(std::filesystem::path(options.dump_folder) /
                  fmt::format("flight-rank-{}.json", rank))
        << flight_record();
  }
  std::unique_lock lock(mutex);
  const auto to_call = listeners;
  lock.unlock();
  for (const auto& call : to_call) {
    try {
      call(message);
    } catch (const std::exception&) {  // the end must not be stopped by a listener
    }
  }
  lock.lock();
  told = user_is_told;
  over = true;
  changed.notify_all();
  if (!failing) ::_exit(code);
}

}  // namespace ocoee::comm
