// SPDX-License-Identifier: Apache-2.0
#include <exception>
#include <map>
#include <utility>

#include "comm/backend.h"
#include "core/error.h"

namespace ocoee::comm {
namespace {

// Pinned memory is slow to get, so blocks are used again.
class PinnedPool {
 public:
  device::Memory take(size_t bytes, const device::Device& device) {
    const auto found = free_.lower_bound(bytes);
    if (found == free_.end() || found->first > 2 * bytes + 4096) {
      return device::Memory(bytes, device::Memory::Where::pinned, device);
    }
    device::Memory memory = std::move(found->second);
    free_.erase(found);
    return memory;
  }
  void give(device::Memory memory) {
    if (memory.data()) free_.emplace(memory.bytes(), std::move(memory));
  }

 private:
  std::multimap<size_t, device::Memory> free_;
};

class StagedWork final : public Work {
 public:
  StagedWork(WorkHandle inner, Buffer from, Buffer to, device::Stream stream,
             std::shared_ptr<PinnedPool> pool, device::Memory in, device::Memory out)
      : inner_(std::move(inner)),
        from_(from),
        to_(to),
        stream_(stream),
        pool_(std::move(pool)),
        in_(std::move(in)),
        out_(std::move(out)) {}

  ~StagedWork() override {
    if (std::uncaught_exceptions() > 0) return;
    try {
      wait(stream_);
    } catch (const std::exception&) {  // whoever cared would have waited; the watchdog has seen it
    }
    pool_->give(std::move(in_));
    pool_->give(std::move(out_));
  }

  void wait(const device::Stream& stream) override {
    if (!inner_) return;
    const WorkHandle inner = std::move(inner_);
    inner->wait({});
    if (!to_.data) return;
    const device::Stream on = stream.device.is_cuda() ? stream : stream_;
    device::copy(to_.data, to_.device, from_.data, {}, to_.bytes(), on);
    device::synchronize(on);  // the pinned block is free again after this
  }

  bool done() override { return !inner_ || inner_->done(); }

 private:
  WorkHandle inner_;
  Buffer from_, to_;  // staged result, and where it belongs
  device::Stream stream_;
  std::shared_ptr<PinnedPool> pool_;
  device::Memory in_, out_;
};

class StagedCommunicator final : public Communicator {
 public:
  StagedCommunicator(std::string name, std::shared_ptr<Communicator> host, bool stage_all)
      : Communicator(std::move(name), host->rank(), host->size(), host->world_ranks()),
        host_(std::move(host)),
        stage_all_(stage_all) {}

  bool capturable() const override { return false; }

  WorkHandle start(const Operation& o) override {
    const bool on_device = o.input.device.is_cuda() || o.output.device.is_cuda();
    if (o.kind == Kind::barrier || (!on_device && !stage_all_)) return host_->start(o);
    OCOEE_CHECK(!device::capturing(o.stream),
                "{} on '{}' is staged through the host and cannot be part of a CUDA graph; give "
                "each rank a GPU of its own, or run without graphs",
                comm::name_of(o.kind), name());
    const device::Device gpu = o.input.device.is_cuda() ? o.input.device : o.output.device;
    const bool has_input = o.input.data != nullptr, has_output = o.output.data != nullptr;
    const bool in_place = has_input && o.input.data == o.output.data && o.kind != Kind::all_gather;
    const bool own_block =
        o.kind == Kind::all_gather &&
        o.input.data == o.output.slice(o.input.count * rank(), o.input.count).data;
    const bool reads = has_input && (o.kind != Kind::broadcast || o.peer == rank());
    const bool writes =
        has_output && o.kind != Kind::send && (o.kind != Kind::broadcast || o.peer != rank());

    Operation host = o;
    host.stream = {};
    device::Memory in, out;
    if (has_output && !in_place) {
      out = pool_->take(o.output.bytes(), gpu);
      host.output = {out.data(), o.output.count, o.output.dtype, {}};
    }
    if (own_block) {
      host.input = host.output.slice(o.input.count * rank(), o.input.count);
    } else if (has_input) {
      in = pool_->take(o.input.bytes(), gpu);
      host.input = {in.data(), o.input.count, o.input.dtype, {}};
      if (in_place) host.output = {in.data(), o.output.count, o.output.dtype, {}};
    }
    if (reads) {
      device::copy(host.input.data, {}, o.input.data, o.input.device, o.input.bytes(), o.stream);
      device::synchronize(o.stream);
    }
    WorkHandle inner = host_->start(host);
    const Buffer from = host.output, to = writes ? o.output : Buffer{};
    return std::make_unique<StagedWork>(std::move(inner), from, to, o.stream, pool_, std::move(in),
                                        std::move(out));
  }

 private:
  std::shared_ptr<Communicator> host_;
  bool stage_all_;
  std::shared_ptr<PinnedPool> pool_ = std::make_shared<PinnedPool>();
};

}  // namespace

std::shared_ptr<Communicator> make_staged_communicator(std::string name,
                                                       std::shared_ptr<Communicator> host,
                                                       bool stage_all) {
  return std::make_shared<StagedCommunicator>(std::move(name), std::move(host), stage_all);
}

}  // namespace ocoee::comm
