// SPDX-License-Identifier: Apache-2.0
#include "run/agreement.h"

#include <new>
#include <string>

namespace ocoee::run {
namespace {

// "" when the work was done, else a digit pair for the kind and the message.
std::string failure_of(const std::function<void()>& work) {
  try {
    work();
    return "";
  } catch (const Error& error) {
    return fmt::format("{:02}{}", static_cast<int>(error.kind()), error.what());
  } catch (const std::bad_alloc&) {
    return fmt::format("{:02}the host has no memory left", static_cast<int>(ErrorKind::memory));
  } catch (const std::exception& error) {
    return fmt::format("{:02}{}", static_cast<int>(ErrorKind::internal), error.what());
  }
}

void throw_failure(const std::string& failure) {
  if (failure.empty()) return;
  throw AgreedError(static_cast<ErrorKind>(std::stoi(failure.substr(0, 2))), failure.substr(2));
}

}  // namespace

void on_first_rank(comm::Communicator& world, const std::function<void()>& work) {
  const std::string failure = world.rank() == 0 ? failure_of(work) : "";
  throw_failure(world.broadcast_text(failure, 0));
}

void on_every_rank(comm::Communicator& world, const std::function<void()>& work) {
  for (const std::string& failure : world.all_gather_text(failure_of(work))) throw_failure(failure);
}

}  // namespace ocoee::run
