// SPDX-License-Identifier: Apache-2.0
#include "comm/control_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace ocoee::comm {
namespace {

void talk_at_once(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

bool bind_to(int fd, int family) {
  if (family == AF_INET6) {
    const int off = 0;
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);  // take IPv4 too
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_addr = in6addr_any;
    return ::bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0;
  }
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = INADDR_ANY;
  return ::bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0;
}

int port_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace

Listener listen_anywhere(int backlog) {
  for (const int family : {AF_INET6, AF_INET}) {  // a host may have no IPv6
    Descriptor socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket.open() || !bind_to(socket.get(), family) || ::listen(socket.get(), backlog) != 0)
      continue;
    const int port = port_of(socket.get());
    if (port != 0) return {std::move(socket), port};
  }
  fail(ErrorKind::comm, "the watchdog cannot listen on any TCP port: {}", std::strerror(errno));
}

Descriptor accept_one(const Descriptor& listener) {
  Descriptor socket(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.open()) talk_at_once(socket.get());
  return socket;
}

std::vector<std::string> own_addresses() {
  const char* only = std::getenv("OCOEE_WATCHDOG_INTERFACE");
  std::vector<std::string> out;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return out;
  for (const ifaddrs* one = all; one; one = one->ifa_next) {
    if (!one->ifa_addr || !(one->ifa_flags & IFF_UP)) continue;
    if (only && *only ? std::strcmp(only, one->ifa_name) != 0
                      : (one->ifa_flags & IFF_LOOPBACK) != 0)
      continue;
    char text[INET6_ADDRSTRLEN] = "";
    if (one->ifa_addr->sa_family == AF_INET) {
      ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr, text,
                  sizeof text);
    } else if (one->ifa_addr->sa_family == AF_INET6) {
      const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(one->ifa_addr)->sin6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(&address)) continue;  // means nothing on another host
      ::inet_ntop(AF_INET6, &address, text, sizeof text);
    }
    if (*text) out.emplace_back(text);
  }
  ::freeifaddrs(all);
  return out;
}

Descriptor connect_to(const std::string& address, int port, double seconds) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  if (::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return {};
  Descriptor socket(::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int code = socket.open() ? ::connect(socket.get(), found->ai_addr, found->ai_addrlen) : -1;
  const bool going_on = socket.open() && code != 0 && errno == EINPROGRESS;
  ::freeaddrinfo(found);
  if (going_on) {
    pollfd waiting{socket.get(), POLLOUT, 0};
    int error = ETIMEDOUT;
    socklen_t size = sizeof error;
    if (::poll(&waiting, 1, static_cast<int>(seconds * 1000)) == 1)
      ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    code = error == 0 ? 0 : -1;
  }
  if (code != 0) return {};
  talk_at_once(socket.get());
  return socket;
}

void ControlChannel::send(const ControlMessage& message) {
  if (!open()) return;
  out_ += control_frame(message);
  flush();
}

void ControlChannel::flush() {
  while (open() && !out_.empty()) {
    const ssize_t n = ::send(fd(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (n > 0) {
      out_.erase(0, static_cast<size_t>(n));
    } else if (n < 0 && errno == EINTR) {
      continue;
    } else {
      // A full socket waits for the next round; a broken one shows itself when it is read, after
      // what still came.
      if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) out_.clear();
      return;
    }
  }
}

std::vector<ControlMessage> ControlChannel::receive() {
  std::vector<ControlMessage> messages;
  bool ended = false;
  char bytes[16384];
  while (open() && !ended) {
    const ssize_t n = ::recv(fd(), bytes, sizeof bytes, 0);
    if (n > 0) {
      in_.append({bytes, static_cast<size_t>(n)});
    } else if (n < 0 && errno == EINTR) {
      continue;
    } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      break;
    } else {
      ended = true;
    }
  }
  while (const std::optional<std::string> payload = in_.next()) {
    std::optional<ControlMessage> message = parse_control_message(*payload);
    if (message) {
      messages.push_back(std::move(*message));
    } else {
      ended = true;
    }
  }
  if (ended || in_.broken()) close();
  return messages;
}

void wait_for_any(const std::vector<const ControlChannel*>& channels,
                  const std::vector<int>& others, double seconds) {
  std::vector<pollfd> fds;
  for (const int fd : others) fds.push_back({fd, POLLIN, 0});
  for (const ControlChannel* channel : channels) {
    if (channel->open())
      fds.push_back({channel->fd(),
                     static_cast<short>(channel->has_output() ? POLLIN | POLLOUT : POLLIN), 0});
  }
  ::poll(fds.data(), fds.size(), static_cast<int>(seconds < 0 ? 0 : seconds * 1000 + 0.999));
}

}  // namespace ocoee::comm
