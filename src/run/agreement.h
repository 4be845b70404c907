// SPDX-License-Identifier: Apache-2.0
// Work that may fail on some ranks only, with one outcome for all: an error is thrown everywhere,
// or nowhere, so that no rank waits for one that has left.
#pragma once

#include <functional>

#include "comm/communicator.h"
#include "core/error.h"

namespace ocoee::run {

// An error that all ranks throw together: nobody needs to be told, and one of them may speak for
// all.
class AgreedError : public Error {
 public:
  using Error::Error;
};

void on_first_rank(comm::Communicator& world, const std::function<void()>& work);  // collective
void on_every_rank(comm::Communicator& world, const std::function<void()>& work);  // collective

}  // namespace ocoee::run
