// SPDX-License-Identifier: Apache-2.0
// Nonblocking MPI over host buffers.
#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>

#include "comm/mpi_support.h"
#include "core/error.h"

namespace ocoee::comm {
namespace {

// The requests of one operation, and what must be done when they are through.
class MpiWork final : public Work {
 public:
  ~MpiWork() override {
    if (std::uncaught_exceptions() > 0)
      return;  // this rank fails: its peers may never come, and must hear why first
    if (!requests_.empty())
      MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
    for (MPI_Datatype& type : types_) MPI_Type_free(&type);
  }

  MPI_Request* add_request() { return &requests_.emplace_back(MPI_REQUEST_NULL); }
  MPI_Datatype add_type(MPI_Datatype type) { return types_.emplace_back(type); }
  void expect_bytes(int64_t bytes) { expected_.push_back(bytes); }  // of each request of a receive
  void* copy_out_to(const Buffer& target) {
    target_ = target;
    scratch_.resize(target.bytes());
    return scratch_.data();
  }

  void wait(const device::Stream&) override {
    if (requests_.empty()) return;
    std::vector<MPI_Status> statuses(requests_.size());
    finish(MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), statuses.data()),
           statuses);
  }

  bool done() override {
    if (requests_.empty()) return true;
    int flag = 0;
    std::vector<MPI_Status> statuses(requests_.size());
    const int code =
        MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &flag, statuses.data());
    if (code == MPI_SUCCESS && flag == 0) return false;
    finish(code, statuses);
    return true;
  }

 private:
  void finish(int code, std::vector<MPI_Status>& statuses) {
    requests_.clear();  // complete, or broken beyond waiting
    if (code == MPI_ERR_IN_STATUS) {
      for (const MPI_Status& status : statuses) {
        if (status.MPI_ERROR != MPI_SUCCESS && status.MPI_ERROR != MPI_ERR_PENDING)
          code = status.MPI_ERROR;
      }
    }
    check_mpi(code, "an operation under way");
    for (size_t i = 0; i < expected_.size(); ++i) {
      int bytes = 0;
      MPI_Get_count(&statuses[i], MPI_BYTE, &bytes);
      if (expected_[i] <= std::numeric_limits<int>::max() && bytes != expected_[i]) {
        fail(ErrorKind::comm,
             "a message of {} bytes came where {} were expected: send and receive differ in count "
             "or type",
             bytes, expected_[i]);
      }
    }
    if (target_.data) std::memcpy(target_.data, scratch_.data(), scratch_.size());
    target_ = {};
  }

  std::vector<MPI_Request> requests_;
  std::vector<MPI_Datatype> types_;
  std::vector<int64_t> expected_;
  Buffer target_;
  std::vector<char> scratch_;
};

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(std::string name, MPI_Comm mpi, int rank, int size, std::vector<int> world_ranks,
                  int64_t largest_count)
      : Communicator(std::move(name), rank, size, std::move(world_ranks)),
        mpi_(mpi),
        largest_(largest_count) {}
  ~MpiCommunicator() override {
    int finalized = 0;
    MPI_Finalized(&finalized);
    // Freeing is collective in name and, while an exception unwinds on this rank alone, can wait
    // for ever.
    if (!finalized && std::uncaught_exceptions() == 0) MPI_Comm_free(&mpi_);
  }

  WorkHandle start(const Operation& o) override {
    OCOEE_CHECK(!o.input.device.is_cuda() && !o.output.device.is_cuda(),
                "GPU buffers on the MPI communicator '{}'", name());
    auto work = std::make_unique<MpiWork>();
    switch (o.kind) {
      case Kind::all_reduce:
        all_reduce_pieces(o, *work);
        break;
      case Kind::reduce_scatter:
        reduce_scatter_pieces(o, *work);
        break;
      case Kind::all_gather:
        gather(o, *work);
        break;
      case Kind::all_to_all:
        transpose(o, *work);
        break;
      case Kind::broadcast:
      case Kind::send:
      case Kind::receive:
        move_pieces(o, *work);
        break;
      case Kind::barrier:
        check_mpi(MPI_Ibarrier(mpi_, work->add_request()), "barrier");
        break;
    }
    return work;
  }

 private:
  // Calls f(first, n) for each piece that MPI can count; once for nothing, since the peers call
  // too.
  template <class F>
  void pieces(int64_t count, F&& f) const {
    int64_t first = 0;
    do {
      const int64_t n = std::min(largest_, count - first);
      f(first, static_cast<int>(n));
      first += n;
    } while (first < count);
  }

  void all_reduce_pieces(const Operation& o, MpiWork& work) const {
    const MPI_Op op = mpi_op(o.op, o.input.dtype);
    pieces(o.input.count, [&](int64_t first, int n) {
      const void* from =
          o.input.data == o.output.data ? MPI_IN_PLACE : o.input.slice(first, n).data;
      check_mpi(MPI_Iallreduce(from, o.output.slice(first, n).data, n, mpi_type(o.input.dtype), op,
                               mpi_, work.add_request()),
                "all_reduce");
    });
  }

  void reduce_scatter_pieces(const Operation& o, MpiWork& work) const {
    const MPI_Op op = mpi_op(o.op, o.output.dtype);
    const MPI_Datatype type = mpi_type(o.output.dtype);
    const int64_t block = o.output.count;
    // MPI forbids that the result lies inside the input, and its in-place form wants it at the
    // front.
    const auto *begin = static_cast<const char*>(o.input.data),
               *result = static_cast<const char*>(o.output.data);
    const bool inside = result >= begin && result < begin + o.input.bytes();
    void* to = inside ? work.copy_out_to(o.output) : o.output.data;
    if (block <= largest_) {
      check_mpi(MPI_Ireduce_scatter_block(o.input.data, to, static_cast<int>(block), type, op, mpi_,
                                          work.add_request()),
                "reduce_scatter");
      return;
    }
    for (int root = 0; root < size(); ++root) {
      pieces(block, [&](int64_t first, int n) {
        void* here = static_cast<char*>(to) + static_cast<size_t>(first) * size_of(o.output.dtype);
        check_mpi(MPI_Ireduce(o.input.slice(root * block + first, n).data, here, n, type, op, root,
                              mpi_, work.add_request()),
                  "reduce_scatter");
      });
    }
  }

  void gather(const Operation& o, MpiWork& work) const {
    const bool own_block =
        o.input.data == o.output.slice(o.input.count * rank(), o.input.count).data;
    const auto [count, type] = block_of(o.input.count, o.input.dtype, work);
    check_mpi(MPI_Iallgather(own_block ? MPI_IN_PLACE : o.input.data, count, type, o.output.data,
                             count, type, mpi_, work.add_request()),
              "all_gather");
  }

  void transpose(const Operation& o, MpiWork& work) const {
    const auto [count, type] = block_of(o.input.count / size(), o.input.dtype, work);
    const void* from = o.input.data == o.output.data ? MPI_IN_PLACE : o.input.data;
    check_mpi(
        MPI_Ialltoall(from, count, type, o.output.data, count, type, mpi_, work.add_request()),
        "all_to_all");
  }

  void move_pieces(const Operation& o, MpiWork& work) const {
    const Buffer& buffer = o.kind == Kind::receive ? o.output : o.input;
    const MPI_Datatype type = mpi_type(buffer.dtype);
    pieces(buffer.count, [&](int64_t first, int n) {
      void* data = buffer.slice(first, n).data;
      if (o.kind == Kind::broadcast) {
        check_mpi(MPI_Ibcast(data, n, type, o.peer, mpi_, work.add_request()), "broadcast");
      } else if (o.kind == Kind::send) {
        check_mpi(MPI_Isend(data, n, type, o.peer, 0, mpi_, work.add_request()), "send");
      } else {
        work.expect_bytes(n * static_cast<int64_t>(size_of(buffer.dtype)));
        check_mpi(MPI_Irecv(data, n, type, o.peer, 0, mpi_, work.add_request()), "receive");
      }
    });
  }

  // A block as MPI can count it: elements, or one of a type that holds them all.
  std::pair<int, MPI_Datatype> block_of(int64_t count, DType dtype, MpiWork& work) const {
    const MPI_Datatype element = mpi_type(dtype);
    if (count <= largest_) return {static_cast<int>(count), element};
    const int64_t whole = count / largest_, rest = count % largest_;
    MPI_Datatype piece = MPI_DATATYPE_NULL, body = MPI_DATATYPE_NULL, tail = MPI_DATATYPE_NULL,
                 all = MPI_DATATYPE_NULL;
    check_mpi(MPI_Type_contiguous(static_cast<int>(largest_), element, &piece),
              "MPI_Type_contiguous");
    check_mpi(MPI_Type_contiguous(static_cast<int>(whole), piece, &body), "MPI_Type_contiguous");
    check_mpi(MPI_Type_contiguous(static_cast<int>(rest), element, &tail), "MPI_Type_contiguous");
    const int lengths[] = {1, 1};
    const MPI_Aint starts[] = {
        0, static_cast<MPI_Aint>(whole * largest_ * static_cast<int64_t>(size_of(dtype)))};
    const MPI_Datatype parts[] = {body, tail};
    check_mpi(MPI_Type_create_struct(2, lengths, starts, parts, &all), "MPI_Type_create_struct");
    check_mpi(MPI_Type_commit(&all), "MPI_Type_commit");
    for (MPI_Datatype* type : {&piece, &body, &tail}) MPI_Type_free(type);
    return {1, work.add_type(all)};
  }

  MPI_Comm mpi_;
  int64_t largest_;
};

}  // namespace

std::shared_ptr<Communicator> make_mpi_communicator(std::string name, MPI_Comm mpi,
                                                    std::vector<int> world_ranks,
                                                    int64_t largest_count) {
  int rank = 0, size = 1;
  check_mpi(MPI_Comm_rank(mpi, &rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(mpi, &size), "MPI_Comm_size");
  return std::make_shared<MpiCommunicator>(std::move(name), mpi, rank, size, std::move(world_ranks),
                                           largest_count);
}

}  // namespace ocoee::comm
