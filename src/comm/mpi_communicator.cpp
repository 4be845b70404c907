// SPDX-License-Identifier: Apache-2.0
// Nonblocking MPI over host buffers; GPU buffers, where asked for, are staged through pinned host memory.
#include <limits>

#include "comm/flight_recorder.h"
#include "comm/mpi_support.h"
#include "core/error.h"
#include "core/text.h"

namespace ocoee::comm {
namespace {

class MpiWork final : public Work {
 public:
  explicit MpiWork(MPI_Request request) : request_(request) {}
  ~MpiWork() override {
    if (request_ != MPI_REQUEST_NULL) MPI_Wait(&request_, MPI_STATUS_IGNORE);
  }
  void wait(const device::Stream&) override { check_mpi(MPI_Wait(&request_, MPI_STATUS_IGNORE), "a wait for a collective"); }
  bool done() override {
    int flag = 0;
    check_mpi(MPI_Test(&request_, &flag, MPI_STATUS_IGNORE), "a test of a collective");
    return flag != 0;
  }

 private:
  MPI_Request request_;
};

// A finished staged operation: results came back on the stream, which orders what follows.
class StagedWork final : public Work {
 public:
  StagedWork(device::Memory in, device::Memory out) : in_(std::move(in)), out_(std::move(out)) {}
  void wait(const device::Stream&) override {}
  bool done() override { return true; }

 private:
  device::Memory in_, out_;
};

int int_count(int64_t count) {
  OCOEE_CHECK(count <= std::numeric_limits<int>::max(), "{} elements in one MPI call", count);
  return static_cast<int>(count);
}

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(std::string name, MPI_Comm mpi, int rank, int size, std::vector<int> world_ranks, bool staged)
      : Communicator(std::move(name), rank, size, std::move(world_ranks)), mpi_(mpi), staged_(staged) {}
  ~MpiCommunicator() override {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (!finalized && mpi_ != MPI_COMM_NULL) MPI_Comm_free(&mpi_);
  }

 protected:
  WorkHandle start(const Operation& o) override {
    const bool on_device = o.input.device.is_cuda() || o.output.device.is_cuda();
    if (!on_device) return std::make_unique<MpiWork>(begin(o));
    OCOEE_CHECK(staged_, "GPU buffers on the MPI communicator '{}', which is not host-staged", name());
    return staged(o);
  }

 private:
  MPI_Request begin(const Operation& o) const {
    MPI_Request request = MPI_REQUEST_NULL;
    const MPI_Datatype in_type = mpi_type(o.input.dtype), out_type = mpi_type(o.output.dtype);
    const bool in_place = o.input.data == o.output.data;
    switch (o.kind) {
      case Kind::all_reduce:
        check_mpi(MPI_Iallreduce(in_place ? MPI_IN_PLACE : o.input.data, o.output.data, int_count(o.input.count), in_type, mpi_op(o.op, o.input.dtype), mpi_, &request), "all_reduce");
        break;
      case Kind::reduce_scatter: {
        // output may be the own block of input: MPI's in-place form wants it at the front, so a copy stands between
        check_mpi(MPI_Ireduce_scatter_block(o.input.data, o.output.data, int_count(o.output.count), out_type, mpi_op(o.op, o.output.dtype), mpi_, &request), "reduce_scatter");
        break;
      }
      case Kind::all_gather: {
        const bool own_block = o.input.data == o.output.slice(o.input.count * rank(), o.input.count).data;
        check_mpi(MPI_Iallgather(own_block ? MPI_IN_PLACE : o.input.data, int_count(o.input.count), in_type, o.output.data, int_count(o.input.count), out_type, mpi_, &request), "all_gather");
        break;
      }
      case Kind::broadcast:
        check_mpi(MPI_Ibcast(o.input.data, int_count(o.input.count), in_type, o.peer, mpi_, &request), "broadcast");
        break;
      case Kind::all_to_all: {
        const int block = int_count(o.input.count / size());
        check_mpi(MPI_Ialltoall(o.input.data, block, in_type, o.output.data, block, out_type, mpi_, &request), "all_to_all");
        break;
      }
      case Kind::send:
        check_mpi(MPI_Isend(o.input.data, int_count(o.input.count), in_type, o.peer, 0, mpi_, &request), "send");
        break;
      case Kind::receive:
        check_mpi(MPI_Irecv(o.output.data, int_count(o.output.count), out_type, o.peer, 0, mpi_, &request), "receive");
        break;
      case Kind::barrier:
        check_mpi(MPI_Ibarrier(mpi_, &request), "barrier");
        break;
    }
    return request;
  }

  WorkHandle staged(const Operation& o) const {
    const device::Device gpu = o.input.device.is_cuda() ? o.input.device : o.output.device;
    using Where = device::Memory::Where;
    Operation host = o;
    device::Memory in(std::max<size_t>(o.input.bytes(), 1), Where::pinned, gpu), out(std::max<size_t>(o.output.bytes(), 1), Where::pinned, gpu);
    if (o.input.data) {
      device::copy(in.data(), {}, o.input.data, gpu, o.input.bytes(), o.stream);
      host.input = {in.data(), o.input.count, o.input.dtype, {}};
    }
    if (o.output.data) host.output = {o.input.data == o.output.data ? in.data() : out.data(), o.output.count, o.output.dtype, {}};
    device::synchronize(o.stream);
    MPI_Request request = begin(host);
    check_mpi(MPI_Wait(&request, MPI_STATUS_IGNORE), "a staged collective");
    const bool writes = o.kind != Kind::send && o.kind != Kind::barrier;
    if (writes) {
      device::copy(o.output.data, gpu, host.output.data, {}, o.output.bytes(), o.stream);
      device::synchronize(o.stream);
    }
    return std::make_unique<StagedWork>(std::move(in), std::move(out));
  }

  MPI_Comm mpi_;
  bool staged_;
};

}  // namespace

std::shared_ptr<Communicator> make_mpi_communicator(std::string name, MPI_Comm mpi, std::vector<int> world_ranks, bool staged) {
  int rank = 0, size = 1;
  MPI_Comm_rank(mpi, &rank);
  MPI_Comm_size(mpi, &size);
  std::string identity = name;
  for (const int r : world_ranks) identity += "," + std::to_string(r);
  auto made = std::make_shared<MpiCommunicator>(std::move(name), mpi, rank, size, std::move(world_ranks), staged);
  flight_name_communicator(made.get(), hash64(identity));
  return made;
}

}  // namespace ocoee::comm
