// SPDX-License-Identifier: Apache-2.0
#include "run/agreement.h"

#include <string>

namespace ocoee::run {
namespace {

// "" when the work was done, else a digit pair for the kind and the message.
std::string failure_of(const std::function<void()>& work) {
  try {
    work();
    return "";
  } catch (const std::exception& thrown) {
    const Error error = as_error(thrown);
    return fmt::format("{:02}{}", static_cast<int>(error.kind()), error.what());
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
