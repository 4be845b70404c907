// SPDX-License-Identifier: Apache-2.0
// TCP for the watchdog: nonblocking, closed on exec, so that no child process keeps a dead rank's
// connection open.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "comm/control_message.h"
#include "core/descriptor.h"

namespace ocoee::comm {

struct Listener {
  Descriptor socket;
  int port = 0;
};
Listener listen_anywhere(int backlog);  // all interfaces, a free port; throws Error(comm)
Descriptor accept_one(const Descriptor& listener);  // not open when nobody waits

// This host's addresses but loopback; only those of one interface where OCOEE_WATCHDOG_INTERFACE
// names it.
std::vector<std::string> own_addresses();
Descriptor connect_to(const std::string& address, int port,
                      double seconds);  // not open when it failed

// One peer: frames in, frames out.
class ControlChannel {
 public:
  ControlChannel() = default;
  explicit ControlChannel(Descriptor socket) : socket_(std::move(socket)) {}
  int fd() const { return socket_.get(); }
  bool open() const { return socket_.open(); }
  bool has_output() const { return !out_.empty(); }
  void send(const ControlMessage& message);  // queued, and written as far as the socket takes it
  void flush();
  // What has come. The channel is closed afterwards if the peer closed it or spoke nonsense.
  std::vector<ControlMessage> receive();
  void close() { socket_.close(); }

 private:
  Descriptor socket_;
  FrameReader in_;
  std::string out_;
};

// Waits until one of these can be read (or, with output pending, written), or the time is over.
void wait_for_any(const std::vector<const ControlChannel*>& channels,
                  const std::vector<int>& others, double seconds);

}  // namespace ocoee::comm
