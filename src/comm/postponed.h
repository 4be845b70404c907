// SPDX-License-Identifier: Apache-2.0
// For backends: a sum whose last part starts when this rank's own block is made.
#pragma once

#include <functional>

#include "comm/communicator.h"
#include "core/error.h"

namespace ocoee::comm {

class Postponed final : public Work {
 public:
  using Start = std::function<WorkHandle(const device::Stream&)>;
  explicit Postponed(Start start) : start_(std::move(start)) {}
  void own_block_queued(const device::Stream& stream) override { started_ = start_(stream); }
  void wait(const device::Stream& stream) override {
    OCOEE_CHECK(started_, "a sum is waited for before this rank's own block is made");
    started_->wait(stream);
  }
  bool done() override { return started_ && started_->done(); }
  std::shared_ptr<const device::Event> completion() const override {
    return started_ ? started_->completion() : nullptr;
  }

 private:
  Start start_;
  WorkHandle started_;
};

}  // namespace ocoee::comm
