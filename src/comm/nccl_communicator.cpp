// SPDX-License-Identifier: Apache-2.0
// NCCL on a stream of its own, joined to the caller's by events, so that it can be captured into a
// graph.
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <exception>
#include <initializer_list>

#include "comm/backend.h"
#include "comm/peer_copies.h"
#include "comm/postponed.h"
#include "core/error.h"

namespace ocoee::comm {
namespace {

void check_nccl(ncclResult_t code, const char* what, ncclComm_t comm = nullptr) {
  if (code == ncclSuccess) return;
  const char* detail = ncclGetLastError(comm);
  fail(ErrorKind::comm, "NCCL: {} failed: {}{}{}", what, ncclGetErrorString(code),
       detail && *detail ? ": " : "", detail ? detail : "");
}

void check_cuda(cudaError_t code, const char* what) {
  if (code != cudaSuccess)
    fail(ErrorKind::device, "CUDA: {} failed: {}", what, cudaGetErrorString(code));
}

// The connections between the ranks of one group, and the stream they work on.
struct Connections {
  ncclComm_t nccl = nullptr;
  device::OwnedStream stream;
  std::unique_ptr<PeerCopies> copies;  // null: NCCL does all
  explicit Connections(device::Device device) : stream(device, true) {}
  ~Connections() {
    if (!nccl) return;
    if (std::uncaught_exceptions() > 0) {
      if (copies) copies->abandon();
      ncclCommAbort(nccl);  // the peers may never come
    } else {
      ncclCommDestroy(nccl);
    }
  }
};

class NcclWork final : public Work {
 public:
  NcclWork(std::shared_ptr<device::Event> event, device::Stream from, bool captured)
      : event_(std::move(event)), from_(from), captured_(captured) {}
  ~NcclWork() override {
    if (waited_) return;
    try {
      event_->wait_on(from_);
    } catch (const std::exception&) {  // a lost GPU: the next call on it says so
    }
  }
  void wait(const device::Stream& stream) override {
    event_->wait_on(stream.device.is_cuda() ? stream : from_);
    waited_ = true;
  }
  bool done() override { return captured_ || event_->done(); }
  std::shared_ptr<const device::Event> completion() const override {
    return captured_ ? nullptr : event_;
  }

 private:
  std::shared_ptr<device::Event> event_;
  device::Stream from_;
  bool captured_;
  bool waited_ = false;
};

// Reductions need arithmetic; everything else moves bytes.
ncclDataType_t nccl_type(DType dtype) {
  switch (dtype) {
    case DType::u8:
      return ncclUint8;
    case DType::i8:
      return ncclInt8;
    case DType::i32:
      return ncclInt32;
    case DType::u32:
      return ncclUint32;
    case DType::i64:
      return ncclInt64;
    case DType::u64:
      return ncclUint64;
    case DType::f16:
      return ncclFloat16;
    case DType::bf16:
      return ncclBfloat16;
    case DType::f32:
      return ncclFloat32;
    case DType::f64:
      return ncclFloat64;
    case DType::boolean:
      return ncclUint8;
    case DType::i16:
    case DType::u16:
      break;
  }
  fail(ErrorKind::internal, "NCCL reduces no {}", name_of(dtype));
}

ncclRedOp_t nccl_op(Reduce op, DType dtype) {
  OCOEE_CHECK(dtype != DType::boolean || op != Reduce::sum,
              "a sum of booleans; use max for any, min for all");
  return op == Reduce::sum ? ncclSum : op == Reduce::max ? ncclMax : ncclMin;
}

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(std::string name, std::shared_ptr<Communicator> control, device::Device device,
                   std::shared_ptr<Connections> connections)
      : Communicator(std::move(name), control->rank(), control->size(), control->world_ranks()),
        control_(std::move(control)),
        device_(device),
        connections_(std::move(connections)) {}

  std::shared_ptr<Connections> connections() const { return connections_; }
  bool has_copy_engines() const override { return connections_->copies != nullptr; }

  WorkHandle start(const Operation& o) override {
    if (!on_device(o)) return control_->start(o);  // host buffers, barriers
    return work(queue({&o}), o.stream);
  }

  WorkHandle start_own_later(const Operation& o) override {
    if (!on_device(o) || !connections_->copies || !connections_->copies->takes_own_later(o))
      return Communicator::start_own_later(o);
    join(o.stream);
    connections_->copies->push_blocks(o, own_stream());
    return std::make_unique<Postponed>([this, o](const device::Stream& stream) {
      join(stream);
      connections_->copies->sum_blocks(o, own_stream());
      return work(reached(), stream);
    });
  }

  // In one group: the two run at the same time.
  std::pair<WorkHandle, WorkHandle> start_exchange(const Operation& send,
                                                   const Operation& receive) override {
    if (!on_device(send)) return control_->start_exchange(send, receive);
    const auto after = queue({&send, &receive});
    return {work(after, send.stream), work(after, send.stream)};
  }

 private:
  static bool on_device(const Operation& o) {
    return o.input.device.is_cuda() || o.output.device.is_cuda();
  }
  device::Stream from(const device::Stream& stream) const {
    return stream.device.is_cuda() ? stream : device::Stream{nullptr, device_};
  }
  WorkHandle work(std::shared_ptr<device::Event> after, const device::Stream& stream) const {
    return std::make_unique<NcclWork>(std::move(after), from(stream),
                                      device::capturing(from(stream)));
  }

