// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "comm/peer_copies.h"
#include "core/error.h"

namespace ocoee::comm {
namespace {

constexpr size_t kFlagBytes =
    static_cast<size_t>(cuda::kMostRanks) * cuda::kFlagStride * sizeof(uint32_t);
constexpr size_t kSlotBytes = size_t{64} << 20;  // of all slots of a rank together
constexpr size_t kLeastBlock = size_t{1} << 20;  // below, NCCL's latency is shorter

void check(cudaError_t code, const char* what) {
  if (code != cudaSuccess)
    fail(ErrorKind::device, "CUDA: {} failed: {}", what, cudaGetErrorString(code));
}

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

std::string hexadecimal(const cudaIpcMemHandle_t& handle) {
  std::string out;
  for (const char byte : handle.reserved)
    out += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return out;
}

cudaIpcMemHandle_t handle_of(const std::string& text) {
  cudaIpcMemHandle_t handle{};
  for (size_t i = 0; i < sizeof handle.reserved; ++i)
    handle.reserved[i] = static_cast<char>(std::stoi(text.substr(2 * i, 2), nullptr, 16));
  return handle;
}

}  // namespace

PeerCopies::PeerCopies(std::shared_ptr<Communicator> control, const device::Device& device)
    : control_(std::move(control)),
      rank_(control_->rank()),
      size_(control_->size()),
      slot_bytes_(kSlotBytes / static_cast<size_t>(size_ - 1) / 256 * 256),
      own_(kFlagBytes + slot_bytes_ * static_cast<size_t>(size_ - 1), device::Memory::Where::device,
           device),
      count_(sizeof(uint32_t), device::Memory::Where::device, device),
      stop_(sizeof(uint32_t), device::Memory::Where::pinned, device) {
  check(cudaMemset(own_.data(), 0, kFlagBytes), "cudaMemset");
  check(cudaMemset(count_.data(), 0, sizeof(uint32_t)), "cudaMemset");
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  *static_cast<uint32_t*>(stop_.data()) = 0;
  memory_[rank_] = static_cast<char*>(own_.data());
}

std::unique_ptr<PeerCopies> PeerCopies::connect(std::shared_ptr<Communicator> control,
                                                const device::Device& device) {
  const int size = control->size();
  if (size < 2 || size > cuda::kMostRanks) return nullptr;
  check(cudaSetDevice(device.index), "cudaSetDevice");
  std::unique_ptr<PeerCopies> made(new PeerCopies(control, device));
  cudaIpcMemHandle_t handle{};
  bool can = cudaIpcGetMemHandle(&handle, made->own_.data()) == cudaSuccess;
  const std::string host = host_name();
  const std::vector<std::string> all =
      control->all_gather_text((can ? hexadecimal(handle) : "") + "@" + host);
  for (int peer = 0; peer < size; ++peer) {
    const std::string& text = all[static_cast<size_t>(peer)];
    const size_t at = text.find('@');
    can = can && at > 0 && text.substr(at + 1) == host;
    if (can && peer != made->rank_) can = made->open(peer, handle_of(text.substr(0, at)));
  }
  cudaGetLastError();  // what could not be opened is no error of what follows
  if (control->all_reduce_value(can ? 1 : 0, Reduce::min) == 0) return nullptr;
  made->connected_ = true;
  made->meeting_.rank = made->rank_;
  made->meeting_.size = size;
  made->meeting_.count = static_cast<uint32_t*>(made->count_.data());
  made->meeting_.stop = static_cast<const uint32_t*>(made->stop_.data());
  for (int r = 0; r < size; ++r)
    made->meeting_.flags[r] = reinterpret_cast<uint32_t*>(made->memory_[r]);
  return made;
}

bool PeerCopies::open(int peer, const cudaIpcMemHandle_t& handle) {
  void* memory = nullptr;
  if (cudaIpcOpenMemHandle(&memory, handle, cudaIpcMemLazyEnablePeerAccess) != cudaSuccess)
    return false;
  memory_[peer] = static_cast<char*>(memory);
  return true;
}

PeerCopies::~PeerCopies() {
  if (!abandoned_) cudaDeviceSynchronize();
  for (int r = 0; r < size_; ++r)
    if (r != rank_ && memory_[r]) cudaIpcCloseMemHandle(memory_[r]);
  if (abandoned_ || !connected_) return;
  try {
    control_->barrier();
  } catch (const std::exception&) {  // a lost rank: the watchdog has named it
  }
}

void PeerCopies::abandon() {
  abandoned_ = true;
  *static_cast<volatile uint32_t*>(stop_.data()) = 1;
}

bool PeerCopies::takes(const Communicator::Operation& o) const {
  const bool sums = o.op == Reduce::sum && cuda::has_sum(o.input.dtype);
  switch (o.kind) {
    case Kind::all_gather:
      return o.input.bytes() >= kLeastBlock;
    case Kind::reduce_scatter:
      return sums && o.output.bytes() >= kLeastBlock;
    case Kind::all_reduce:
      return sums && o.input.count % size_ == 0 &&
             o.input.bytes() / static_cast<size_t>(size_) >= kLeastBlock;
    default:
      return false;
  }
}

void PeerCopies::enqueue(const Communicator::Operation& o, cudaStream_t stream) const {
  if (o.kind == Kind::all_gather) return all_gather(o.input, o.output, !o.others_alone, stream);
  if (o.kind == Kind::reduce_scatter) return reduce_scatter(o.input, o.output, stream);
  const int64_t block = o.input.count / size_;
  const device::Buffer own = o.output.slice(rank_ * block, block);
  reduce_scatter(o.input, own, stream);
  all_gather(own, o.output, /*own_too=*/true, stream);
}

char* PeerCopies::slot(int owner, int source) const {
  const int at = source < owner ? source : source - 1;
  return memory_[owner] + kFlagBytes + static_cast<size_t>(at) * slot_bytes_;
}

void PeerCopies::push(int to, const void* from, size_t bytes, cudaStream_t stream) const {
  check(cudaMemcpyAsync(slot(to, rank_), from, bytes, cudaMemcpyDeviceToDevice, stream),
        "cudaMemcpyAsync to another GPU");
}

void PeerCopies::all_gather(const device::Buffer& in, const device::Buffer& out, bool own_too,
                            cudaStream_t stream) const {
  const size_t block = in.bytes();
  const char* from = static_cast<const char*>(in.data);
  char* to = static_cast<char*>(out.data);
  const auto own = [&](size_t first, size_t bytes) {
    char* place = to + static_cast<size_t>(rank_) * block + first;
    if (own_too && place != from + first)
      check(cudaMemcpyAsync(place, from + first, bytes, cudaMemcpyDeviceToDevice, stream),
            "cudaMemcpyAsync");
  };
  for (size_t first = 0; first < block; first += slot_bytes_) {
    const size_t bytes = std::min(slot_bytes_, block - first);
    cuda::meet(meeting_, stream);
    for (int k = 1; k < size_; ++k) push((rank_ + k) % size_, from + first, bytes, stream);
    own(first, bytes);
    cuda::meet(meeting_, stream);
    for (int r = 0; r < size_; ++r)
      if (r != rank_)
        check(cudaMemcpyAsync(to + static_cast<size_t>(r) * block + first, slot(rank_, r), bytes,
                              cudaMemcpyDeviceToDevice, stream),
              "cudaMemcpyAsync");
  }
  check(cudaGetLastError(), "a meeting of GPUs");
}

void PeerCopies::reduce_scatter(const device::Buffer& in, const device::Buffer& out,
                                cudaStream_t stream) const {
  const size_t block = out.bytes();
  for (size_t first = 0; first < block; first += slot_bytes_) {
    const Piece piece{first, std::min(slot_bytes_, block - first)};
    push_piece(in, block, piece, stream);
    sum_piece(in, out, piece, stream);
  }
}

void PeerCopies::push_piece(const device::Buffer& in, size_t block, Piece piece,
                            cudaStream_t stream) const {
  cuda::meet(meeting_, stream);
  for (int k = 1; k < size_; ++k) {
    const int to = (rank_ + k) % size_;
    push(to, static_cast<const char*>(in.data) + static_cast<size_t>(to) * block + piece.first,
         piece.bytes, stream);
  }
}

void PeerCopies::sum_piece(const device::Buffer& in, const device::Buffer& out, Piece piece,
                           cudaStream_t stream) const {
  cuda::meet(meeting_, stream);
  cuda::BlockSum sum{};
  sum.count = size_;
  for (int r = 0; r < size_; ++r)
    sum.blocks[r] = r == rank_ ? static_cast<const char*>(in.data) +
                                     static_cast<size_t>(r) * out.bytes() + piece.first
                               : slot(rank_, r);
  sum.out = static_cast<char*>(out.data) + piece.first;
  sum.elements = static_cast<int64_t>(piece.bytes / size_of(out.dtype));
  sum.dtype = out.dtype;
  cuda::sum_blocks(sum, stream);
  check(cudaGetLastError(), "a sum of blocks");
}

bool PeerCopies::takes_own_later(const Communicator::Operation& o) const {
  return takes(o) && o.output.bytes() <= slot_bytes_;
}

void PeerCopies::push_blocks(const Communicator::Operation& o, cudaStream_t stream) const {
  push_piece(o.input, o.output.bytes(), {0, o.output.bytes()}, stream);
}

void PeerCopies::sum_blocks(const Communicator::Operation& o, cudaStream_t stream) const {
  sum_piece(o.input, o.output, {0, o.output.bytes()}, stream);
}

}  // namespace ocoee::comm