  // After what is queued on the caller's stream. The event: they have run.
  std::shared_ptr<device::Event> queue(std::initializer_list<const Operation*> operations) const {
    join((*operations.begin())->stream);
    const bool together = operations.size() > 1;
    if (together) check_nccl(ncclGroupStart(), "ncclGroupStart");
    for (const Operation* o : operations) enqueue(*o, own_stream());
    if (together) check_nccl(ncclGroupEnd(), "ncclGroupEnd", connections_->nccl);
    return reached();
  }
  cudaStream_t own_stream() const {
    return static_cast<cudaStream_t>(connections_->stream.view().handle);
  }
  // Our stream waits for what is queued on the caller's.
  void join(const device::Stream& caller) const {
    device::Event before(device_);
    before.record(from(caller));
    before.wait_on(connections_->stream.view());
  }
  std::shared_ptr<device::Event> reached() const {
    auto after = std::make_shared<device::Event>(device_);
    after->record(connections_->stream.view());
    return after;
  }

  void enqueue(const Operation& o, cudaStream_t stream) const {
    if (connections_->copies && connections_->copies->takes(o))
      return connections_->copies->enqueue(o, stream);
    const ncclComm_t nccl = connections_->nccl;
    ncclResult_t code = ncclSuccess;
    switch (o.kind) {
      case Kind::all_reduce:
        code = ncclAllReduce(o.input.data, o.output.data, elements(o.input),
                             nccl_type(o.input.dtype), nccl_op(o.op, o.input.dtype), nccl, stream);
        break;
      case Kind::reduce_scatter:
        code = ncclReduceScatter(o.input.data, o.output.data, elements(o.output),
                                 nccl_type(o.output.dtype), nccl_op(o.op, o.output.dtype), nccl,
                                 stream);
        break;
      case Kind::all_gather:
        code = ncclAllGather(o.input.data, o.output.data, o.input.bytes(), ncclUint8, nccl, stream);
        break;
      case Kind::broadcast:
        code = ncclBroadcast(o.input.data, o.output.data, o.input.bytes(), ncclUint8, o.peer, nccl,
                             stream);
        break;
      case Kind::all_to_all:
        return transpose(o, stream);
      case Kind::send:
        code = ncclSend(o.input.data, o.input.bytes(), ncclUint8, o.peer, nccl, stream);
        break;
      case Kind::receive:
        code = ncclRecv(o.output.data, o.output.bytes(), ncclUint8, o.peer, nccl, stream);
        break;
      case Kind::barrier:
        break;
    }
    check_nccl(code, comm::name_of(o.kind), nccl);
  }

  void transpose(const Operation& o, cudaStream_t stream) const {
    OCOEE_CHECK(o.input.data != o.output.data, "all_to_all in place on GPU buffers");
    const ncclComm_t nccl = connections_->nccl;
    const int64_t block = o.input.count / size();
    check_nccl(ncclGroupStart(), "ncclGroupStart");
    for (int r = 0; r < size(); ++r) {
      const Buffer out = o.input.slice(r * block, block), in = o.output.slice(r * block, block);
      check_nccl(ncclSend(out.data, out.bytes(), ncclUint8, r, nccl, stream), "all_to_all", nccl);
      check_nccl(ncclRecv(in.data, in.bytes(), ncclUint8, r, nccl, stream), "all_to_all", nccl);
    }
    check_nccl(ncclGroupEnd(), "ncclGroupEnd", nccl);
  }

  static size_t elements(const Buffer& buffer) { return static_cast<size_t>(buffer.count); }

  std::shared_ptr<Communicator> control_;
  device::Device device_;
  std::shared_ptr<Connections> connections_;
};

}  // namespace

bool nccl_available() {
  return true;
}

std::shared_ptr<Communicator> make_nccl_communicator(const std::string& name,
                                                     std::shared_ptr<Communicator> control,
                                                     device::Device device,
                                                     const NcclOptions& options,
                                                     std::shared_ptr<Communicator> share) {
  if (share) {
    const auto& other = dynamic_cast<const NcclCommunicator&>(*share);
    return std::make_shared<NcclCommunicator>(name, std::move(control), device,
                                              other.connections());
  }
  ncclUniqueId id{};
  if (control->rank() == 0) check_nccl(ncclGetUniqueId(&id), "ncclGetUniqueId");
  control->broadcast({&id, sizeof id, DType::u8, {}}, 0);
  auto connections = std::make_shared<Connections>(device);
  check_cuda(cudaSetDevice(device.index), "cudaSetDevice");
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  if (options.most_multiprocessors > 0) config.maxCTAs = options.most_multiprocessors;
  check_nccl(
      ncclCommInitRankConfig(&connections->nccl, control->size(), id, control->rank(), &config),
      "ncclCommInitRankConfig");
  if (options.copy_engines) connections->copies = PeerCopies::connect(control, device);
  return std::make_shared<NcclCommunicator>(name, std::move(control), device,
                                            std::move(connections));
}

}  // namespace ocoee::comm
